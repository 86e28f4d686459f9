import { useCallback } from "react";
import type { Ledger, LedgerEntry } from "../api/types";
import { figure, many, plain } from "../parts/basics";
import { Chart, type Colours } from "./chart";

/** Where every row came from and went to: a stream from the file's lines to the served table, and what left it on the way. */
export function Flow({ accounts }: { accounts: Ledger }) {
  const option = useCallback((colours: Colours) => optionOf(accounts.entries, colours), [accounts]);
  if (accounts.entries.length === 0) return <p className="soft">There are no accounts of this partition yet.</p>;
  const words = accounts.is_balanced ? "Every row is accounted for." : "The accounts do not balance.";
  return (
    <figure className="stack">
      <p>
        {words}
        {accounts.hidden > 0 && ` ${many(accounts.hidden, "step")} in domains that you may not read are left out.`}
      </p>
      <div className="scroll">
        <div style={{ minWidth: 520 }}>
          <Chart
            label={`The rows of ${accounts.dataset} ${accounts.partition} from file to table. ${words}`}
            height={Math.min(420, 90 + accounts.entries.length * 24)}
            option={option}
          />
        </div>
      </div>
      <details className="more small">
        <summary>{many(accounts.entries.length, "step")} as a table</summary>
        <div className="scroll">
          <table>
            <thead>
              <tr>
                <th scope="col">Into</th>
                <th scope="col">From</th>
                {COUNTS.map((name) => (
                  <th scope="col" className="number" key={name}>
                    {name}
                  </th>
                ))}
                <th scope="col">Balances</th>
                <th scope="col">Reasons</th>
              </tr>
            </thead>
            <tbody>
              {accounts.entries.map((entry) => (
                <tr key={`${entry.input} ${entry.dataset} ${entry.version}`} className={entry.balances ? "" : "failed"}>
                  <td>
                    {entry.dataset} version {entry.version}
                  </td>
                  <td>
                    {entry.input}
                    {entry.unit !== "rows" && ` (${entry.unit})`}
                  </td>
                  {COUNTS.map((name) => (
                    <td className="number" key={name}>
                      {figure(entry[name])}
                    </td>
                  ))}
                  <td>{entry.balances ? "yes" : "✕ no"}</td>
                  <td>{Object.keys(entry.reasons).length > 0 ? plain(entry.reasons) : ""}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </figure>
  );
}

const LEAVING = ["quarantined", "deduplicated", "dropped", "lost"] as const;
const COUNTS = ["read", ...LEAVING, "added", "doubled", "written"] as const;

interface Stream {
  source: string;
  target: string;
  value: number;
}

function optionOf(entries: LedgerEntry[], colours: Colours): Record<string, unknown> {
  const streams = entries.flatMap(streamsOf).filter((stream) => stream.value > 0);
  const names = [...new Set(streams.flatMap((stream) => [stream.source, stream.target]))];
  const leaves = (name: string) => LEAVING.find((way) => name.startsWith(`${way} `));
  return {
    tooltip: {
      renderMode: "richText",
      backgroundColor: colours.surface,
      borderColor: colours.line,
      textStyle: { color: colours.ink, fontSize: 12 },
    },
    series: [
      {
        type: "sankey",
        left: 4,
        right: 190,
        top: 10,
        bottom: 16,
        nodeWidth: 12,
        nodeGap: 18,
        draggable: false,
        emphasis: { focus: "adjacency" },
        data: names.map((name) => ({
          name,
          itemStyle: { color: leaves(name) ? colours.warning : colours.accent, borderWidth: 0 },
        })),
        links: streams,
        label: {
          color: colours.ink,
          fontSize: 11,
          lineHeight: 15,
          width: 180,
          overflow: "break",
          formatter: ({ name, value }: { name: string; value: number }) => `${shortened(name)}\n${figure(value)}`,
        },
        lineStyle: { color: "source", opacity: 0.25, curveness: 0.5 },
      },
    ],
  };
}

function streamsOf(entry: LedgerEntry): Stream[] {
  const from = entry.input;
  const into = entry.dataset;
  return [
    { source: from, target: into, value: Math.min(entry.written, entry.read) },
    ...LEAVING.map((way) => ({ source: from, target: `${way} before ${into}`, value: entry[way] })),
    { source: `added in ${into}`, target: into, value: entry.added },
  ];
}

function shortened(name: string): string {
  return name.split("/").pop() ?? name;
}
