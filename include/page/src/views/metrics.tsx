import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { questions } from "../api/queries";
import type { MetricSummary } from "../api/types";
import { useDoubt } from "../live";
import { Asked, figure, pathOf, Title } from "../parts/basics";
import { StateBadge } from "../parts/states";

/** Every metric: its value beside its verdict. */
export function MetricsView() {
  const query = useQuery(questions.metrics());
  return (
    <>
      <Title text="Metrics" />
      <Asked query={query}>
        {(page) => (
          <div className="tiles">
            {page.items.map((metric) => (
              <Tile key={metric.metric} metric={metric} />
            ))}
          </div>
        )}
      </Asked>
    </>
  );
}

function Tile({ metric }: { metric: MetricSummary }) {
  const query = useQuery(questions.metric(metric.metric, null, null));
  const doubt = useDoubt(query.data?.valid_until, query);
  return (
    <article className="card">
      <h2>
        <Link to={pathOf.metric(metric.metric)}>{metric.label}</Link>
      </h2>
      <Asked query={query}>
        {(answer) => (
          <>
            <p className="row">
              <span className={answer.safe && !doubt ? "big" : "big unsafe"}>{figure(answer.value)}</span>
              <StateBadge state={doubt ? "unknown" : answer.safe ? "safe" : "unsafe"} />
            </p>
            <p className="soft small">
              {answer.start} to {answer.end}
              {!answer.safe && answer.reasons[0] && `. Not every day is safe: ${answer.reasons[0].partition ?? ""}`}
              {answer.reasons.length > 1 && ` and ${answer.reasons.length - 1} more`}
            </p>
          </>
        )}
      </Asked>
      <p className="small">{metric.description}</p>
    </article>
  );
}
