"""The story that `interlock demo` plays: a week of real flights, one bad day, and how it becomes safe again.

Everything in it is done by public means: the commands that it prints are run as printed, and DAG
runs are triggered over Airflow's REST API, as the button in the UI does.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date, timedelta

from pydantic import BaseModel, ConfigDict
from rich.console import Console

from interlock import services
from interlock.errors import PermanentFailure

FIRST, LAST, BAD = date(2013, 1, 1), date(2013, 1, 7), date(2013, 1, 5)
CLOCK = "2013-01-08T06:00:00Z"
FLIGHTS, WEATHER, MAINTENANCE = "flight_operations", "airport_weather", "interlock_maintenance"
RUN_SECONDS = 300
POLL_SECONDS = 0.5
METRICS = ("scheduled_flights", "cancellation_rate", "on_time_arrival_rate", "average_arrival_delay_minutes")


class Scenario(BaseModel):
    """One kind of bad day: the fault that the producer makes, in which feed, and the story in a sentence."""

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
    "duplicates": Scenario(fault="duplicated_rows", story="some flights are delivered twice"),
    "yesterday": Scenario(fault="shifted_dates", story="yesterday's rows arrive under today's name"),
    "encoding": Scenario(fault="broken_encoding", story="bytes that are no UTF-8 stand in the file"),
    "nulls": Scenario(fault="null_burst", story="a column that is always filled is mostly empty"),
}
DEFAULT_SCENARIO = "units"


class Demo:
    """Plays one scenario; `corrects` is whether the producer delivers the correction at the end."""

    def __init__(self, scenario: Scenario, *, corrects: bool = True, console: Console | None = None) -> None:
        self._scenario = scenario
        self._corrects = corrects
        self._console = console or Console(highlight=False)
        self._stamp = int(time.time())

    def play(self) -> None:
        """The whole story; raises where it does not end as told. Leaves nothing running that did not run before."""
        self._chapter("Real PostgreSQL and real Airflow start")
        with services.running(self._say) as airflow:
            self._command("clock", "set", CLOCK)
            self._week(airflow)
            self._bad_day()
            if self._corrects:
                self._correction(airflow)
            self._ending()

    def _week(self, airflow: services.Airflow) -> None:
        self._chapter("A week is delivered, ingested, modelled, gated and published, day by day")
        self._say(f"On {BAD}, {self._scenario.story}.")
        for day in _days(FIRST, LAST):
            fault = ["--fault", self._scenario.fault, "--on", str(day)] if day == BAD else []
            self._command("deliver", "--from", str(day), "--to", str(day), *fault, quietly=True)
            runs = {domain: self._trigger(airflow, domain, day) for domain in (FLIGHTS, WEATHER)}
            for domain, run in runs.items():
                self._expect(domain, day, self._wait(airflow, domain, run), "failed" if day == BAD else "success")

    def _bad_day(self) -> None:
        self._chapter("The bad day: nothing of it is visible, and everyone who asks is told")
        self._command("check", "fct_flights", "--partition", str(BAD), expected=3)
        self._command("explain", "fct_departure_conditions", "--partition", str(BAD), expected=None)
        self._command("status")

    def _correction(self, airflow: services.Airflow) -> None:
        self._chapter("The producer delivers a correction; the day is rerun")
        self._command("deliver", "--from", str(BAD), "--to", str(BAD))
        self._expect(
            FLIGHTS, BAD, self._wait(airflow, FLIGHTS, self._trigger(airflow, FLIGHTS, BAD, attempt=2)), "success"
        )
        self._say(
            "What was built from the flights of that day waits in the queue of rebuilds; the maintenance DAG takes it from there."
        )
        run = airflow.call(
            "POST", f"/api/v2/dags/{MAINTENANCE}/dagRuns", {"logical_date": None, "dag_run_id": f"demo_{self._stamp}"}
        )
        self._expect(MAINTENANCE, BAD, self._wait(airflow, MAINTENANCE, run["dag_run_id"]), "success")
        self._command("check", "fct_flights", "--partition", str(BAD))

    def _ending(self) -> None:
        self._chapter("Where it stands")
        self._command("status")
        for metric in METRICS:
            self._command(
                "metric", metric, "--from", str(FIRST), "--to", str(LAST), expected=0 if self._corrects else 3
            )
        self._console.print()
        self._say(
            f"The answers above are given as of {CLOCK[:10]}, by a clock that the demo set (`interlock clock clear` unsets it)."
        )
        self._say("Try next:")
        self._say(f"  .venv/bin/interlock explain fct_flights --partition {BAD}")
        self._say(
            "  .venv/bin/interlock metric on_time_arrival_rate --group-by carrier --from 2013-01-01 --to 2013-01-07"
        )
        self._say("  make up        opens Airflow's UI on this very state; rerun or backfill any day of 2013 there")

    def _trigger(self, airflow: services.Airflow, domain: str, day: date, attempt: int = 1) -> str:
        run_id = f"demo_{self._stamp}_{day}_{attempt}"
        body = {"logical_date": None, "dag_run_id": run_id, "conf": {"partition": str(day)}}
        airflow.call("POST", f"/api/v2/dags/{domain}/dagRuns", body)
        return run_id

    def _wait(self, airflow: services.Airflow, domain: str, run_id: str) -> tuple[str, str]:
        """The run's state, and the task at which it stopped."""
        path = f"/api/v2/dags/{domain}/dagRuns/{run_id}"
        deadline = time.monotonic() + RUN_SECONDS
        while (state := airflow.call("GET", path)["state"]) not in ("success", "failed"):
            if time.monotonic() > deadline:
                raise PermanentFailure(
                    f"{domain} has not ended after {RUN_SECONDS} s (run {run_id})", fix="See .interlock/logs."
                )
            time.sleep(POLL_SECONDS)
        tasks = airflow.call("GET", f"{path}/taskInstances")["task_instances"]
        return state, next((task["task_id"] for task in tasks if task["state"] == "failed"), "")

    def _expect(self, domain: str, day: date, ended: tuple[str, str], expected: str) -> None:
        state, task = ended
        shown = "[green]published[/]" if state == "success" else f"[red]blocked at {task}[/]"
        self._console.print(f"  {day}  {domain:<24}{shown}")
        if state != expected:
            raise PermanentFailure(
                f"The run of {domain} for {day} ended as {state!r}, and the story has it as {expected!r}.",
                fix=f"Its task logs are in .interlock/logs; `interlock explain` and `interlock status` say more. It stopped at: {task or '-'}.",
            )

    def _command(self, *words: str, expected: int | None = 0, quietly: bool = False) -> None:
        """Print a public command, run it as printed, and see that it ends as it should."""
        if not quietly:
            self._console.print(f"\n[bold]$ interlock {' '.join(words)}[/]")
        ended = subprocess.run(
            [sys.executable, "-m", "interlock", *words], check=False, capture_output=quietly, text=True
        )
        if expected is not None and ended.returncode != expected:
            raise PermanentFailure(
                f"`interlock {' '.join(words)}` ended with {ended.returncode} instead of {expected}. {ended.stderr or ''}",
                fix="Run it by hand to see why; the services' logs are in .interlock/logs.",
            )
        if not quietly and ended.returncode:
            self._console.print(f"[dim](exit code {ended.returncode})[/]")

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
