import { useQuery } from "@tanstack/react-query";
import { useSearchParams } from "react-router";
import { questions } from "../api/queries";
import type { Run } from "../api/types";
import { utc } from "../live";
import { AirflowLink } from "./airflow";
import { Asked, Card, duration, figure } from "./basics";

/** What ran for this partition, the newest first, with the phases of one run and the way to the logs of its tasks. */
export function Runs({ domain, partition }: { domain: string; partition: string }) {
  const query = useQuery(questions.runs(domain, partition));
  const [chosen, choose] = useSearchParams();
  return (
    <Card title="Runs">
      <Asked query={query}>
        {({ items }) => {
          const run = items.find((one) => String(one.run_id) === chosen.get("run")) ?? items[0];
          if (!run) return <p className="soft">Nothing ever ran for it.</p>;
          return (
            <>
              {items.length > 1 && (
                <select
                  aria-label="Run"
                  value={run.run_id}
                  onChange={(event) =>
                    choose((known) => ({ ...Object.fromEntries(known), run: event.target.value }), {
                      replace: true,
                      preventScrollReset: true,
                    })
                  }
                >
                  {items.map((one) => (
                    <option key={one.run_id} value={one.run_id}>
                      Run {one.run_id}, {utc(one.started_at)}: {one.state.replace("_", " ")}
                    </option>
                  ))}
                </select>
              )}
              <RunPhases runId={run.run_id} />
            </>
          );
        }}
      </Asked>
    </Card>
  );
}

function RunPhases({ runId }: { runId: number }) {
  const query = useQuery(questions.run(runId));
  return <Asked query={query}>{(run) => <Phases run={run} />}</Asked>;
}

function Phases({ run }: { run: Run }) {
  const log = (phase: string) => run.airflow.find((task) => task.task_id === phase && task.url)?.url;
  const whole = run.airflow.find((task) => task.url);
  return (
    <>
      <p>
        Run {run.run_id} of {run.domain}, by {run.actor}: {run.state.replace("_", " ")}, begun {utc(run.started_at)}
        {run.failure_message && `: ${run.failure_message}`}
        {whole?.url ? (
          <>
            {" "}
            <AirflowLink url={whole.url}>The run in Airflow</AirflowLink>
          </>
        ) : (
          <span className="soft"> It was run outside Airflow, or Airflow is not here: there are no task logs.</span>
        )}
      </p>
      <div className="scroll">
        <table>
          <thead>
            <tr>
              <th scope="col">Phase</th>
              <th scope="col">How it ended</th>
              <th scope="col" className="number">
                Took
              </th>
              <th scope="col" className="number">
                Rows
              </th>
              <th scope="col">What it said</th>
              <th scope="col">Log</th>
            </tr>
          </thead>
          <tbody>
            {run.phases.map((phase) => (
              <tr key={`${phase.phase} ${phase.started_at}`} className={phase.state === "failed" ? "failed" : ""}>
                <td>{phase.phase}</td>
                <td>{phase.state === "failed" ? "✕ failed" : phase.state.replace("_", " ")}</td>
                <td className="number">{duration(phase.seconds ?? phase.age_seconds)}</td>
                <td className="number">{figure(phase.rows)}</td>
                <td>{phase.message ?? ""}</td>
                <td>
                  <Log url={log(phase.phase)} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

function Log({ url }: { url: string | null | undefined }) {
  return url ? <AirflowLink url={url}>Log</AirflowLink> : null;
}
