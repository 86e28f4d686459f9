import type { UseQueryResult } from "@tanstack/react-query";
import { type ReactNode, useEffect, useRef } from "react";
import { Link } from "react-router";
import { Problem } from "../api/client";

export function Card({ title, aside, children }: { title: string; aside?: ReactNode; children: ReactNode }) {
  const id = `card-${title.toLowerCase().replace(/[^a-z]+/g, "-")}`;
  return (
    <section className="card" aria-labelledby={id}>
      <div className="row spread">
        <h2 id={id}>{title}</h2>
        {aside}
      </div>
      {children}
    </section>
  );
}

// Whoever opens an address begins at its top, where the browser puts them; whoever follows a link, at the new title.
let isOpened = false;

/** The view's title, which is where the keyboard and a screen reader stand after following a link. */
export function Title({ children, text }: { children?: ReactNode; text: string }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${text} · Interlock`;
    if (isOpened) heading.current?.focus({ preventScroll: true });
    isOpened = true;
  }, [text]);
  return (
    <h1 ref={heading} tabIndex={-1}>
      {children ?? text}
    </h1>
  );
}

export function Fault({ problem }: { problem: unknown }) {
  const known = problem instanceof Problem ? problem : null;
  const words = problem instanceof Error ? problem.message : String(problem);
  return (
    <div className={known?.isUnanswered ? "notice lost" : "notice bad"} role="alert">
      <strong>{known?.isUnanswered ? "Could not ask: read this as not safe." : words}</strong>
      {known?.isUnanswered && <span>{words}</span>}
      {known?.fix && <span className="soft">{known.fix}</span>}
      {known?.requestId && <span className="soft small">Request {known.requestId}</span>}
    </div>
  );
}

/** What was asked, once it is there; before that and where it never comes, that. */
export function Asked<T>({ query, children }: { query: UseQueryResult<T>; children: (found: T) => ReactNode }) {
  if (query.data !== undefined) return children(query.data);
  if (query.isError) return <Fault problem={query.error} />;
  return (
    <p className="soft" aria-busy="true">
      Asking …
    </p>
  );
}

export function Facts({ facts }: { facts: [string, ReactNode][] }) {
  return (
    <dl className="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value ?? "–"}</dd>
        </div>
      ))}
    </dl>
  );
}

export const pathOf = {
  dataset: (dataset: string) => `/dataset/${encodeURIComponent(dataset)}`,
  partition: (dataset: string, partition: string) =>
    `/dataset/${encodeURIComponent(dataset)}/${encodeURIComponent(partition)}`,
  action: (actionId: number) => `/action/${actionId}`,
  metric: (metric: string) => `/metric/${encodeURIComponent(metric)}`,
};

export function DatasetLink({ dataset }: { dataset: string }) {
  return <Link to={pathOf.dataset(dataset)}>{dataset}</Link>;
}

export function PartitionLink({ dataset, partition }: { dataset: string; partition: string }) {
  return (
    <Link to={pathOf.partition(dataset, partition)}>
      {dataset} {partition}
    </Link>
  );
}

const figures = new Intl.NumberFormat("en-US", { maximumFractionDigits: 4 });

export function figure(value: number | null | undefined): string {
  return value === null || value === undefined ? "–" : figures.format(value);
}

export function duration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} days`;
}

export function many(count: number, one: string, more = `${one}s`): string {
  return `${figure(count)} ${count === 1 ? one : more}`;
}

/** A value out of evidence, in a line. */
export function plain(value: unknown): string {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number") return figure(value);
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return value.map(plain).join(", ");
  if (typeof value === "object") {
    return Object.entries(value)
      .map(([name, part]) => `${name} ${plain(part)}`)
      .join(", ");
  }
  return String(value);
}
