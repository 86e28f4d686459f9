import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useId, useState } from "react";
import { tell } from "../api/client";
import type { Action } from "../api/types";
import { missing, useSession } from "../session";
import { Fault, many } from "./basics";

function Approvals({ action }: { action: Action }) {
  if (!action.decision) return null;
  const { approvals_counted: counted, approvals_required: required } = action.decision;
  return (
    <p>
      {counted} of {many(required, "approval")} so far.
    </p>
  );
}

/** Approve or reject, with a reason; what is missing for it is said where it is missing. */
export function Answering({ action }: { action: Action }) {
  const session = useSession();
  const queries = useQueryClient();
  const [reason, setReason] = useState("");
  const hint = useId();
  const answer = useMutation({
    mutationFn: (verb: "approve" | "reject") =>
      tell<Action>("POST", `/v1/actions/${action.action_id}/answers`, { verb, reason }),
    onSettled: () => queries.invalidateQueries(),
  });
  if (action.state !== "proposed") return null;
  const isOwn = action.actor.name.toLowerCase() === session.person.toLowerCase();
  const lack = missing(session, "approve", action.domains);
  const given = action.answers.find((one) => one.actor.name.toLowerCase() === session.person.toLowerCase());
  const isIdle = reason.trim() !== "" && !answer.isPending;
  if (given) {
    return (
      <p>
        You {given.answer === "approve" ? "approved" : "rejected"} it: {given.reason}
      </p>
    );
  }
  return (
    <div className="stack">
      <Approvals action={action} />
      <label className="field">
        Your reason
        <textarea
          name={`reason-${action.action_id}`}
          value={reason}
          onChange={(event) => setReason(event.target.value)}
          aria-describedby={hint}
          disabled={lack !== null && !isOwn}
        />
      </label>
      <p className="soft small" id={hint}>
        {lack ??
          (isOwn
            ? "You proposed it. Whether your own approval counts, the policy says; a rejection takes it back."
            : "An answer needs a reason, and the first one of each person stands.")}
      </p>
      <div className="row">
        <button
          type="button"
          className="button primary"
          disabled={!isIdle || lack !== null}
          onClick={() => answer.mutate("approve")}
        >
          Approve
        </button>
        <button
          type="button"
          className="button danger"
          disabled={!isIdle || (lack !== null && !isOwn)}
          onClick={() => answer.mutate("reject")}
        >
          {isOwn ? "Take it back" : "Reject"}
        </button>
      </div>
      {answer.isError && <Fault problem={answer.error} />}
    </div>
  );
}
