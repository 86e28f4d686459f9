import { lazy, Suspense } from "react";

const Drawn = lazy(() => import("./drawn"));

export interface Colours {
  ink: string;
  soft: string;
  line: string;
  accent: string;
  surface: string;
  safe: string;
  unsafe: string;
  unknown: string;
  warning: string;
}

export interface ChartProps {
  /** What the picture shows, for who does not see it; the figures themselves stand in a table beside it. */
  label: string;
  height: number;
  option: (colours: Colours) => Record<string, unknown>;
  onPick?: (name: string) => void;
}

export function Chart(props: ChartProps) {
  const space = <div className="chart" style={{ height: props.height }} />;
  return (
    <Suspense fallback={space}>
      <Drawn {...props} />
    </Suspense>
  );
}
