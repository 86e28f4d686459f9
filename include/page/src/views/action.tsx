import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useNavigate, useParams } from "react-router";
import { tell } from "../api/client";
import { questions } from "../api/queries";
import type { Action } from "../api/types";
import { useDoubt, utc } from "../live";
import { inWords, subjectOf } from "../parts/action_words";
import { Answering } from "../parts/answering";
import { Asked, Card, Facts, Fault, pathOf, Title } from "../parts/basics";
import { Doubt } from "../parts/doubt";
import { EvidenceList } from "../parts/evidence";
import { RadiusFacts } from "../parts/radius";
import { missing, useSession } from "../session";

/** One action: what it does to what, on what evidence, who answered, and the way back. */
export function ActionView() {
  const { id = "" } = useParams();
  const query = useQuery(questions.action(Number(id)));
  const doubt = useDoubt(null, query);
  return (
    <>
      <div className="stack">
        <Link to="/action" className="small">
          Actions
        </Link>
        <Title text={query.data ? `${inWords(query.data.kind)} ${subjectOf(query.data)}` : `Action ${id}`} />
      </div>
      {doubt && <Doubt words={doubt} />}
      <Asked query={query}>
        {(action) => (
          <>
            <Standing action={action} />
            <div className="columns">
              <Card title="What it touches">
                <RadiusFacts radius={action.radius} />
              </Card>
              <Card title="On what evidence">
                <EvidenceList action={action} />
              </Card>
            </div>
            {action.state === "proposed" && (
              <Card title="Your answer">
                <Answering action={action} />
              </Card>
            )}
            <Story action={action} />
            {action.state === "approved" && <Executing action={action} />}
            {action.state === "executed" && <WayBack action={action} />}
          </>
        )}
      </Asked>
    </>
  );
}

function Standing({ action }: { action: Action }) {
  const said = action.decision?.reasons.map((reason) => reason.message) ?? [];
  return (
    <Card title="How it stands">
      <Facts
        facts={[
          ["State", <strong key="state">{action.state.replace("_", " ")}</strong>],
          ["Proposed by", action.actor.name],
          ["Proposed", utc(action.proposed_at)],
          ["Expires", action.state === "proposed" ? utc(action.expires_at) : "–"],
          ["Executed", action.executed_at ? utc(action.executed_at) : "–"],
          [
            "Undoes",
            action.undoes ? (
              <Link key="undoes" to={pathOf.action(action.undoes)}>
                action {action.undoes}
              </Link>
            ) : (
              "–"
            ),
          ],
        ]}
      />
      <p>{action.rationale}</p>
      {said.length > 0 && (
        <div className="notice">
          <strong>The policy</strong>
          <span>{said.join(" ")}</span>
        </div>
      )}
      {action.decision?.failure && (
        <div className="notice warn">
          <strong>Nobody could decide</strong>
          <span>{action.decision.failure}</span>
        </div>
      )}
      {action.failure && (
        <div className="notice bad">
          <strong>It failed</strong>
          <span>{action.failure}</span>
        </div>
      )}
    </Card>
  );
}

function Story({ action }: { action: Action }) {
  const steps: { at: string; words: string }[] = [
    { at: action.proposed_at, words: `${action.actor.name} proposed it: ${action.rationale}` },
    ...action.answers.map((answer) => ({
      at: answer.at,
      words: `${answer.actor.name} ${answer.answer === "approve" ? "approved" : "rejected"} it by ${answer.via}: ${answer.reason}`,
    })),
    ...(action.executed_at ? [{ at: action.executed_at, words: "It was carried out." }] : []),
  ];
  return (
    <Card title="Who did what">
      <ol className="steps">
        {steps
          .toSorted((one, other) => one.at.localeCompare(other.at))
          .map((step) => (
            <li key={`${step.at} ${step.words}`}>
              <span className="soft small">{utc(step.at)}</span>
              <br />
              {step.words}
            </li>
          ))}
      </ol>
    </Card>
  );
}

function Executing({ action }: { action: Action }) {
  const queries = useQueryClient();
  const lack = missing(useSession(), "execute", action.domains);
  const execute = useMutation({
    mutationFn: () => tell<Action>("POST", `/v1/actions/${action.action_id}/execution`),
    onSettled: () => queries.invalidateQueries(),
  });
  return (
    <Card title="Carry it out">
      <p className="soft">
        {lack ?? "It is approved and was not carried out yet; precondition and policy are asked again."}
      </p>
      <div className="row">
        <button
          type="button"
          className="button primary"
          disabled={lack !== null || execute.isPending}
          onClick={() => execute.mutate()}
        >
          Carry it out
        </button>
      </div>
      {execute.isError && <Fault problem={execute.error} />}
    </Card>
  );
}

function WayBack({ action }: { action: Action }) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const lack = missing(useSession(), "propose", action.domains);
  const [reason, setReason] = useState("");
  const rollBack = useMutation({
    mutationFn: () => tell<Action>("POST", `/v1/actions/${action.action_id}/rollback`, { reason }),
    onSuccess: async (inverse) => {
      await queries.invalidateQueries();
      await navigate(pathOf.action(inverse.action_id));
    },
  });
  return (
    <Card title="Roll it back">
      <p className="soft">
        {lack ?? "The inverse is proposed; the policy decides about it as about any other action."}
      </p>
      <label className="field">
        Why
        <textarea
          name="rollback"
          value={reason}
          disabled={lack !== null}
          onChange={(event) => setReason(event.target.value)}
        />
      </label>
      <div className="row">
        <button
          type="button"
          className="button"
          disabled={lack !== null || reason.trim() === "" || rollBack.isPending}
          onClick={() => rollBack.mutate()}
        >
          Roll back
        </button>
      </div>
      {rollBack.isError && <Fault problem={rollBack.error} />}
    </Card>
  );
}
