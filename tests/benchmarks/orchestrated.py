"""One day through Airflow, trigger to published: beside the same DAG with empty tasks, and beside the usual stack."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from tests.benchmarks.figures import Figure, middle, seconds
from tests.benchmarks.platform import ROOT, days, dbt_environment, deliver, interlock, scratch

from interlock import services
from interlock.airflow_rest import Airflow
from interlock.db import connection as connections
from interlock.db.connection import Role

ROUNDS = 5
FIRST = date(2013, 1, 1)
USUAL = Path(__file__).parent / "usual_stack"
PARTS = ("dags", "dbt_project", "expectations", "plugins")


def figures() -> Iterator[Figure]:
    """Ours, empty and usual take turns, so that a noisy minute falls on all three."""
    root = Path(tempfile.mkdtemp(prefix="interlock-orchestrated-"))
    try:
        _project(root)
        with scratch(root) as folder:
            deliver(FIRST, date(2013, 2, 28))
            interlock("run", "flight_operations", "--from", str(FIRST), "--to", "2013-01-31")
            os.environ.update(_usual_environment(root, folder))
            with services.running() as airflow:
                times: dict[str, list[float]] = {"flight_operations": [], "bench_empty": [], "bench_usual": []}
                for number, day in enumerate(days(date(2013, 2, 1), ROUNDS + 1)):
                    for dag, found in times.items():
                        took = seconds(lambda: _run(airflow, dag, day))  # noqa: B023
                        if number:  # the first of each is a rehearsal
                            found.append(took)
        ours = middle(times["flight_operations"])
        yield Figure(
            what="one day through Airflow, beside the same DAG with empty tasks",
            ours=ours,
            reference=middle(times["bench_empty"]),
            target="at most 1.5 x",
        )
        yield Figure(
            what="one day through Airflow, beside the usual stack",
            ours=ours,
            reference=middle(times["bench_usual"]),
            target="at most 0.6 x",
        )
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _project(root: Path) -> None:
    """This checkout's content with the two DAGs of the reference beside its own."""
    root.chmod(0o711)
    for part in PARTS:
        if (ROOT / part).exists():
            shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("target", "logs"))
    shutil.copytree(ROOT / "include" / "contracts", root / "include" / "contracts")
    shutil.copy(ROOT / "include" / "domains.yaml", root / "include" / "domains.yaml")
    shutil.copy(USUAL / "pipelines.py", root / "dags" / "pipelines.py")


def _usual_environment(root: Path, folder: Path) -> dict[str, str]:
    return {
        "BENCH_DBT_ENVIRONMENT": json.dumps(dbt_environment(Role.DEVELOPER, "dbt_benchmark")),
        "BENCH_DBT_PROJECT": str(root / "dbt_project"),
        "BENCH_TARGET": str(folder / "usual"),
        "BENCH_USUAL_GATE": str(USUAL / "gate.py"),
        "BENCH_USUAL_LOAD": str(USUAL / "load.py"),
        "BENCH_FILE": str(folder / "landing" / "flights" / "flights_2013-02-01.csv"),
        "BENCH_ADMIN_URL": connections.url(Role.ADMIN),
        "BENCH_GX_URL": connections.url(Role.DEVELOPER, driver="postgresql+psycopg2"),
    }


def _run(airflow: Airflow, dag: str, day: str) -> None:
    """Trigger one run and wait for its end; raises if it is not green."""
    run_id = f"bench_{dag}_{day}"
    body = {"logical_date": None, "dag_run_id": run_id} | (
        {"conf": {"partition": day}} if dag == "flight_operations" else {}
    )
    airflow.call("POST", f"/api/v2/dags/{dag}/dagRuns", body)
    while (state := airflow.call("GET", f"/api/v2/dags/{dag}/dagRuns/{run_id}")["state"]) not in ("success", "failed"):
        time.sleep(0.1)
    if state == "failed":
        raise RuntimeError(
            f"{dag} failed for {day}:\n{_log_of_the_failure(airflow, f'/api/v2/dags/{dag}/dagRuns/{run_id}')}"
        )


def _log_of_the_failure(airflow: Airflow, run: str) -> str:
    tasks = airflow.call("GET", f"{run}/taskInstances")["task_instances"]
    failed = next(task["task_id"] for task in tasks if task["state"] == "failed")
    events = airflow.call("GET", f"{run}/taskInstances/{failed}/logs/1?full_content=true")["content"]
    return "\n".join(str(event.get("error_detail", event)) for event in events if event.get("level") == "error")
