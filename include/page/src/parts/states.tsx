import type { State } from "../api/types";

export const STATES: readonly State[] = ["unsafe", "quarantined", "unknown", "checking", "rebuilding", "safe"];

/** A sign for each state, so that nobody needs to see the colour. */
export const SIGNS: Record<State, string> = {
  safe: "✓",
  unsafe: "✕",
  quarantined: "Q",
  checking: "…",
  rebuilding: "↻",
  unknown: "?",
};

export function StateBadge({ state, large = false }: { state: State; large?: boolean }) {
  return (
    <span className={large ? "state large" : "state"} data-is={state}>
      <span className="sign" aria-hidden="true">
        {SIGNS[state]}
      </span>
      {state}
    </span>
  );
}

export function Mark({ state }: { state: State }) {
  return (
    <span className="mark" data-is={state} aria-hidden="true">
      {SIGNS[state]}
    </span>
  );
}
