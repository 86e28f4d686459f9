import { useQuery } from "@tanstack/react-query";
import { Link, useSearchParams } from "react-router";
import { questions } from "../api/queries";
import type { Action } from "../api/types";
import { useDoubt, utc } from "../live";
import { inWords, subjectOf } from "../parts/action_words";
import { Answering } from "../parts/answering";
import { Asked, Card, pathOf, Title } from "../parts/basics";
import { Doubt } from "../parts/doubt";
import { EvidenceList } from "../parts/evidence";
import { RadiusFacts } from "../parts/radius";

const STATES = ["proposed", "approved", "executed", "rolled_back", "rejected", "expired", "failed", "invalidated"];

/** The inbox of what waits for an answer, and what was done by whom. */
export function ActionsView() {
  const [filters, setFilters] = useSearchParams();
  const state = filters.get("state");
  const open = useQuery(questions.actions("proposed"));
  const all = useQuery(questions.actions(state));
  const doubt = useDoubt(null, open);
  return (
    <>
      <Title text="Actions" />
      {doubt && <Doubt words={doubt} />}
      <Card title="Waiting for an answer">
        <Asked query={open}>
          {(page) =>
            page.items.length === 0 ? (
              <p className="soft">Nothing waits for an answer.</p>
            ) : (
              page.items.map((action) => <Waiting key={action.action_id} action={action} />)
            )
          }
        </Asked>
      </Card>
      <Card
        title="What was done, and by whom"
        aside={
          <select
            aria-label="State"
            value={state ?? ""}
            onChange={(event) => setFilters(event.target.value ? { state: event.target.value } : {})}
          >
            <option value="">in any state</option>
            {STATES.map((one) => (
              <option key={one} value={one}>
                {one.replace("_", " ")}
              </option>
            ))}
          </select>
        }
      >
        <Asked query={all}>{(page) => <History actions={page.items} />}</Asked>
      </Card>
    </>
  );
}

function Waiting({ action }: { action: Action }) {
  return (
    <article className="card" aria-label={`Action ${action.action_id}`}>
      <div className="row spread">
        <h3>
          <Link to={pathOf.action(action.action_id)}>
            {action.action_id}: {inWords(action.kind)} {subjectOf(action)}
          </Link>
        </h3>
        <span className="soft small">expires {utc(action.expires_at)}</span>
      </div>
      <p>
        <strong>{action.actor.name}</strong>: {action.rationale}
      </p>
      <div className="columns">
        <div className="stack">
          <h3>What it touches</h3>
          <RadiusFacts radius={action.radius} />
        </div>
        <div className="stack">
          <h3>On what evidence</h3>
          <EvidenceList action={action} />
        </div>
      </div>
      <Answering action={action} />
    </article>
  );
}

function History({ actions }: { actions: Action[] }) {
  if (actions.length === 0) return <p className="soft">There is none.</p>;
  return (
    <div className="scroll">
      <table>
        <thead>
          <tr>
            <th scope="col">Action</th>
            <th scope="col">State</th>
            <th scope="col">Proposed by</th>
            <th scope="col">Why</th>
            <th scope="col">Answers</th>
            <th scope="col">When</th>
          </tr>
        </thead>
        <tbody>
          {actions.map((action) => (
            <tr key={action.action_id}>
              <td>
                <Link to={pathOf.action(action.action_id)}>
                  {action.action_id}: {inWords(action.kind)} {subjectOf(action)}
                </Link>
              </td>
              <td>{action.state.replace("_", " ")}</td>
              <td>{action.actor.name}</td>
              <td>{action.rationale}</td>
              <td>
                {action.answers
                  .map((answer) => `${answer.actor.name} ${answer.answer === "approve" ? "approved" : "rejected"}`)
                  .join(", ")}
              </td>
              <td>{utc(action.executed_at ?? action.decided_at ?? action.proposed_at)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
