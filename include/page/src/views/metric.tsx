import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { Link, useNavigate, useParams, useSearchParams } from "react-router";
import { questions } from "../api/queries";
import type { MetricHistory } from "../api/types";
import { Series } from "../charts/series";
import { useDoubt, utc } from "../live";
import { Asked, Card, DatasetLink, Facts, figure, pathOf, Title } from "../parts/basics";
import { Doubt } from "../parts/doubt";
import { StateBadge } from "../parts/states";

/** One metric over a time: the value, whether it is safe, its one definition and its history. */
export function MetricView() {
  const { metric = "" } = useParams();
  const [filters, setFilters] = useSearchParams();
  const start = filters.get("start");
  const end = filters.get("end");
  const query = useQuery(questions.metric(metric, start, end));
  const history = useQuery(questions.metricHistory(metric, start, end));
  const all = useQuery(questions.metrics());
  const doubt = useDoubt(query.data?.valid_until, query);
  const aged = useDoubt(history.data?.valid_until, history);
  const definition = all.data?.items.find((one) => one.metric === metric);
  const set = (name: string, value: string) =>
    setFilters(
      (known) => {
        const changed = new URLSearchParams(known);
        if (value) changed.set(name, value);
        else changed.delete(name);
        return changed;
      },
      { replace: true },
    );
  return (
    <>
      <div className="stack">
        <Link to="/metric" className="small">
          Metrics
        </Link>
        <Title text={definition?.label ?? metric} />
      </div>
      {doubt && <Doubt words={doubt} />}
      <div className="columns lead">
        <Card
          title="The value"
          aside={
            <div className="row">
              <input
                type="date"
                aria-label="From"
                value={start ?? query.data?.start ?? ""}
                onChange={(event) => set("start", event.target.value)}
              />
              <input
                type="date"
                aria-label="To"
                value={end ?? query.data?.end ?? ""}
                onChange={(event) => set("end", event.target.value)}
              />
            </div>
          }
        >
          <Asked query={query}>
            {(answer) => (
              <>
                <p className="row">
                  <span className={answer.safe && !doubt ? "big" : "big unsafe"}>{figure(answer.value)}</span>
                  <StateBadge state={doubt ? "unknown" : answer.safe ? "safe" : "unsafe"} large />
                </p>
                <p className="soft small">
                  As of {utc(answer.as_of)}, of the safe partitions from {answer.start} to {answer.end}.
                </p>
                {answer.reasons.length > 0 && (
                  <ol className="reasons">
                    {answer.reasons.map((reason) => (
                      <li key={`${reason.partition} ${reason.message}`}>
                        <span>
                          {reason.partition && <strong>{reason.partition}: </strong>}
                          {reason.message}
                        </span>
                        <span className="soft">What clears it: {reason.clears}</span>
                      </li>
                    ))}
                  </ol>
                )}
              </>
            )}
          </Asked>
        </Card>
        <Card title="Its one definition">
          {definition ? (
            <>
              <p>{definition.description}</p>
              {definition.expression && (
                <p>
                  <code>{definition.expression}</code>
                </p>
              )}
              <Facts
                facts={[
                  ["Type", definition.type],
                  ["Owners", definition.owners.join(", ")],
                  [
                    "Made of",
                    definition.datasets.map((dataset) => (
                      <span key={dataset}>
                        <DatasetLink dataset={dataset} />{" "}
                      </span>
                    )),
                  ],
                  ["Dimensions", definition.dimensions.join(", ") || "none"],
                ]}
              />
            </>
          ) : (
            <Asked query={all}>{() => <p className="soft">There is no metric of that name.</p>}</Asked>
          )}
        </Card>
      </div>
      <Card title="Day by day">
        <Asked query={history}>
          {(found) =>
            aged ? <Doubt words={aged} /> : <Days history={found} metric={metric} dataset={definition?.datasets[0]} />
          }
        </Asked>
      </Card>
    </>
  );
}

function Days({ history, metric, dataset }: { history: MetricHistory; metric: string; dataset: string | undefined }) {
  const navigate = useNavigate();
  const points = useMemo(
    () =>
      history.points.map((point) => ({
        name: point.partition,
        value: point.value,
        isBad: !point.safe,
        low: null,
        high: null,
      })),
    [history],
  );
  return (
    <Series
      label={`${metric} day by day; days that are not safe are marked`}
      points={points}
      bad="not safe"
      {...(dataset ? { onPick: (day: string) => navigate(pathOf.partition(dataset, day)) } : {})}
    />
  );
}
