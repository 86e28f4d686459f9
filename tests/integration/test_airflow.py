"""Real runs by a real scheduler: one Airflow for all of these tests, each on days of its own.

What is asserted is what an operator sees in Airflow (states, tries) and what a consumer may read.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.scratch import scratch_folder

from interlock import services
from interlock.airflow_rest import Airflow
from interlock.db import connection as connections
from interlock.db.connection import Role, connect
from interlock.pipeline.runs import Phase
from interlock.settings import settings

ROOT = Path(__file__).parents[2]
FLIGHTS, WEATHER, MAINTENANCE = "flight_operations", "airport_weather", "interlock_maintenance"
PATIENCE_SECONDS = 240
numbers = count(1)


@dataclass(frozen=True)
class Platform:
    """The running platform, by its public means alone: commands, REST, and SQL as a reader."""

    airflow: Airflow

    def command(self, *words: str, expected: int = 0) -> str:
        ended = subprocess.run(
            [sys.executable, "-m", "interlock", *words], check=False, capture_output=True, text=True, cwd=ROOT
        )
        assert ended.returncode == expected, ended.stdout + ended.stderr
        return ended.stdout

    def deliver(self, day: str, *more: str) -> None:
        self.command("deliver", "--from", day, *more)

    def trigger(self, dag: str, **body: Any) -> str:
        run_id = f"test_{next(numbers)}"
        self.airflow.call("POST", f"/api/v2/dags/{dag}/dagRuns", {"logical_date": None, "dag_run_id": run_id, **body})
        return run_id

    def run_day(self, dag: str, day: str) -> str:
        """Trigger a run for a day by the parameter; the run's id."""
        return self.trigger(dag, conf={"partition": day})

    def ended(self, dag: str, run_id: str) -> str:
        """The run's state, once it has ended."""
        return self.until(lambda: self.run(dag, run_id)["state"], {"success", "failed"})

    def until(self, read: Any, wanted: set[str]) -> str:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (found := read()) not in wanted:
            assert time.monotonic() < deadline, f"still {found}, and not {wanted}"
            time.sleep(0.3)
        return str(found)

    def run(self, dag: str, run_id: str) -> dict[str, Any]:
        return self.airflow.call("GET", f"/api/v2/dags/{dag}/dagRuns/{run_id}")

    def task(self, dag: str, run_id: str, task: str) -> dict[str, Any]:
        return self.airflow.call("GET", f"/api/v2/dags/{dag}/dagRuns/{run_id}/taskInstances/{task}")

    def states(self, dag: str, run_id: str) -> list[str]:
        """The states of the nine tasks, in the order of the phases."""
        found = self.airflow.call("GET", f"/api/v2/dags/{dag}/dagRuns/{run_id}/taskInstances")["task_instances"]
        by_task = {task["task_id"]: task["state"] for task in found}
        return [by_task[phase.value] for phase in Phase]

    def clear(self, dag: str, run_id: str, *tasks: str) -> None:
        """Clear a run from the given tasks on (or all of it), as the button does."""
        body = {"dry_run": False, "only_failed": False, "dag_run_id": run_id, "include_downstream": True}
        if tasks:
            body["task_ids"] = list(tasks)
        self.airflow.call("POST", f"/api/v2/dags/{dag}/clearTaskInstances", body)

    def served(self, dataset: str, day: str) -> int | None:
        """The version that is served of a partition, safe or not."""
        with connect(Role.OPERATOR) as connection:
            row = connection.execute(
                "select p.version from interlock.partition p join interlock.dataset d using (dataset_id)"
                " where d.name = %s and p.partition = %s",
                [dataset, day],
            ).fetchone()
        return row and row[0]

    def readable_rows(self, dataset: str, day: str, column: str = "flight_date") -> int:
        with connect(Role.CONSUMER) as connection:
            row = connection.execute(f"select count(*) from safe.{dataset} where {column} = %s", [day]).fetchone()
        return row[0]

    def is_safe(self, dataset: str, day: str) -> bool:
        with connect(Role.CONSUMER) as connection:
            return connection.execute("select interlock.is_safe(%s, %s)", [dataset, day]).fetchone()[0]


@contextmanager
def running_platform(root: Path) -> Iterator[tuple[Platform, dict[str, str]]]:
    """Airflow and PostgreSQL for a checkout, with their state in a folder of their own: gone after the block."""
    folder = scratch_folder("airflow")
    own = {
        "INTERLOCK_ROOT": str(root),
        "INTERLOCK_STATE_DIR": str(folder / "state"),
        "INTERLOCK_LANDING_URL": str(folder / "landing"),
        "INTERLOCK_POSTGRES_DURABLE": "false",
    }
    with pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.startswith("INTERLOCK_")]:
            environment.delenv(name)
        for name, value in own.items():
            environment.setenv(name, value)
        forget()
        try:
            platform = Platform(services.up(print))
            platform.command("clock", "set", "2013-01-08T06:00:00Z")
            yield platform, own
        finally:
            forget()
            platform_is_gone = subprocess.run(
                [sys.executable, "-m", "interlock", "erase", "--yes"], check=False, cwd=ROOT
            )
            shutil.rmtree(folder, ignore_errors=True)
            forget()
            assert platform_is_gone.returncode == 0


@pytest.fixture(scope="module")
def started() -> Iterator[tuple[Platform, dict[str, str]]]:
    """The platform of this checkout, started once."""
    with running_platform(ROOT) as running:
        yield running


@pytest.fixture
def platform(started: tuple[Platform, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> Platform:
    """The running platform, with the settings pointing to it."""
    running, own = started
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    forget()
    return running


def forget() -> None:
    """Read the settings anew."""
    settings.cache_clear()
    connections.forget()


def test_a_day_goes_from_its_delivery_to_what_consumers_read(platform: Platform):
    platform.deliver("2013-01-02")
    run = platform.run_day(FLIGHTS, "2013-01-02")
    assert platform.ended(FLIGHTS, run) == "success"
    assert platform.states(FLIGHTS, run) == ["success"] * 9
    assert platform.readable_rows("fct_flights", "2013-01-02") == 943
    platform.command("check", "fct_flights", "--partition", "2013-01-02")


def test_the_other_domain_is_waited_for_and_then_read(platform: Platform):
    day = "2013-01-10"  # not late yet, by the platform's clock
    platform.deliver(day)
    weather = platform.run_day(WEATHER, day)
    platform.until(lambda: platform.task(WEATHER, weather, "build")["state"], {"up_for_retry"})
    assert not platform.is_safe("fct_departure_conditions", day)
    # This one says its day by its logical date, as the form in the UI does.
    flights = platform.trigger(FLIGHTS, logical_date=f"{day}T00:00:00Z")
    assert platform.ended(FLIGHTS, flights) == "success"
    assert platform.ended(WEATHER, weather) == "success"
    assert platform.task(WEATHER, weather, "build")["try_number"] > 1
    assert platform.readable_rows("fct_departure_conditions", day) == platform.readable_rows("fct_flights", day) > 0


def test_a_bad_day_is_red_at_once_and_by_no_way_of_airflows_to_be_published(platform: Platform):
    day = "2013-01-05"
    platform.deliver(day, "--fault", "seconds_instead_of_minutes", "--on", day)
    flights, weather = platform.run_day(FLIGHTS, day), platform.run_day(WEATHER, day)
    assert platform.ended(FLIGHTS, flights) == "failed"
    assert platform.states(FLIGHTS, flights) == ["success", "success", "failed", *["upstream_failed"] * 6]
    assert platform.task(FLIGHTS, flights, "gate_raw")["try_number"] == 1
    assert platform.ended(WEATHER, weather) == "failed"
    assert platform.states(WEATHER, weather)[6:] == ["failed", "upstream_failed", "upstream_failed"]
    platform.command("check", "fct_departure_conditions", "--partition", day, expected=3)

    # An operator marks the gate as successful and lets the rest run.
    path = f"/api/v2/dags/{FLIGHTS}/dagRuns/{flights}/taskInstances"
    platform.airflow.call("PATCH", f"{path}/gate_raw", {"new_state": "success"})
    platform.clear(FLIGHTS, flights, "stage")
    assert platform.ended(FLIGHTS, flights) == "failed"
    assert platform.states(FLIGHTS, flights)[2:4] == ["success", "failed"]
    # ... and then everything as successful: a green run that published nothing.
    for phase in list(Phase)[3:]:
        platform.airflow.call("PATCH", f"{path}/{phase}", {"new_state": "success"})
    assert platform.ended(FLIGHTS, flights) == "success"
    assert platform.readable_rows("fct_flights", day) == 0
    assert [platform.served(name, day) for name in ("flights", "fct_flights", "agg_carrier_daily")] == [None] * 3
    platform.command("check", "fct_flights", "--partition", day, expected=3)

    # The producer's correction, and the same run cleared from its start.
    platform.deliver(day)
    platform.clear(FLIGHTS, flights)
    platform.until(lambda: platform.run(FLIGHTS, flights)["state"], {"queued", "running"})
    assert platform.ended(FLIGHTS, flights) == "success"
    assert platform.readable_rows("fct_flights", day) == 720
    assert not platform.is_safe("fct_departure_conditions", day)
    # What was held back in the other domain is in the queue, and the maintenance DAG carries it out.
    assert platform.ended(MAINTENANCE, platform.trigger(MAINTENANCE)) == "success"
    platform.until(lambda: str(platform.is_safe("fct_departure_conditions", day)), {"True"})


def test_a_backfill_takes_the_days_of_its_range_and_a_second_one_changes_nothing(platform: Platform):
    days = ["2013-12-30", "2013-12-31"]
    platform.deliver(days[0], "--to", days[1])
    published = []
    for behavior in ("none", "completed"):
        body = {
            "dag_id": FLIGHTS,
            "from_date": "2013-12-30T00:00:00Z",
            "to_date": "2013-12-31T00:00:00Z",
            "reprocess_behavior": behavior,
            "max_active_runs": 2,
        }
        backfill = platform.airflow.call("POST", "/api/v2/backfills", body)
        read = lambda number=backfill["id"]: platform.airflow.call("GET", f"/api/v2/backfills/{number}")  # noqa: E731
        platform.until(lambda read=read: str(read()["completed_at"] is not None), {"True"})
        runs = platform.airflow.call("GET", f"/api/v2/dags/{FLIGHTS}/dagRuns?run_type=backfill")["dag_runs"]
        assert [run["state"] for run in runs] == ["success", "success"]
        published.append([platform.served("fct_flights", day) for day in days])
    assert None not in published[0]
    assert published[0] == published[1]
    assert all(platform.is_safe("fct_flights", day) for day in days)


def test_a_delivery_that_is_not_late_yet_is_waited_for(platform: Platform):
    run = platform.run_day(FLIGHTS, "2013-01-09")
    platform.until(lambda: platform.task(FLIGHTS, run, "load")["state"], {"up_for_retry"})
    platform.deliver("2013-01-09")
    assert platform.ended(FLIGHTS, run) == "success"
    assert platform.is_safe("fct_flights", "2013-01-09")


def test_a_run_that_is_cleared_from_the_middle_does_its_work_again_and_judges_nothing_anew(platform: Platform):
    day = "2013-01-02"
    run = platform.run_day(FLIGHTS, day)
    assert platform.ended(FLIGHTS, run) == "success"
    before = platform.served("fct_flights", day), _verdicts("fct_flights", day)
    platform.clear(FLIGHTS, run, "stage")
    platform.until(lambda: platform.run(FLIGHTS, run)["state"], {"queued", "running"})
    assert platform.ended(FLIGHTS, run) == "success"
    assert (platform.served("fct_flights", day), _verdicts("fct_flights", day)) == before


def test_a_second_run_of_a_partition_waits_until_the_first_has_ended(platform: Platform):
    from interlock.pipeline.admission import admitted
    from interlock.pipeline.runs import Run

    asked = Run(run_key="the first", domain=FLIGHTS, partitions=("2013-01-02",), trigger="test", actor="test")
    with admitted(asked, is_one_process=True) as session:
        second = platform.run_day(FLIGHTS, "2013-01-02")
        platform.until(lambda: platform.task(FLIGHTS, second, "admit")["state"], {"up_for_retry"})
        session.finish("succeeded")
    assert platform.ended(FLIGHTS, second) == "success"


def test_a_day_that_the_domain_has_no_data_of_is_refused_at_admission(platform: Platform):
    run = platform.trigger(FLIGHTS, logical_date="2026-01-02T00:00:00Z")
    assert platform.ended(FLIGHTS, run) == "failed"
    assert platform.task(FLIGHTS, run, "admit")["try_number"] == 1
    assert platform.served("fct_flights", "2026-01-02") is None


def test_todays_scheduler_started_no_run_of_the_year_that_is_over(platform: Platform):
    for dag in (FLIGHTS, WEATHER):
        assert platform.airflow.call("GET", f"/api/v2/dags/{dag}/dagRuns?run_type=scheduled")["dag_runs"] == []
    assert platform.airflow.call("GET", "/api/v2/importErrors")["import_errors"] == []


def _verdicts(dataset: str, day: str) -> int:
    with connect(Role.OPERATOR) as connection:
        return connection.execute(
            "select count(*) from interlock.verdict v join interlock.dataset d using (dataset_id)"
            " where d.name = %s and v.partition = %s",
            [dataset, day],
        ).fetchone()[0]
