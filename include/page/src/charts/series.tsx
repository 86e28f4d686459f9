import { useCallback } from "react";
import { duration, figure } from "../parts/basics";
import { Chart, type Colours } from "./chart";

export interface Point {
  name: string;
  value: number | null;
  isBad: boolean;
  low: number | null;
  high: number | null;
}

interface SeriesProps {
  label: string;
  points: Point[];
  /** What a bad point is called in words. */
  bad: string;
  unit?: string | null;
  onPick?: (name: string) => void;
}

const CROSS = "path://M0,2 L2,0 L6,4 L10,0 L12,2 L8,6 L12,10 L10,12 L6,8 L2,12 L0,10 L4,6 Z";

/** Values over time, with the band that was expected of them, where it is known, and the bad ones crossed. */
export function Series({ label, points, bad, unit = null, onPick }: SeriesProps) {
  const option = useCallback((colours: Colours) => optionOf(points, bad, unit, colours), [points, bad, unit]);
  return (
    <figure>
      <Chart label={label} height={200} option={option} {...(onPick ? { onPick } : {})} />
      <details className="more small">
        <summary>As a table</summary>
        <div className="scroll">
          <table>
            <thead>
              <tr>
                <th scope="col">Partition</th>
                <th scope="col" className="number">
                  Value
                </th>
                <th scope="col">Expected</th>
                <th scope="col">Finding</th>
              </tr>
            </thead>
            <tbody>
              {points.toReversed().map((point) => (
                <tr key={point.name} className={point.isBad ? "failed" : ""}>
                  <td>{point.name}</td>
                  <td className="number">{amount(point.value, unit)}</td>
                  <td>{expected(point, unit)}</td>
                  <td>{point.isBad ? `✕ ${bad}` : ""}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </figure>
  );
}

function amount(value: number | null, unit: string | null): string {
  return unit === "seconds" ? duration(value) : figure(value);
}

function expected({ low, high }: Point, unit: string | null): string {
  if (low === null && high === null) return "";
  if (low === null) return `at most ${amount(high, unit)}`;
  return high === null ? `at least ${amount(low, unit)}` : `${amount(low, unit)} to ${amount(high, unit)}`;
}

function optionOf(points: Point[], bad: string, unit: string | null, colours: Colours): Record<string, unknown> {
  const named = new Map(points.map((point) => [point.name, point]));
  const bound = (name: string, data: (number | null)[], isFilled: boolean) => ({
    name,
    type: "line",
    stack: "band",
    stackStrategy: "all",
    data,
    silent: true,
    symbol: "none",
    step: "middle",
    lineStyle: { opacity: 0 },
    areaStyle: isFilled ? { color: colours.accent, opacity: 0.13 } : { opacity: 0 },
    tooltip: { show: false },
  });
  const isBounded = (point: Point) => point.low !== null && point.high !== null;
  return {
    grid: { left: 4, right: 12, top: 14, bottom: 2, containLabel: true },
    tooltip: {
      trigger: "axis",
      renderMode: "richText",
      backgroundColor: colours.surface,
      borderColor: colours.line,
      textStyle: { color: colours.ink, fontSize: 12 },
      axisPointer: { lineStyle: { color: colours.soft } },
      formatter: (hovered: { name: string }[]) => told(named.get(hovered[0]?.name ?? ""), bad, unit),
    },
    xAxis: {
      type: "category",
      data: points.map((point) => point.name),
      boundaryGap: true,
      axisLine: { lineStyle: { color: colours.line } },
      axisTick: { show: false },
      axisLabel: { color: colours.soft, fontSize: 11, hideOverlap: true },
    },
    yAxis: [
      {
        type: "value",
        scale: true,
        splitLine: { lineStyle: { color: colours.line } },
        axisLabel: { color: colours.soft, fontSize: 11, formatter: (value: number) => amount(value, unit) },
      },
      { type: "value", show: false, min: 0, max: 1 },
    ],
    series: [
      bound(
        "low",
        points.map((point) => (isBounded(point) ? point.low : null)),
        false,
      ),
      bound(
        "expected",
        points.map((point) => (isBounded(point) ? (point.high ?? 0) - (point.low ?? 0) : null)),
        true,
      ),
      {
        name: "value",
        type: "line",
        data: points.map((point) => point.value),
        symbol: "circle",
        symbolSize: points.length > 60 ? 3 : 6,
        showSymbol: true,
        lineStyle: { color: colours.accent, width: 1.6 },
        itemStyle: { color: colours.accent },
      },
      {
        name: "none",
        type: "bar",
        yAxisIndex: 1,
        data: points.map((point) => (point.isBad && point.value === null ? 1 : null)),
        barWidth: "99%",
        silent: true,
        itemStyle: { color: colours.unsafe, opacity: 0.13 },
        tooltip: { show: false },
      },
      {
        name: "none",
        type: "scatter",
        yAxisIndex: 1,
        data: points.map((point) => (point.isBad && point.value === null ? 0.5 : null)),
        symbol: CROSS,
        symbolSize: points.length > 60 ? 7 : 13,
        silent: true,
        itemStyle: { color: colours.unsafe },
        tooltip: { show: false },
      },
      {
        name: "bad",
        type: "scatter",
        data: points.map((point) => (point.isBad ? point.value : null)),
        symbol: CROSS,
        symbolSize: 13,
        itemStyle: { color: colours.unsafe, borderColor: colours.surface, borderWidth: 1 },
        z: 5,
      },
    ],
  };
}

function told(point: Point | undefined, bad: string, unit: string | null): string {
  if (!point) return "";
  const range = expected(point, unit);
  return [`${point.name}: ${amount(point.value, unit)}`, range && `expected ${range}`, point.isBad && bad]
    .filter(Boolean)
    .join("\n");
}
