import { useQuery } from "@tanstack/react-query";
import { questions } from "../api/queries";
import type { Action } from "../api/types";
import { utc } from "../live";
import { figure, PartitionLink } from "./basics";
import { StateBadge } from "./states";

/** What was recorded in favour of an action, and how the partition that it is about stands now. */
export function EvidenceList({ action }: { action: Action }) {
  const partition = action.partitions.length === 1 ? action.partitions[0] : undefined;
  return (
    <div className="stack">
      {action.dataset && partition && <Now dataset={action.dataset} partition={partition} />}
      {action.evidence.length === 0 ? (
        <p className="soft">No recorded fact was given: it rests on the words of who proposed it.</p>
      ) : (
        <ul className="list small">
          {action.evidence.map((fact) => (
            <li key={`${fact.kind} ${fact.ref}`}>
              <strong>{fact.kind.replace(/_/g, " ")}</strong> {fact.ref}
              {fact.dataset && ` (${fact.dataset} ${fact.partition ?? ""})`}, {figure(fact.count)} times,{" "}
              {utc(new Date(fact.at * 1000).toISOString())}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

function Now({ dataset, partition }: { dataset: string; partition: string }) {
  const query = useQuery(questions.partition(dataset, partition));
  const found = query.data;
  if (!found || query.isError) return null;
  return (
    <>
      <p className="row">
        <PartitionLink dataset={dataset} partition={partition} />
        <StateBadge state={found.answer.state} />
      </p>
      <ul className="small">
        {found.answer.reasons.map((reason) => (
          <li key={reason.message}>{reason.message}</li>
        ))}
      </ul>
    </>
  );
}
