import { QueryClient, queryOptions, type UseQueryResult } from "@tanstack/react-query";
import { ask, Problem, type Query } from "./client";
import type {
  ActionStory,
  Actions,
  Answer,
  Contract,
  DatasetDetail,
  Difference,
  Ledger,
  LineageGraph,
  Matrix,
  Measures,
  MetricHistory,
  Metrics,
  MetricValue,
  PartitionDetail,
  Radius,
  Run,
  Runs,
  Session,
  Versions,
} from "./types";

const AGAIN_MS = 60_000;
const AFTER_FAILURE_MS = 4_000;

export function makeQueries(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        // The feed says when to read again. The interval renews what runs out, and finds out that somebody answers again.
        staleTime: 5_000,
        // What nobody looks at is not kept: it would come back as it was, whatever happened meanwhile.
        gcTime: 0,
        retry: false,
        networkMode: "always",
        refetchInterval: (query) => {
          const problem = query.state.error;
          if (problem instanceof Problem && !problem.isUnanswered) return false;
          return problem ? AFTER_FAILURE_MS : AGAIN_MS;
        },
      },
      mutations: { networkMode: "always" },
    },
  });
}

function question<T>(path: string, query: Query = {}) {
  return queryOptions({
    queryKey: [path, query] as const,
    queryFn: ({ signal }) => ask<T>(path, query, signal),
  });
}

const named = encodeURIComponent;
const ofDataset = (dataset: string) => `/v1/datasets/${named(dataset)}`;
const ofPartition = (dataset: string, partition: string) => `${ofDataset(dataset)}/partitions/${named(partition)}`;

export const questions = {
  session: () =>
    queryOptions({ queryKey: ["session"], queryFn: ({ signal }) => ask<Session>("/v1/session", {}, signal) }),
  matrix: (days: number, domain: string | null) => question<Matrix>("/v1/matrix", { days, domain }),
  dataset: (dataset: string) => question<DatasetDetail>(ofDataset(dataset)),
  safety: (dataset: string) => question<Answer>(`/v1/safety/${named(dataset)}`),
  lineage: (dataset: string) => question<LineageGraph>("/v1/lineage", { dataset, direction: "both", depth: 4 }),
  contract: (dataset: string) => question<Contract>(`${ofDataset(dataset)}/contract`),
  measures: (dataset: string) => question<Measures>(`${ofDataset(dataset)}/measures`),
  partition: (dataset: string, partition: string) => question<PartitionDetail>(ofPartition(dataset, partition)),
  ledger: (dataset: string, partition: string) => question<Ledger>(`${ofPartition(dataset, partition)}/ledger`),
  versions: (dataset: string, partition: string) => question<Versions>(`${ofPartition(dataset, partition)}/versions`),
  difference: (dataset: string, partition: string, from: number, to: number) =>
    question<Difference>(`${ofPartition(dataset, partition)}/difference`, { from, to }),
  radius: (dataset: string, partition: string) => question<Radius>(`${ofPartition(dataset, partition)}/radius`),
  runs: (domain: string, partition: string) => question<Runs>("/v1/runs", { domain, partition, limit: 10 }),
  run: (runId: number) => question<Run>(`/v1/runs/${runId}`),
  actions: (state: string | null) => question<Actions>("/v1/actions", { state, limit: 100 }),
  actionsOn: (dataset: string, partition: string) =>
    question<Actions>("/v1/actions", { dataset, partition, limit: 10 }),
  action: (actionId: number) => question<ActionStory>(`/v1/actions/${actionId}`),
  metrics: () => question<Metrics>("/v1/metrics", { limit: 500 }),
  metric: (metric: string, start: string | null, end: string | null) =>
    question<MetricValue>(`/v1/metrics/${named(metric)}`, { start, end }),
  metricHistory: (metric: string, start: string | null, end: string | null) =>
    question<MetricHistory>(`/v1/metrics/${named(metric)}/history`, { start, end }),
};

/** As much of a question as tells how old its answer is. */
export type Read = Pick<UseQueryResult, "isError" | "dataUpdatedAt">;

/** Since when the answer that is shown could not be had again; undefined while it can. */
export function failedSince(query: Read): number | undefined {
  return query.isError && query.dataUpdatedAt ? query.dataUpdatedAt : undefined;
}
