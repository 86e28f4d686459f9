import type { Radius } from "../api/types";
import { DatasetLink, Facts, figure, many, PartitionLink } from "./basics";

const SHOWN = 12;
const FEW = 3;

function Names({ names }: { names: readonly string[] }) {
  if (names.length <= FEW) return names.join(", ") || "none";
  return (
    <details className="more">
      <summary>{names.length}</summary>
      {names.join(", ")}
    </details>
  );
}

/** What an action touches, downstream included. */
export function RadiusFacts({ radius }: { radius: Radius }) {
  return (
    <div className="stack">
      <Facts
        facts={[
          ["Partitions", figure(radius.partitions)],
          ["Rows", figure(radius.rows)],
          ["Criticality", radius.criticality],
          ["Domains", radius.domains.join(", ") || "none"],
          ["Consumers", radius.consumers.join(", ") || "none"],
          ["Metrics", <Names key="metrics" names={radius.metrics} />],
        ]}
      />
      <ul className="list small">
        {Object.entries(radius.touches).map(([dataset, partitions]) => (
          <li key={dataset}>
            {partitions.length === 1 && partitions[0] ? (
              <PartitionLink dataset={dataset} partition={partitions[0]} />
            ) : (
              <>
                <DatasetLink dataset={dataset} />: {partitions.slice(0, SHOWN).join(", ")}
                {partitions.length > SHOWN && ` and ${many(partitions.length - SHOWN, "more")}`}
              </>
            )}
          </li>
        ))}
      </ul>
    </div>
  );
}
