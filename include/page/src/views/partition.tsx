import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense } from "react";
import { Link, useParams } from "react-router";
import { questions } from "../api/queries";
import type { Answer, Finding, Judgement, PartitionDetail } from "../api/types";
import { Flow } from "../charts/flow";
import { shown, useDoubt, utc } from "../live";
import { Asked, Card, DatasetLink, Facts, figure, many, PartitionLink, plain, Title } from "../parts/basics";
import { Doubt } from "../parts/doubt";
import { Propose } from "../parts/propose";
import { Runs } from "../parts/run";
import { StateBadge } from "../parts/states";
import { Versions } from "../parts/versions";

const Lineage = lazy(async () => ({ default: (await import("../parts/lineage")).Lineage }));

/** One partition: is it safe, why not, what clears it, and everything that this rests on. */
export function PartitionView() {
  const { dataset = "", partition = "" } = useParams();
  const query = useQuery(questions.partition(dataset, partition));
  const about = useQuery(questions.dataset(dataset));
  const doubt = useDoubt(query.data?.answer.valid_until, query);
  return (
    <>
      <div className="stack">
        <Link to="/" className="small">
          Matrix
        </Link>
        <div className="row">
          <Title text={`${dataset} ${partition}`}>
            <DatasetLink dataset={dataset} /> {partition}
          </Title>
          {query.data && <StateBadge state={shown(query.data.answer.state, doubt)} large />}
        </div>
      </div>
      {doubt && <Doubt words={doubt} />}
      <Asked query={query}>
        {(found) => (
          <>
            <div className="columns lead">
              <Why detail={found} doubt={doubt} />
              <Standing answer={found.answer} />
            </div>
            <CausePath detail={found} doubt={doubt} />
            <Evidence detail={found} />
            <Ledger dataset={dataset} partition={partition} />
            <Versions dataset={dataset} partition={partition} />
            {about.data && <Runs domain={about.data.domain} partition={partition} />}
            {about.data && (
              <Propose
                key={found.answer.state}
                dataset={dataset}
                partition={partition}
                domain={about.data.domain}
                state={found.answer.state}
              />
            )}
          </>
        )}
      </Asked>
    </>
  );
}

function Why({ detail, doubt }: { detail: PartitionDetail; doubt: string | null }) {
  const { answer } = detail;
  if (answer.reasons.length === 0) {
    return (
      <Card title="Why">
        <p>
          {doubt
            ? "It was safe when it was last read."
            : answer.safe
              ? "A passing verdict stands on exactly the version that readers are served, and nothing speaks against it."
              : "Nothing speaks against it, and nothing for it yet."}
        </p>
        <Remarks detail={detail} />
      </Card>
    );
  }
  return (
    <Card title="Why it is not safe">
      <ol className="reasons">
        {answer.reasons.map((reason) => (
          <li key={`${reason.code} ${reason.message}`}>
            <span>{reason.message}</span>
            <span>
              <strong>What clears it: </strong>
              {reason.clears}
            </span>
            <span className="soft small">
              {reason.code}
              {reason.since && `, since ${utc(reason.since)}`}
              {reason.path.length > 1 && `, by way of ${reason.path.join(" → ")}`}
            </span>
          </li>
        ))}
      </ol>
      <Remarks detail={detail} />
    </Card>
  );
}

function Remarks({ detail }: { detail: PartitionDetail }) {
  const { answer } = detail;
  return (
    <>
      {detail.rebuild_queued_at && <p>A rebuild of it is queued since {utc(detail.rebuild_queued_at)}.</p>}
      {answer.bootstrapped && (
        <p>There was too little history for some checks: the contract’s own bounds stood in for them.</p>
      )}
      {answer.waiver && (
        <p>
          <strong>{answer.waiver.consumer}</strong> may read it all the same until {utc(answer.waiver.expires_at)} (
          <Link to={`/action/${answer.waiver.action}`}>action {answer.waiver.action}</Link>: {answer.waiver.reason}). It
          makes nothing safe.
        </p>
      )}
    </>
  );
}

function Standing({ answer }: { answer: Answer }) {
  return (
    <Card title="The answer">
      <Facts
        facts={[
          ["Version", answer.version ?? "none is served"],
          ["Verdict", answer.verdict_id],
          ["Contract", answer.contract_version],
          ["Warnings", answer.warnings],
          ["As of", utc(answer.as_of)],
          ["Runs out", answer.valid_until ? utc(answer.valid_until) : "at once"],
        ]}
      />
      {answer.clock_offset_seconds !== null && (
        <p className="soft small">The platform’s clock is set: this is judged as of its time, not of yours.</p>
      )}
    </Card>
  );
}

function CausePath({ detail, doubt }: { detail: PartitionDetail; doubt: string | null }) {
  const { nodes, edges, root } = detail.cause_path;
  if (nodes.length < 2) return null;
  const here = `${detail.answer.dataset}/${detail.answer.partition}`;
  return (
    <Card title="The way from the cause">
      <Suspense
        fallback={
          <p className="soft" aria-busy="true">
            Drawing …
          </p>
        }
      >
        <Lineage
          label={`The way from the cause to ${here}`}
          nodes={nodes.map((node) => ({
            ...node,
            id: node.dataset,
            state: shown(node.state, doubt),
          }))}
          edges={edges}
          here={detail.answer.dataset}
          root={root ?? null}
        />
      </Suspense>
    </Card>
  );
}

function Evidence({ detail }: { detail: PartitionDetail }) {
  return (
    <Card title="Evidence">
      {detail.note && <p className="soft">{detail.note}</p>}
      {detail.judgements.length === 0 && !detail.note && <p className="soft">No verdict was ever reached.</p>}
      {detail.judgements.map((judgement) => (
        <Verdict key={judgement.verdict_id} judgement={judgement} />
      ))}
    </Card>
  );
}

function Verdict({ judgement }: { judgement: Judgement }) {
  return (
    <div className="stack">
      <p>
        <strong>Verdict {judgement.verdict_id}</strong>:{" "}
        <PartitionLink dataset={judgement.dataset} partition={judgement.partition} /> version {judgement.version}{" "}
        {judgement.outcome} under contract {judgement.contract_version} at {utc(judgement.judged_at)}
      </p>
      {judgement.findings.length === 0 ? (
        <p className="soft">Every check passed.</p>
      ) : (
        <div className="scroll">
          <table>
            <thead>
              <tr>
                <th scope="col">Check</th>
                <th scope="col">Expected</th>
                <th scope="col">Observed</th>
                <th scope="col" className="number">
                  Rows against it
                </th>
                <th scope="col">Such as</th>
              </tr>
            </thead>
            <tbody>
              {judgement.findings.map((finding) => (
                <tr key={finding.clause} className={isBlocking(finding) ? "failed" : ""}>
                  <td>
                    <code>{finding.clause}</code>
                    <br />
                    <span className="soft small">
                      {finding.success
                        ? "passed, with a remark"
                        : isBlocking(finding)
                          ? "✕ blocks"
                          : `! ${finding.severity}`}
                    </span>
                  </td>
                  <td>{plain(finding.expected)}</td>
                  <td>{finding.observed === null ? finding.message : plain(finding.observed)}</td>
                  <td className="number">
                    {figure(finding.unexpected_count)}
                    {finding.evaluated_rows !== null && ` of ${figure(finding.evaluated_rows)}`}
                  </td>
                  <td>
                    <Samples finding={finding} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </div>
  );
}

function Samples({ finding }: { finding: Finding }) {
  if (finding.sample_keys.length === 0) return null;
  return (
    <details className="more small">
      <summary>{many(finding.sample_keys.length, "key")}</summary>
      <ul>
        {finding.sample_keys.map((key) => (
          <li key={plain(key)} className="mono">
            {plain(key)}
          </li>
        ))}
      </ul>
    </details>
  );
}

function isBlocking(finding: Finding): boolean {
  return !finding.success && finding.severity !== "warning";
}

function Ledger({ dataset, partition }: { dataset: string; partition: string }) {
  const query = useQuery(questions.ledger(dataset, partition));
  return (
    <Card title="From file to fact">
      <Asked query={query}>{(accounts) => <Flow accounts={accounts} />}</Asked>
    </Card>
  );
}
