import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useRef, useState } from "react";
import { Link, useNavigate } from "react-router";
import { tell } from "../api/client";
import { questions } from "../api/queries";
import type { Action, Preview, State } from "../api/types";
import { missing, useSession } from "../session";
import { inWords, subjectOf } from "./action_words";
import { Card, Fault, many, pathOf } from "./basics";
import { RadiusFacts } from "./radius";

// What can be done to one partition without more than a reason; everything else is proposed on the command line.
const KINDS: Record<string, string> = {
  quarantine_partition: "Quarantine: take the served version out of every reader’s sight",
  release_partition: "Release: show the quarantined version again",
  rollback_partition: "Roll back: serve the last good version again",
  rerun_partition: "Rerun: build it again",
};

interface ProposeProps {
  dataset: string;
  partition: string;
  domain: string;
  state: State;
}

const LIKELY: Partial<Record<State, string>> = {
  quarantined: "release_partition",
  unsafe: "rerun_partition",
  unknown: "rerun_partition",
};

/** A proposal for this partition: what it would touch and what the policy says first, then the proposal itself. */
export function Propose({ dataset, partition, domain, state }: ProposeProps) {
  const session = useSession();
  const queries = useQueryClient();
  const navigate = useNavigate();
  const key = useRef(crypto.randomUUID());
  const [kind, setKind] = useState(LIKELY[state] ?? "quarantine_partition");
  const [rationale, setRationale] = useState("");
  const proposal = { kind, rationale, dataset, partitions: [partition] };
  const preview = useMutation({ mutationFn: () => tell<Preview>("POST", "/v1/actions/preview", proposal) });
  const propose = useMutation({
    mutationFn: () => tell<Action>("POST", "/v1/actions", proposal, key.current),
    onSuccess: async (action) => {
      await queries.invalidateQueries();
      await navigate(pathOf.action(action.action_id));
    },
  });
  const lack = missing(session, "propose", [domain]);
  const change = (set: (value: string) => void) => (value: string) => {
    key.current = crypto.randomUUID();
    preview.reset();
    propose.reset();
    set(value);
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    preview.mutate();
  };
  return (
    <Card title="Actions">
      <Earlier dataset={dataset} partition={partition} />
      {lack && <p className="soft">{lack}</p>}
      <form className="stack" onSubmit={submit}>
        <label className="field">
          What
          <select value={kind} onChange={(event) => change(setKind)(event.target.value)}>
            {Object.entries(KINDS).map(([name, words]) => (
              <option key={name} value={name}>
                {words}
              </option>
            ))}
          </select>
        </label>
        <label className="field">
          Why
          <textarea
            name="rationale"
            required
            value={rationale}
            onChange={(event) => change(setRationale)(event.target.value)}
          />
        </label>
        <div className="row">
          <button type="submit" className="button" disabled={lack !== null || preview.isPending}>
            See what it would do
          </button>
        </div>
      </form>
      {preview.isError && <Fault problem={preview.error} />}
      {preview.data && (
        <div className="stack" aria-live="polite">
          <Outlook preview={preview.data} />
          <RadiusFacts radius={preview.data.radius} />
          <div className="row">
            <button
              type="button"
              className="button primary"
              disabled={preview.data.obstacle !== null || propose.isPending}
              onClick={() => propose.mutate()}
            >
              Propose it
            </button>
          </div>
          {propose.isError && <Fault problem={propose.error} />}
        </div>
      )}
    </Card>
  );
}

function Earlier({ dataset, partition }: { dataset: string; partition: string }) {
  const { data } = useQuery(questions.actionsOn(dataset, partition));
  if (!data || data.items.length === 0) return null;
  return (
    <ul className="list">
      {data.items.map((action) => (
        <li key={action.action_id} className="row">
          <Link to={pathOf.action(action.action_id)}>
            {action.action_id}: {inWords(action.kind)} {subjectOf(action)}
          </Link>
          <span className="tag">{action.state.replace("_", " ")}</span>
          <span className="soft">
            {action.actor.name}: {action.rationale}
          </span>
        </li>
      ))}
    </ul>
  );
}

function Outlook({ preview }: { preview: Preview }) {
  const { decision, obstacle } = preview;
  const needed = decision.approvals_required ?? 0;
  const words: Record<string, string> = {
    execute: "The policy would let it be carried out at once.",
    await_approvals: `The policy asks for ${many(needed, "approval")} first.`,
    refuse: "The policy refuses it.",
  };
  return (
    <div className={obstacle || decision.outcome === "refuse" ? "notice bad" : "notice"}>
      <strong>{obstacle ? "It cannot be done now." : (words[decision.outcome] ?? decision.outcome)}</strong>
      <span>{obstacle ?? decision.reasons.map((reason) => reason.message).join(" ")}</span>
    </div>
  );
}
