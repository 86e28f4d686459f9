"""The story that `interlock demo` plays: a week of real flights, one bad day, and how it becomes safe again.

Everything in it is done by public means: the commands that it prints are run as printed, and DAG runs are
triggered over Airflow's REST API, as the button in the UI does. It ends well only if every step ended as
told: a demo that goes on after a gate has let bad data through would be the worst advertisement.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date, timedelta

from pydantic import BaseModel, ConfigDict
from rich.console import Console

from interlock import services
from interlock.airflow_rest import Airflow
from interlock.errors import PermanentFailure

FIRST, LAST, BAD = date(2013, 1, 1), date(2013, 1, 7), date(2013, 1, 5)
# What was recalled once does not come back: each demo on the same state recalls another day.
RECALLED = (date(2013, 1, 3), date(2013, 1, 4), date(2013, 1, 6), date(2013, 1, 2))
SILENT_FAULT = "every_tenth_row_missing"
RECALL = "Every tenth flight was never exported."
CLOCK = "2013-01-08T06:00:00Z"
FLIGHTS, WEATHER, MAINTENANCE = "flight_operations", "airport_weather", "interlock_maintenance"
CONTROL = "interlock_control"
OPERATOR, CONSUMER = "demo_operator", "demo_dashboard"
RUN_SECONDS = 300
POLL_SECONDS = 0.5
METRICS = ("scheduled_flights", "cancellation_rate", "on_time_arrival_rate", "average_arrival_delay_minutes")
READERS_VIEW = "select flight_date, count(*) as flights from safe.fct_flights group by 1 order by 1"
ENDED = ("success", "failed")


class Scenario(BaseModel):
    """One kind of bad day: the fault that the producer makes, and the story in a sentence."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fault: str
    story: str


SCENARIOS = {
    "units": Scenario(
        fault="seconds_instead_of_minutes", story="the producer sends delays in seconds; every row is well formed"
    ),
    "half": Scenario(fault="half_the_rows", story="half of the day's flights are missing; every row is well formed"),
    "renamed": Scenario(fault="renamed_column", story="a column has a new name in the file's header"),
    "truncated": Scenario(fault="truncated_file", story="the file ends in the middle of a row"),
    "duplicates": Scenario(fault="doubled_file", story="the day's flights come twice in one file"),
    "yesterday": Scenario(fault="shifted_dates", story="yesterday's rows arrive under today's name"),
    "encoding": Scenario(fault="broken_encoding", story="a tail number is written in Latin-1"),
    "nulls": Scenario(fault="null_burst", story="a column that is always filled is mostly empty"),
}
DEFAULT_SCENARIO = "units"


class DagRun(BaseModel):
    """A DAG run that the demo waits for; `day` is the day that it is about."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dag: str
    run_id: str
    day: date

    @property
    def path(self) -> str:
        """Where Airflow's REST API has it."""
        return f"/api/v2/dags/{self.dag}/dagRuns/{self.run_id}"


class Demo:
    """Plays one scenario; `corrects` is whether the producer delivers the correction at the end."""

    def __init__(self, scenario: Scenario, *, corrects: bool = True, console: Console | None = None) -> None:
        self._scenario = scenario
        self._corrects = corrects
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._began = time.monotonic()
        self._stamp = int(time.time())
        self._environment: dict[str, str] = {}
        self._recalled: date | None = None

    def play(self) -> None:
        """The whole story; raises where it does not end as told. Leaves nothing running that did not run before."""
        self._chapter("Real PostgreSQL and real Airflow start")
        with services.running(self._say) as airflow:
            self._command("clock", "set", CLOCK, quietly=True)
            self._command("renew", quietly=True)  # what a demo of long ago left has run out, and stays so
            self._say(f"The platform's clock is set to {CLOCK}: this is a replay of 2013, and every answer says so.")
            self._recalled = self._day_to_recall() if self._corrects else None
            self._week(airflow)
            self._bad_day()
            if self._corrects:
                self._correction(airflow)
                if self._recalled:
                    self._recall(airflow, self._recalled)
            self._where_it_stands()
        self._what_next()

    def _week(self, airflow: Airflow) -> None:
        self._chapter("A week is delivered, loaded, modelled, gated and published, day by day")
        self._say(f"On {BAD}, {self._scenario.story}. Nobody has told the platform.")
        earlier: list[DagRun] = []
        for day in _days(FIRST, LAST):
            named = {self._recalled: SILENT_FAULT, BAD: self._scenario.fault}.get(day)
            fault = ["--fault", named, "--on", str(day)] if named else []
            self._command("deliver", "--from", str(day), *fault, quietly=True)
            flights, weather = (self._trigger(airflow, domain, day) for domain in (FLIGHTS, WEATHER))
            # The weather of a day waits for its flights by itself, and the next day need not wait for the weather.
            self._see(airflow, [*earlier, flights])
            earlier = [weather]
        self._see(airflow, earlier)

    def _bad_day(self) -> None:
        self._chapter("The bad day: nothing of it is visible, and everyone who asks is told")
        self._command("check", "fct_flights", "--partition", str(BAD), expected=3)
        self._command("explain", "fct_departure_conditions", "--partition", str(BAD))
        self._say("What a dashboard reads: the day is simply not there, and no other day is touched.")
        self._command("psql", "consumer", "-c", READERS_VIEW)

    def _correction(self, airflow: Airflow) -> None:
        self._chapter("The producer delivers a correction; the day is rerun")
        self._command("deliver", "--from", str(BAD))
        self._see(airflow, [self._trigger(airflow, FLIGHTS, BAD, attempt=2)], is_corrected=True)
        self._say(
            "The weather of that day was held back; its rebuild is queued, and the maintenance DAG carries it out."
        )
        self._see(airflow, [self._start(airflow, MAINTENANCE, BAD)], is_corrected=True)
        for dataset in ("fct_flights", "fct_departure_conditions"):
            self._command("check", dataset, "--partition", str(BAD))

    def _day_to_recall(self) -> date | None:
        """The first day that no earlier demo has recalled; None where there is none left."""
        found = json.loads(self._output("finding", "list", "--json"))
        known = {finding["partition"] for finding in found}
        return next((day for day in RECALLED if str(day) not in known), None)

    def _recall(self, airflow: Airflow, recalled: date) -> None:
        self._chapter("A day that was published is recalled by its producer, and quarantined by rule")
        self._say(f"Every tenth flight of {recalled} was missing too, evenly: no check can tell that from a quiet day.")
        self._command("check", "fct_flights", "--partition", str(recalled))
        self._command("deliver", "--from", str(recalled), "--recall", RECALL)
        self._say("The control DAG, which looks every minute, finds the recall; the policy lets the rule act on it.")
        self._see(airflow, [self._start(airflow, CONTROL, recalled)], is_corrected=True)
        self._command("check", "fct_departure_conditions", "--partition", str(recalled), expected=3)
        self._say("Somebody asked while it was still safe, and was told so: this demo, a moment ago. It is on record.")
        self._command("recall", "fct_flights", "--partition", str(recalled), expected=3)
        quarantine = self._newest_action("quarantine_partition")

        self._chapter("An operator wants it all the same, for ten days: the policy asks for two others")
        self._as_operator()
        lasts = ("--param", f"consumer={CONSUMER}", "--param", "lasts_hours=240")
        waive = ("action", "propose", "waive", "--dataset", "fct_flights", "--partition", str(recalled), *lasts)
        self._command(*waive, "--reason", "The board meets tomorrow.", "--submit")
        waiver = self._newest_action("waive")
        self._command("action", "approve", waiver, "--reason", "I need it.")
        self._say("Nobody else agrees, so nothing is waived; the proposal is taken back.")
        self._command("action", "reject", waiver, "--reason", "The correction is on its way.", quietly=True)

        self._chapter("The correction is published and safe, and the audit tells the story")
        self._command("deliver", "--from", str(recalled))
        self._see(airflow, [self._trigger(airflow, FLIGHTS, recalled, attempt=2)], is_corrected=True)
        self._see(airflow, [self._start(airflow, MAINTENANCE, recalled)], is_corrected=True)
        for dataset in ("fct_flights", "fct_departure_conditions"):
            self._command("check", dataset, "--partition", str(recalled))
        self._command("audit", "show", quarantine)
        self._command("audit", "verify")

    def _as_operator(self) -> None:
        """Let the commands from here on be those of a person with all rights, and make a consumer that can be named."""
        domains = ("--domain", FLIGHTS, "--domain", WEATHER)
        scopes = [word for scope in ("propose", "approve", "execute") for word in ("--scope", scope)]
        token = self._output("token", "create", "--for", OPERATOR, *scopes, *domains, "--expires-in", "1d")
        self._environment["INTERLOCK_TOKEN"] = token.strip()
        if CONSUMER not in self._output("consumer", "list"):
            self._output("consumer", "create", CONSUMER)

    def _newest_action(self, kind: str) -> str:
        """The number of the newest action of a kind."""
        found = json.loads(self._output("action", "list", "--all", "--json"))
        return next(str(action["action_id"]) for action in found if action["kind"] == kind)

    def _where_it_stands(self) -> None:
        self._chapter("Where it stands")
        self._command("status")
        for metric in METRICS:
            asked = ("metric", metric, "--from", str(FIRST), "--to", str(LAST))
            self._command(*asked, expected=0 if self._corrects else 3)

    def _what_next(self) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        self._chapter(f"That was it, in {minutes} min {seconds:02} s. Try next")
        explained = "fct_flights" if self._corrects else "fct_departure_conditions"
        for command, meaning in (
            (f".venv/bin/interlock explain {explained} --partition {BAD}", "the evidence of a verdict"),
            (
                f".venv/bin/interlock metric on_time_arrival_rate --group-by carrier --from {FIRST} --to {LAST}",
                "by carrier",
            ),
            ("make up", "Airflow's UI on this very state: rerun or backfill any day of 2013 there"),
        ):
            self._say(f"{command}\n      {meaning}")

    def _start(self, airflow: Airflow, dag: str, day: date) -> DagRun:
        """Start a DAG of the platform's own that looks at everything, now rather than in its turn."""
        run = DagRun(dag=dag, run_id=f"demo_{self._stamp}_{day}", day=day)
        airflow.call("POST", f"/api/v2/dags/{dag}/dagRuns", {"logical_date": None, "dag_run_id": run.run_id})
        return run

    def _trigger(self, airflow: Airflow, domain: str, day: date, attempt: int = 1) -> DagRun:
        run = DagRun(dag=domain, run_id=f"demo_{self._stamp}_{day}_{attempt}", day=day)
        body = {"logical_date": None, "dag_run_id": run.run_id, "conf": {"partition": str(day)}}
        airflow.call("POST", f"/api/v2/dags/{domain}/dagRuns", body)
        return run

    def _see(self, airflow: Airflow, runs: list[DagRun], *, is_corrected: bool = False) -> None:
        """Wait for runs and see that each ends as told; the line of each appears when it has ended."""
        waiting = list(runs)
        deadline = time.monotonic() + RUN_SECONDS
        with self._console.status("", spinner="dots") as shown:
            while waiting:
                if time.monotonic() > deadline:
                    raise PermanentFailure(
                        f"{waiting[0].dag} has not ended after {RUN_SECONDS} s (run {waiting[0].run_id}).",
                        fix="The services' logs are in .interlock/logs.",
                    )
                for run in list(waiting):
                    state = airflow.call("GET", run.path)["state"]
                    if state in ENDED:
                        waiting.remove(run)
                        self._judge(airflow, run, state, is_bad=run.day == BAD and not is_corrected)
                shown.update("  " + ", ".join(f"{run.dag} {run.day}" for run in waiting))
                time.sleep(POLL_SECONDS if waiting else 0)

    def _judge(self, airflow: Airflow, run: DagRun, state: str, *, is_bad: bool) -> None:
        """Print how a run ended, and raise where that is not the story."""
        tasks = airflow.call("GET", f"{run.path}/taskInstances")["task_instances"]
        stopped = next((task["task_id"] for task in tasks if task["state"] == "failed"), "")
        shown = "[green]done[/]" if run.dag in (MAINTENANCE, CONTROL) else "[green]published[/]"
        self._console.print(f"  {run.day}  {run.dag:<24}{f'[red]stopped at {stopped}[/]' if stopped else shown}")
        # The other domain is stopped too, where it would read what is not safe.
        if state != ("failed" if is_bad else "success"):
            raise PermanentFailure(
                f"The run of {run.dag} for {run.day} {f'was stopped at {stopped}' if stopped else 'went through'}, "
                f"and the story has it the other way round.",
                fix="`interlock status` and `interlock explain` say more; the tasks' logs are in .interlock/logs.",
            )

    def _command(self, *words: str, expected: int = 0, quietly: bool = False) -> None:
        """Print a public command, run it as printed, and see that it ends as it should."""
        if not quietly:
            shown = " ".join(f'"{word}"' if " " in word else word for word in words)
            self._console.print(f"\n[bold]$ interlock {shown}[/]", markup=True)
        ended = self._run(*words, is_captured=quietly)
        if ended.returncode != expected:
            raise PermanentFailure(
                f"`interlock {' '.join(words)}` ended with {ended.returncode}, not {expected}. {ended.stderr or ''}",
                fix="Run it by hand to see why; the services' logs are in .interlock/logs.",
            )
        if not quietly and ended.returncode:
            self._console.print(f"[dim](exit code {ended.returncode})[/]")

    def _output(self, *words: str) -> str:
        """What a command prints, where the next one needs it."""
        ended = self._run(*words, is_captured=True)
        if ended.returncode:
            raise PermanentFailure(f"`interlock {' '.join(words)}` ended with {ended.returncode}. {ended.stderr}")
        return ended.stdout

    def _run(self, *words: str, is_captured: bool) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "interlock", *words]
        return subprocess.run(  # noqa: S603
            command, check=False, capture_output=is_captured, text=True, env=os.environ | self._environment
        )

    def _chapter(self, title: str) -> None:
        self._console.print(f"\n[bold cyan]── {title}[/]")

    def _say(self, line: str) -> None:
        self._console.print(f"  {line}", markup=False)


def _days(first: date, last: date) -> Iterator[date]:
    for number in range((last - first).days + 1):
        yield first + timedelta(days=number)


def scenarios() -> str:
    """All scenarios, a line each."""
    return "\n\n".join(f"{name}: {scenario.story}" for name, scenario in SCENARIOS.items())
