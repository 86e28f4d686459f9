import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useMemo } from "react";
import { Link, useNavigate, useParams } from "react-router";
import { questions } from "../api/queries";
import type { Contract, DatasetDetail, Measure } from "../api/types";
import { Series } from "../charts/series";
import { shown, useDoubt } from "../live";
import { Asked, Card, duration, Facts, figure, many, pathOf, Title } from "../parts/basics";
import { Doubt } from "../parts/doubt";
import { Mark, STATES, StateBadge } from "../parts/states";

const Lineage = lazy(async () => ({ default: (await import("../parts/lineage")).Lineage }));

/** One dataset: what is promised of it, how it kept that over time, who owns it and who relies on it. */
export function DatasetView() {
  const { dataset = "" } = useParams();
  const query = useQuery(questions.dataset(dataset));
  const doubt = useDoubt(query.data?.valid_until, query);
  return (
    <>
      <div className="stack">
        <Link to="/" className="small">
          Matrix
        </Link>
        <div className="row">
          <Title text={dataset} />
          {query.data && <StateBadge state={shown(query.data.state, doubt)} large />}
        </div>
        {query.data?.description && <p className="soft">{query.data.description}</p>}
      </div>
      {doubt && <Doubt words={doubt} />}
      <Asked query={query}>
        {(found) => (
          <>
            <About detail={found} doubt={doubt} />
            <Measures dataset={dataset} />
            <Neighbours detail={found} doubt={doubt} />
            <ContractCard dataset={dataset} />
            <Columns detail={found} />
          </>
        )}
      </Asked>
    </>
  );
}

function About({ detail, doubt }: { detail: DatasetDetail; doubt: string | null }) {
  const safety = useQuery(questions.safety(detail.dataset));
  const { freshness } = detail;
  return (
    <div className="columns lead">
      <Card title="About it">
        <Facts
          facts={[
            [
              "Domain",
              <Link key="domain" to={`/?domain=${encodeURIComponent(detail.domain)}`}>
                {detail.domain}
              </Link>,
            ],
            ["Layer", detail.layer],
            ["Grain", detail.grain],
            ["Owner", detail.owner],
            ["Criticality", detail.criticality],
            ["Newest safe", freshness?.last_partition ?? "none"],
            ["Behind by", duration(freshness?.lag_seconds)],
            ["At most", duration(freshness?.sla_seconds)],
          ]}
        />
        <p className="row">
          {STATES.filter((state) => detail.partitions[state]).map((state) => (
            <span key={state} className="row small">
              <Mark state={shown(state, doubt)} /> {figure(detail.partitions[state])} {shown(state, doubt)}
            </span>
          ))}
        </p>
        {safety.data && safety.data.reasons.length > 0 && (
          <ol className="reasons">
            {safety.data.reasons.slice(0, 5).map((reason) => (
              <li key={`${reason.partition} ${reason.message}`}>
                <span>
                  {reason.partition && (
                    <Link to={pathOf.partition(detail.dataset, reason.partition)}>{reason.partition}</Link>
                  )}{" "}
                  {reason.message}
                </span>
                <span className="soft">What clears it: {reason.clears}</span>
              </li>
            ))}
          </ol>
        )}
      </Card>
      <Card title="Who relies on it">
        {detail.consumers.length === 0 ? (
          <p className="soft">No consumer is registered.</p>
        ) : (
          <ul className="list">
            {detail.consumers.map((consumer) => (
              <li key={consumer.name}>
                <strong>{consumer.name}</strong>
                {consumer.kind && ` (${consumer.kind})`}
                <br />
                <span className="soft">{[consumer.owner, consumer.contact].filter(Boolean).join(", ")}</span>
              </li>
            ))}
          </ul>
        )}
      </Card>
    </div>
  );
}

function Neighbours({ detail, doubt }: { detail: DatasetDetail; doubt: string | null }) {
  const lineage = useQuery(questions.lineage(detail.dataset));
  const own = useDoubt(null, lineage);
  return (
    <Card title="Lineage">
      <Asked query={lineage}>
        {(found) => (
          <Suspense
            fallback={
              <p className="soft" aria-busy="true">
                Drawing …
              </p>
            }
          >
            <Lineage
              label={`What ${detail.dataset} is made of, and what is made of it`}
              nodes={found.nodes.map((node) => ({
                ...node,
                id: node.dataset,
                partition: null,
                state: shown(node.state, doubt ?? own),
              }))}
              edges={found.edges.map((edge) => [edge.upstream, edge.downstream])}
              here={detail.dataset}
            />
          </Suspense>
        )}
      </Asked>
    </Card>
  );
}

function Columns({ detail }: { detail: DatasetDetail }) {
  return (
    <Card title="Columns">
      <div className="scroll">
        <table>
          <thead>
            <tr>
              <th scope="col">Column</th>
              <th scope="col">Type</th>
              <th scope="col">Is</th>
              <th scope="col">Description</th>
            </tr>
          </thead>
          <tbody>
            {detail.columns.map((column) => (
              <tr key={column.name}>
                <td>
                  <code>{column.name}</code>
                </td>
                <td>{column.type}</td>
                <td>
                  {[
                    column.required && "never empty",
                    column.unique && "unique",
                    column.classification !== "public" && column.classification,
                  ]
                    .filter(Boolean)
                    .join(", ")}
                </td>
                <td>{column.description}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}

function Measures({ dataset }: { dataset: string }) {
  const query = useQuery(questions.measures(dataset));
  return (
    <Card title="Over time">
      <Asked query={query}>
        {({ measures }) =>
          measures.length === 0 ? (
            <p className="soft">Nothing was measured yet.</p>
          ) : (
            <div className="columns">
              {measures.toSorted(byWeight).map((measure) => (
                <MeasureChart key={measure.name} measure={measure} dataset={dataset} />
              ))}
            </div>
          )
        }
      </Asked>
    </Card>
  );
}

// What everybody asks first; the rest as it comes.
const FIRST = ["freshness_lag", "row_count"];

function byWeight(one: Measure, other: Measure): number {
  return FIRST.indexOf(other.name) - FIRST.indexOf(one.name);
}

function MeasureChart({ measure, dataset }: { measure: Measure; dataset: string }) {
  const navigate = useNavigate();
  const points = useMemo(
    () =>
      measure.points.map((point) => ({
        name: point.partition,
        value: point.value,
        isBad: point.failed,
        low: point.expected_low,
        high: point.expected_high,
      })),
    [measure],
  );
  const name = measure.name.replace(/^([a-z_]+):/, (_, what: string) => `${what.replace(/_/g, " ")} of `);
  const title = name === measure.name ? name.replace(/_/g, " ") : name;
  return (
    <div className="stack">
      <h3>
        {title}
        {measure.unit && measure.unit !== "seconds" && ` (${measure.unit})`}
      </h3>
      <Series
        unit={measure.unit}
        label={`${title} of ${dataset} by partition, with what was expected`}
        points={points}
        bad="its check failed"
        onPick={(day) => navigate(pathOf.partition(dataset, day))}
      />
    </div>
  );
}

function ContractCard({ dataset }: { dataset: string }) {
  const query = useQuery(questions.contract(dataset));
  return (
    <Card title="Its contract, in words">
      <Asked query={query}>{(contract) => <Promises contract={contract} />}</Asked>
    </Card>
  );
}

const SENTENCES = 14;

function Sentences({ sentences }: { sentences: string[] }) {
  return (
    <ul className="prose">
      {sentences.map((sentence) => (
        <li key={sentence}>{sentence}</li>
      ))}
    </ul>
  );
}

function Promises({ contract }: { contract: Contract }) {
  return (
    <>
      <p className="soft">Version {contract.version}</p>
      <Sentences sentences={contract.words.slice(0, SENTENCES)} />
      {contract.words.length > SENTENCES && (
        <details className="more">
          <summary>{many(contract.words.length - SENTENCES, "more sentence")}</summary>
          <Sentences sentences={contract.words.slice(SENTENCES)} />
        </details>
      )}
      {contract.checks.length > 0 && (
        <details className="more">
          <summary>Every check</summary>
          <div className="scroll">
            <table>
              <thead>
                <tr>
                  <th scope="col">Clause</th>
                  <th scope="col">In words</th>
                  <th scope="col">If it fails</th>
                </tr>
              </thead>
              <tbody>
                {contract.checks.map((check) => (
                  <tr key={check.clause}>
                    <td>
                      <code>{check.clause}</code>
                    </td>
                    <td>{check.words}</td>
                    <td>{check.blocking ? "nothing is published" : "a warning"}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </details>
      )}
    </>
  );
}
