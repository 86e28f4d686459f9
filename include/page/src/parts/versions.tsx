import { useQuery } from "@tanstack/react-query";
import { useSearchParams } from "react-router";
import { questions } from "../api/queries";
import type { Difference, Version } from "../api/types";
import { utc } from "../live";
import { Asked, Card, Facts, figure } from "./basics";

/** Every version of the partition, and what is different between two of them. */
export function Versions({ dataset, partition }: { dataset: string; partition: string }) {
  const query = useQuery(questions.versions(dataset, partition));
  const [chosen, choose] = useSearchParams();
  const from = Number(chosen.get("from")) || null;
  const to = Number(chosen.get("to")) || null;
  const pick = (name: string, version: number) =>
    choose((known) => ({ ...Object.fromEntries(known), [name]: String(version) }), {
      replace: true,
      preventScrollReset: true,
    });
  return (
    <Card title="Versions">
      <Asked query={query}>
        {({ versions }) =>
          versions.length === 0 ? (
            <p className="soft">No version of it was ever built: nothing that it is made of was safe.</p>
          ) : (
            <>
              <div className="scroll">
                <table>
                  <thead>
                    <tr>
                      <th scope="col">Version</th>
                      <th scope="col">It is</th>
                      <th scope="col" className="number">
                        Rows
                      </th>
                      <th scope="col">Verdict</th>
                      <th scope="col">Contract</th>
                      <th scope="col">Built</th>
                      <th scope="col">Published</th>
                      <th scope="col">Made of</th>
                      {versions.length > 1 && <th scope="col">Compare</th>}
                    </tr>
                  </thead>
                  <tbody>
                    {versions.map((version) => (
                      <tr key={version.version}>
                        <td>{version.version}</td>
                        <td>{standing(version)}</td>
                        <td className="number">{figure(version.rows)}</td>
                        <td>{version.outcome ?? "none"}</td>
                        <td>{version.contract_version}</td>
                        <td>{utc(version.built_at)}</td>
                        <td>{utc(version.published_at)}</td>
                        <td className="small">
                          {version.inputs
                            .map((input) => `${input.dataset} ${input.partition} v${input.version}`)
                            .join(", ")}
                        </td>
                        {versions.length > 1 && (
                          <td>
                            <fieldset className="row">
                              <legend className="hidden">Compare version {version.version}</legend>
                              {(["from", "to"] as const).map((name) => (
                                <label key={name} className="row small">
                                  <input
                                    type="radio"
                                    name={name}
                                    checked={(name === "from" ? from : to) === version.version}
                                    onChange={() => pick(name, version.version)}
                                  />
                                  {name}
                                </label>
                              ))}
                            </fieldset>
                          </td>
                        )}
                      </tr>
                    ))}
                  </tbody>
                </table>
              </div>
              {from && to && from !== to && <Compared dataset={dataset} partition={partition} from={from} to={to} />}
            </>
          )
        }
      </Asked>
    </Card>
  );
}

function standing(version: Version): string {
  const words = [version.is_served && "served", version.is_held && "held back", version.is_withdrawn && "quarantined"];
  return words.filter(Boolean).join(", ") || "kept as history";
}

interface ComparedProps {
  dataset: string;
  partition: string;
  from: number;
  to: number;
}

function Compared({ dataset, partition, from, to }: ComparedProps) {
  const query = useQuery(questions.difference(dataset, partition, from, to));
  return <Asked query={query}>{(difference) => <DifferenceTable difference={difference} from={from} to={to} />}</Asked>;
}

function DifferenceTable({ difference, from, to }: { difference: Difference; from: number; to: number }) {
  const touched = difference.columns.filter((column) => column.changed > 0 || column.null_from !== column.null_to);
  return (
    <div className="stack">
      <h3>
        From version {from} to version {to}
      </h3>
      <Facts
        facts={[
          ["Rows before", figure(difference.rows.from)],
          ["Rows after", figure(difference.rows.to)],
          ["Gone", figure(difference.only_in_from)],
          ["New", figure(difference.only_in_to)],
          ["Changed", figure(difference.changed)],
        ]}
      />
      {touched.length > 0 && (
        <div className="scroll">
          <table>
            <thead>
              <tr>
                <th scope="col">Column</th>
                <th scope="col" className="number">
                  Values changed
                </th>
                <th scope="col" className="number">
                  Empty before
                </th>
                <th scope="col" className="number">
                  Empty after
                </th>
              </tr>
            </thead>
            <tbody>
              {touched.map((column) => (
                <tr key={column.name}>
                  <td>{column.name}</td>
                  <td className="number">{figure(column.changed)}</td>
                  <td className="number">{figure(column.null_from)}</td>
                  <td className="number">{figure(column.null_to)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </div>
  );
}
