"""Airflow on the platform: a real scheduler whose runs are disturbed, killed with everything that it forked.

What it was at is in Airflow's tables as running, and nobody is at it. The next scheduler takes it up once it holds the
former one for dead, under the same key; a run that failed for it is cleared, as an operator would.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any

import psutil
from tests.chaos.world import ROOT, World, environment_of, settings_of

from interlock import services
from interlock.airflow_rest import Airflow
from interlock.errors import InterlockError

MAINTENANCE = "interlock_maintenance"
PATIENCE_SECONDS, LOOK_SECONDS = 420, 0.3
OVER = ("success", "failed")


class Orchestrator:
    """Airflow, as long as the block lasts in which it was made."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._numbers = count(1)
        self.start()
        # It would renew and rebuild beside the runs, which is right, and is not what is looked at.
        self._airflow.call("PATCH", f"/api/v2/dags/{MAINTENANCE}?update_mask=is_paused", {"is_paused": True})
        self._until(lambda: all(run["state"] in OVER for run in self._runs(MAINTENANCE)))

    def start(self) -> None:
        """Bring up what is not up, as the command for it does."""
        with (self.world.folder / "airflow.log").open("ab") as log:
            subprocess.run(
                [sys.executable, "-m", "interlock", "up"], cwd=ROOT, env=environment_of(self.world.folder),
                stdout=log, stderr=log, check=True,
            )  # fmt: skip
        with settings_of(self.world.folder):
            self._airflow = Airflow(int((self._home / "port").read_text()))
            assert self._airflow.is_ours()

    def kill_scheduler(self) -> None:
        """SIGKILL the scheduler, its executor's workers and their tasks: all at once, and nobody is told."""
        scheduler = psutil.Process(json.loads((self._home / "scheduler.process.json").read_text())["pid"])
        tree = [scheduler, *scheduler.children(recursive=True)]
        for process in tree:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(tree, timeout=10)

    def trigger(self, dag: str, day: str) -> str:
        """Start a run of a day by hand; its id."""
        run_id = f"chaos_{next(self._numbers)}"
        body = {"logical_date": None, "dag_run_id": run_id, "conf": {"partition": day}}
        self._airflow.call("POST", f"/api/v2/dags/{dag}/dagRuns", body)
        return run_id

    def is_over(self, dag: str, run_id: str) -> bool:
        """Whether a run has ended, well or not."""
        return self._state(dag, run_id) in OVER

    def see_through(self, dag: str, run_id: str) -> tuple[str, bool]:
        """Wait for a run; one that failed is cleared once. How it ended, and whether it was cleared."""
        self._until(lambda: self.is_over(dag, run_id))
        is_failed = self._state(dag, run_id) == "failed"
        if is_failed:
            body = {"dry_run": False, "only_failed": False, "dag_run_id": run_id}
            self._airflow.call("POST", f"/api/v2/dags/{dag}/clearTaskInstances", body)
            self._until(lambda: not self.is_over(dag, run_id))
            self._until(lambda: self.is_over(dag, run_id))
        return self._state(dag, run_id), is_failed

    @property
    def _home(self) -> Any:
        return self.world.folder / "state" / "airflow"

    def _state(self, dag: str, run_id: str) -> str:
        return str(self._airflow.call("GET", f"/api/v2/dags/{dag}/dagRuns/{run_id}")["state"])

    def _runs(self, dag: str) -> list[dict[str, Any]]:
        return list(self._airflow.call("GET", f"/api/v2/dags/{dag}/dagRuns")["dag_runs"])

    def _until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            with suppress(InterlockError):  # its API server is one of those that die with the database
                if condition():
                    return
            if time.monotonic() > deadline:
                raise TimeoutError("Airflow did not come to an end of what it was asked for")
            time.sleep(LOOK_SECONDS)


@contextmanager
def orchestrator(world: World) -> Iterator[Orchestrator]:
    """Airflow for the length of a block."""
    try:
        yield Orchestrator(world)
    finally:
        with settings_of(world.folder):
            services.stop_airflow()
