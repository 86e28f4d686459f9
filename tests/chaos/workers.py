"""Processes that carry out a run and may be killed: forked from one that has imported and parsed everything once.

A cold command costs 11 s, most of it imports, and 200 kills would cost an hour of importing. A fork of a warm parent
that has opened no connection is as real a process: it has connections and locks of its own, and SIGKILL takes it.
"""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

ROOT = Path(__file__).resolve().parents[2]
COMPLETE, BLOCKED, AGAIN, BROKEN = 0, 3, 4, 5
START_SECONDS, HANG_SECONDS = 120, 120


class Shape(StrEnum):
    """One process for the whole run, as the command line; or its phases one by one under a key, as an orchestrator."""

    RUN = "run"
    TASKS = "tasks"


class Order(BaseModel):
    """What a worker shall do. `stops_before_publish` numbers the publish before which it stops itself (SIGSTOP)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    domain: str
    days: tuple[str, ...]
    shape: Shape = Shape.RUN
    key: str = ""
    stops_before_publish: int = 0


class Worker:
    """A process that was started; `status` is how it ended: an exit code, or minus the signal that took it."""

    def __init__(self, pid: int, parent: WarmParent) -> None:
        self.pid = pid
        self.status: int | None = None
        self._parent = parent

    @property
    def has_ended(self) -> bool:
        """Whether it is gone."""
        self._parent.listen()
        return self.status is not None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it still lives."""
        if not self.has_ended:
            os.kill(self.pid, number)

    def wait(self, seconds: float = HANG_SECONDS) -> int:
        """How it ended. One that neither ends nor can be waited for hangs, which is a finding."""
        deadline = time.monotonic() + seconds
        while not self.has_ended:
            if time.monotonic() > deadline:
                self.signal(signal.SIGKILL)
                raise TimeoutError(f"worker {self.pid} did not end within {seconds:.0f} s")
            time.sleep(0.005)
        assert self.status is not None
        return self.status


class WarmParent:
    """The process that forks the workers, and what it reports of them."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self._workers: dict[int, Worker] = {}
        self._buffer = b""
        self._started: list[int] = []
        self._is_warm = False
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.workers", str(log)], cwd=ROOT, env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def start(self, order: Order) -> Worker:
        """Fork a worker and let it begin."""
        self._until(lambda: self._is_warm)
        assert self._process.stdin is not None
        self._process.stdin.write(order.model_dump_json().encode() + b"\n")
        self._process.stdin.flush()
        self._until(lambda: bool(self._started))
        return self._workers[self._started.pop()]

    def listen(self) -> None:
        """Take in what the parent has reported so far."""
        assert self._process.stdout is not None
        while select.select([self._process.stdout], [], [], 0)[0]:
            said = os.read(self._process.stdout.fileno(), 65536)
            if not said:
                raise RuntimeError("the parent of the workers is gone")
            *lines, self._buffer = (self._buffer + said).split(b"\n")
            for line in lines:
                self._take_in(json.loads(line))

    def stop(self) -> None:
        """Let it end, and with it every worker that is left."""
        for worker in self._workers.values():
            with suppress(ProcessLookupError):  # it ended, and that was not reported yet
                os.kill(worker.pid, signal.SIGKILL)
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _take_in(self, report: dict[str, Any]) -> None:
        match report["event"]:
            case "warm":
                self._is_warm = True
            case "started":
                self._workers[report["pid"]] = Worker(report["pid"], self)
                self._started.append(report["pid"])
            case "ended":
                self._workers.pop(report["pid"]).status = report["status"]

    def _until(self, condition: Any) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError("the parent of the workers does not answer")
            self.listen()
            time.sleep(0.002)


@contextmanager
def warm_parent(environment: dict[str, str], log: Path) -> Iterator[WarmParent]:
    """The parent for the length of a block. It warms up beside whatever else is prepared."""
    parent = WarmParent(environment, log)
    try:
        yield parent
    finally:
        parent.stop()


def _serve(log: Path) -> None:
    """The parent's own life: fork for each order, report each end, and go when nobody listens any more."""
    from interlock.pipeline import warm

    report = os.fdopen(os.dup(1), "w", buffering=1)
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for descriptor in (1, 2):
        os.dup2(handle, descriptor)
    warm.warm()
    report.write('{"event": "warm"}\n')
    while True:
        if select.select([sys.stdin], [], [], 0.004)[0]:
            line = os.read(0, 65536)
            if not line:
                return
            for order in line.splitlines():
                pid = os.fork()
                if pid == 0:
                    report.close()
                    os._exit(_carry_out(Order.model_validate_json(order)))
                report.write(json.dumps({"event": "started", "pid": pid}) + "\n")
        while (ended := _ended_child()) is not None:
            report.write(json.dumps({"event": "ended", "pid": ended[0], "status": ended[1]}) + "\n")


def _ended_child() -> tuple[int, int] | None:
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, os.waitstatus_to_exitcode(status)) if pid else None


def _carry_out(order: Order) -> int:
    """A worker's life; its exit code says whether a rerun may help."""
    from interlock.errors import InterlockError

    os.close(0)
    print(f"worker {os.getpid()}: {order.model_dump_json(exclude_defaults=True)}", flush=True)
    try:
        if order.stops_before_publish:
            _stop_before_publish(order.stops_before_publish)
        code = _run(order) if order.shape is Shape.RUN else _perform_tasks(order)
    except InterlockError as error:
        print(f"worker {os.getpid()}: {type(error).__name__}: {error}", flush=True)
        code = AGAIN if error.retry_helps else BLOCKED
    except BaseException:
        traceback.print_exc()
        code = BROKEN
    print(f"worker {os.getpid()}: ends with {code}", flush=True)
    sys.stderr.flush()
    return code


def _run(order: Order) -> int:
    from interlock.pipeline import chain

    report = chain.run(order.domain, order.days, trigger="chaos", by="chaos")
    for item in report.blocked:
        print(f"worker {os.getpid()}: blocked: {item.dataset} {item.partition}: {item.reason}", flush=True)
    if report.is_complete:
        return COMPLETE
    return AGAIN if all(item.retry_helps for item in report.blocked) else BLOCKED


def _perform_tasks(order: Order) -> int:
    """The phases that are still to do under the key, each in a session of its own: as tasks that are tried again."""
    from interlock.db.connection import Role, connect, statement
    from interlock.pipeline import chain
    from interlock.pipeline.runs import Phase

    with connect(Role.OPERATOR) as connection:
        found = connection.execute(
            "select run_id from interlock.run where run_key = %s order by run_id desc limit 1", [order.key]
        ).fetchone()
        attempts = statement("pipeline/last_attempts.sql").encode()
        states = dict(connection.execute(attempts, {"run_id": found[0]}).fetchall()) if found else {}
    left = list(Phase)
    # The last one is tried again if it was killed between its work and the end of the run, which it also does.
    while left[1:] and states.get(left[0]) == "completed":
        left.pop(0)
    for phase in left:
        if phase is Phase.ADMIT:
            chain.admit(order.domain, order.days, run_key=order.key, trigger="chaos", by="chaos")
        else:
            chain.run_phase(phase, order.key)
    return COMPLETE


def _stop_before_publish(number: int) -> None:
    """Stops this process where nothing but the call that publishes is left to do, as a pause of its machine would."""
    from interlock.publishing import publications

    real = publications.publish
    calls = itertools.count(1)

    def stopped(*arguments: Any, **keywords: Any) -> Any:
        if next(calls) == number:
            os.kill(os.getpid(), signal.SIGSTOP)
        return real(*arguments, **keywords)

    publications.publish = stopped


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
