"""What a domain's pipeline is measured against: nine tasks in a row, empty, and as the usual stack fills them."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from airflow.sdk import DAG, task

PHASES = (
    "admit",
    "load",
    "gate_raw",
    "stage",
    "gate_staged",
    "publish_staged",
    "build",
    "gate_curated",
    "publish_curated",
)
STAGED, CURATED = "stg_flight_operations__flights", "fct_flights"


def cold(*command: str, **variables: str) -> None:
    """A process of its own, as the usual stack starts one for every step."""
    ended = subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ, **variables})
    if ended.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {ended.returncode}:\n{ended.stdout}\n{ended.stderr}")


def dbt(layer: str) -> None:
    """A cold `dbt build` of one layer of the domain."""
    folder = os.environ["BENCH_DBT_PROJECT"]
    cold(
        str(Path(sys.executable).with_name("dbt")),
        *(
            "build",
            "--quiet",
            "--select",
            f"models/{layer}/flight_operations",
            "--exclude-resource-type",
            "unit_test",
            "--indirect-selection",
            "buildable",
        ),
        *(
            "--target",
            "dev",
            "--project-dir",
            folder,
            "--profiles-dir",
            folder,
            "--target-path",
            os.environ["BENCH_TARGET"],
        ),
        **json.loads(os.environ["BENCH_DBT_ENVIRONMENT"]),
    )


def gate(table: str) -> None:
    """A cold Great Expectations process over one table."""
    cold(sys.executable, os.environ["BENCH_USUAL_GATE"], table)


WORK = {
    "load": lambda: cold(sys.executable, os.environ["BENCH_USUAL_LOAD"]),
    "gate_raw": lambda: gate("raw_flight_operations.flights_accepted"),
    "stage": lambda: dbt("staging"),
    "gate_staged": lambda: gate(f"dbt_benchmark.{STAGED}"),
    "build": lambda: dbt("marts"),
    "gate_curated": lambda: gate(f"dbt_benchmark.{CURATED}"),
}


def pipeline(name: str, *, is_empty: bool) -> DAG:
    """Nine tasks in a row."""
    with DAG(
        dag_id=name, schedule=None, start_date=datetime(2013, 1, 1, tzinfo=UTC), is_paused_upon_creation=False
    ) as dag:

        def run(phase: str) -> None:
            if not is_empty:
                WORK.get(phase, lambda: None)()

        tasks = [task(task_id=phase)(run)(phase) for phase in PHASES]
        for before, after in pairwise(tasks):
            before >> after
    return dag


empty = pipeline("bench_empty", is_empty=True)
usual = pipeline("bench_usual", is_empty=False)
