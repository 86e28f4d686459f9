import { BarChart, LineChart, SankeyChart, ScatterChart } from "echarts/charts";
import { GridComponent, TooltipComponent } from "echarts/components";
import { type ECharts, init, use } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";
import { useEffect, useRef, useState } from "react";
import type { ChartProps, Colours } from "./chart";

use([BarChart, LineChart, ScatterChart, SankeyChart, GridComponent, TooltipComponent, SVGRenderer]);

export default function Drawn({ label, height, option, onPick }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const chart = useRef<ECharts | null>(null);
  const pick = useRef(onPick);
  pick.current = onPick;
  const theme = useTheme();

  useEffect(() => {
    const drawn = init(place.current, null, { renderer: "svg" });
    chart.current = drawn;
    drawn.on("click", (event) => pick.current?.(event.name));
    const sizes = new ResizeObserver(() => drawn.resize());
    if (place.current) sizes.observe(place.current);
    return () => {
      sizes.disconnect();
      drawn.dispose();
    };
  }, []);

  // biome-ignore lint/correctness/useExhaustiveDependencies: the colours are read anew when the theme changes
  useEffect(() => {
    const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
    chart.current?.setOption(
      { animation: !isStill, animationDuration: 300, textStyle: { fontFamily: "inherit" }, ...option(colours()) },
      true,
    );
  }, [option, theme]);

  return <div ref={place} className="chart" style={{ height }} role="img" aria-label={label} />;
}

function colours(): Colours {
  const style = getComputedStyle(document.documentElement);
  const of = (name: string) => style.getPropertyValue(`--${name}`).trim();
  return {
    ink: of("ink"),
    soft: of("ink-soft"),
    line: of("line"),
    accent: of("accent"),
    surface: of("surface"),
    safe: of("safe"),
    unsafe: of("unsafe"),
    unknown: of("unknown"),
    warning: of("warning-line"),
  };
}

function useTheme(): string {
  const [theme, setTheme] = useState(() => document.documentElement.dataset.theme ?? "");
  useEffect(() => {
    const changes = new MutationObserver(() => setTheme(document.documentElement.dataset.theme ?? ""));
    changes.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    return () => changes.disconnect();
  }, []);
  return theme;
}
