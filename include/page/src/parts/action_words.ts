import type { Action } from "../api/types";

/** `quarantine_partition` as people say it. */
export function inWords(kind: string): string {
  const words = kind.replace(/_/g, " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export function subjectOf(action: Action): string {
  const { dataset, domains, partitions, version } = action;
  const days =
    partitions.length > 3
      ? `${partitions[0]} to ${partitions.at(-1)} (${partitions.length} partitions)`
      : partitions.join(", ");
  return [dataset ?? domains.join(", "), days, version === null ? "" : `version ${version}`].filter(Boolean).join(" ");
}
