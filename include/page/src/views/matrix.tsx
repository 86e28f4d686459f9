import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useDeferredValue, useMemo } from "react";
import { Link, useSearchParams } from "react-router";
import { questions } from "../api/queries";
import type { Matrix, Standstill, State, Trouble } from "../api/types";
import { shown, useDoubt, utc } from "../live";
import { Asked, figure, many, PartitionLink, pathOf, Title } from "../parts/basics";
import { Doubt } from "../parts/doubt";
import { Grid, type GridRow } from "../parts/grid";
import { Mark, STATES, StateBadge } from "../parts/states";

const SPANS = [30, 90, 365, 1000];
const DEFAULT_SPAN = 90;
const NEWEST = 14;
const TROUBLES_SHOWN = 6;

/** Every dataset by partition: what is not safe first, and the way to why. */
export function MatrixView() {
  const [filters, setFilters] = useSearchParams();
  const span = Number(filters.get("days")) || DEFAULT_SPAN;
  const query = useQuery({ ...questions.matrix(span, filters.get("domain")), placeholderData: keepPreviousData });
  const doubt = useDoubt(query.data?.valid_until, query);
  const set = (name: string, value: string | null) =>
    setFilters(
      (known) => {
        const changed = new URLSearchParams(known);
        if (value) changed.set(name, value);
        else changed.delete(name);
        return changed;
      },
      { replace: name === "q" },
    );
  return (
    <>
      <Title text="Is it safe?" />
      <Asked query={query}>
        {(matrix) => (
          <>
            {doubt && <Doubt words={doubt} />}
            <Standstills standstills={matrix.standstills} />
            {!doubt && <Troubles troubles={matrix.troubles} />}
            <Filtered matrix={matrix} doubt={doubt} filters={filters} set={set} span={span} />
          </>
        )}
      </Asked>
    </>
  );
}

function Standstills({ standstills }: { standstills: Standstill[] }) {
  return standstills.map((still) => (
    <div className="notice warn" key={`${still.what} ${still.domain} ${still.dataset}`}>
      <strong>
        {still.dataset ?? (still.domain === "*" ? "The whole platform" : still.domain)} is {still.what}
      </strong>
      <span>
        by {still.by} since {utc(still.since)}: {still.reason}
      </span>
      <Link to={pathOf.action(still.action_id)}>Action {still.action_id}</Link>
    </div>
  ));
}

function Troubles({ troubles }: { troubles: Trouble[] }) {
  if (troubles.length === 0) return null;
  return (
    <section className="card" aria-labelledby="troubles">
      <h2 id="troubles">What is wrong, and where it began</h2>
      <ul className="list">
        {troubles.slice(0, TROUBLES_SHOWN).map((trouble) => (
          <li key={`${trouble.dataset} ${trouble.first} ${trouble.state}`} className="row">
            <StateBadge state={trouble.state} />
            <PartitionLink dataset={trouble.dataset} partition={trouble.last} />
            {trouble.count > 1 && (
              <span className="soft">
                and {many(trouble.count - 1, "more partition")} since {trouble.first}
              </span>
            )}
            <span className="clamped" title={trouble.reason}>
              {trouble.reason}
            </span>
          </li>
        ))}
      </ul>
      {troubles.length > TROUBLES_SHOWN && (
        <p className="soft">And {many(troubles.length - TROUBLES_SHOWN, "more")}: the matrix has them all.</p>
      )}
    </section>
  );
}

interface FilteredProps {
  matrix: Matrix;
  doubt: string | null;
  filters: URLSearchParams;
  set: (name: string, value: string | null) => void;
  span: number;
}

function Filtered({ matrix, doubt, filters, set, span }: FilteredProps) {
  const text = useDeferredValue(filters.get("q") ?? "");
  const state = filters.get("state") as State | null;
  const order = filters.get("order") ?? "troubles";
  const rows = useMemo(() => rowsOf(matrix), [matrix]);
  const found = useMemo(() => {
    const wanted = rows.filter(
      (row) =>
        (!text || `${row.dataset} ${row.domain} ${row.layer}`.includes(text.toLowerCase())) &&
        (!state || row.counts[shown(state, null)]),
    );
    return order === "troubles" ? wanted.toSorted((one, other) => other.weight - one.weight) : wanted;
  }, [rows, text, state, order]);
  const counts = useMemo(() => total(rows), [rows]);
  const before = useMemo(() => earlier(found), [found]);
  const domains = [
    ...new Set([...rows.map((row) => row.domain), ...(filters.get("domain") ? [filters.get("domain") ?? ""] : [])]),
  ];
  return (
    <section className="stack" aria-label="Datasets by partition">
      <div className="row spread">
        <fieldset className="row">
          <legend className="hidden">Only datasets with partitions that are</legend>
          {STATES.map((one) => (
            <button
              key={one}
              type="button"
              className="chip"
              aria-pressed={state === one}
              onClick={() => set("state", state === one ? null : one)}
            >
              <Mark state={one} />
              {one} <span className="soft">{doubt ? "" : (counts[one] ?? 0)}</span>
            </button>
          ))}
        </fieldset>
        <div className="row">
          <input
            type="search"
            aria-label="Datasets whose name has"
            placeholder="Filter datasets"
            value={filters.get("q") ?? ""}
            onChange={(event) => set("q", event.target.value)}
          />
          <select
            aria-label="Domain"
            value={filters.get("domain") ?? ""}
            onChange={(event) => set("domain", event.target.value)}
          >
            <option value="">all domains</option>
            {domains.map((domain) => (
              <option key={domain}>{domain}</option>
            ))}
          </select>
          <select
            aria-label="Order"
            value={order}
            onChange={(event) => set("order", event.target.value === "troubles" ? null : event.target.value)}
          >
            <option value="troubles">troubles first</option>
            <option value="domain">by domain and layer</option>
          </select>
          <select
            aria-label="How far back"
            value={span}
            onChange={(event) => set("days", event.target.value === String(DEFAULT_SPAN) ? null : event.target.value)}
          >
            {SPANS.map((days) => (
              <option key={days} value={days}>
                {days} days
              </option>
            ))}
          </select>
        </div>
      </div>
      {found.length > 0 ? (
        <Grid rows={found} days={matrix.days} letters={matrix.states} doubt={doubt} />
      ) : (
        <p className="card soft">
          {rows.length > 0 ? "No dataset is left by these filters." : "No dataset is known yet: nothing ever ran."}
        </p>
      )}
      <p className="soft small">
        {many(found.length, "dataset")}, newest day first
        {matrix.as_of && `, as of ${utc(matrix.as_of)}`}
        {matrix.clock_offset_seconds !== null && " (the platform's clock is set)"}. Arrow keys move through the matrix.
        {!doubt &&
          before.length > 0 &&
          ` Before these days: ${before.map(([one, count]) => `${figure(count)} ${one}`).join(", ")}.`}
      </p>
    </section>
  );
}

function rowsOf(matrix: Matrix): GridRow[] {
  return matrix.rows.map((row) => {
    const counts: Partial<Record<State, number>> = {};
    const count = (state: State) => {
      counts[state] = (counts[state] ?? 0) + 1;
    };
    for (const letter of row.states) {
      const state = matrix.states[letter];
      if (state) count(state);
    }
    if (row.all) count(row.all);
    return { ...row, counts, weight: weightOf(row.states.slice(0, NEWEST), row.all, matrix.states) };
  });
}

function earlier(rows: GridRow[]): [State, number][] {
  return STATES.map((state): [State, number] => [
    state,
    rows.reduce((sum, row) => sum + (row.earlier[state] ?? 0), 0),
  ]).filter(([, count]) => count > 0);
}

const WEIGHTS: Partial<Record<State, number>> = { unsafe: 100, quarantined: 100, unknown: 10, checking: 1 };

function weightOf(newest: string, all: State | null, letters: Record<string, State>): number {
  const states = [...newest].map((letter) => letters[letter]);
  return Math.max(0, ...[...states, all ?? undefined].map((state) => (state ? (WEIGHTS[state] ?? 0) : 0)));
}

function total(rows: GridRow[]): Partial<Record<State, number>> {
  const sums: Partial<Record<State, number>> = {};
  for (const row of rows) {
    for (const [state, count] of Object.entries(row.counts) as [State, number][]) {
      sums[state] = (sums[state] ?? 0) + count;
    }
  }
  return sums;
}
