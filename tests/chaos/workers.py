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
from datetime import timedelta
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


class Stop(BaseModel):
    """Where a worker stops itself (SIGSTOP), as a pause of its machine would: at a call of the database."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    function: str
    number: int = 1  # of its calls
    is_after: bool = False

    @property
    def told(self) -> str:
        """In words."""
        return f"{'after' if self.is_after else 'before'} {self.function} {self.number}"


class Order(BaseModel):
    """What a worker shall do. `lease_seconds` is how long it may be silent, where that shall be short."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    domain: str
    days: tuple[str, ...]
    shape: Shape = Shape.RUN
    key: str = ""
    stop: Stop | None = None
    lease_seconds: float = 0


class Worker:
    """A process that was started; `status` is how it ended: an exit code, or minus the signal that took it."""

    def __init__(self, pid: int, parent: WarmParent) -> None:
        self.pid = pid
        self.status: int | None = None
        self._parent = parent

    @property
    def refusals(self) -> list[str]:
        """The SQLSTATEs that the database refused it with, in their order; empty ones are lost connections."""
        return self._parent.refusals(self.pid)

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
        self._refusals = _refusals_beside(log)
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

    def refusals(self, pid: int) -> list[str]:
        """What the database refused to one worker."""
        if not self._refusals.exists():
            return []
        said = (json.loads(line) for line in self._refusals.read_text().splitlines())
        return [refusal["sqlstate"] for refusal in said if refusal["pid"] == pid]

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
                    os._exit(_carry_out(Order.model_validate_json(order), _refusals_beside(log)))
                report.write(json.dumps({"event": "started", "pid": pid}) + "\n")
        while (ended := _ended_child()) is not None:
            report.write(json.dumps({"event": "ended", "pid": ended[0], "status": ended[1]}) + "\n")


def _ended_child() -> tuple[int, int] | None:
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, os.waitstatus_to_exitcode(status)) if pid else None


def _refusals_beside(log: Path) -> Path:
    return log.with_name("refusals.jsonl")


def _carry_out(order: Order, refusals: Path) -> int:
    """A worker's life; its exit code says whether a rerun may help."""
    from interlock.errors import InterlockError

    os.close(0)
    print(f"worker {os.getpid()}: {order.model_dump_json(exclude_defaults=True)}", flush=True)
    try:
        _write_down_refusals(refusals)
        if order.lease_seconds:
            _shorten_lease(order.lease_seconds)
        if order.stop:
            _stop_at(order.stop)
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


def _stop_at(stop: Stop) -> None:
    """Stops this process at a call of the database, whoever makes it."""
    import psycopg

    real = psycopg.Connection.execute
    calls = itertools.count(1)

    def execute(self: Any, query: Any, *arguments: Any, **keywords: Any) -> Any:
        text = query if isinstance(query, str | bytes) else query.as_string(self)
        text = text.decode() if isinstance(text, bytes) else text
        is_here = f"interlock.{stop.function}(" in text.replace('"', "") and next(calls) == stop.number
        if is_here and not stop.is_after:
            os.kill(os.getpid(), signal.SIGSTOP)
        answer = real(self, query, *arguments, **keywords)
        if is_here and stop.is_after:
            os.kill(os.getpid(), signal.SIGSTOP)
        return answer

    psycopg.Connection.execute = execute  # type: ignore[method-assign]


def _shorten_lease(seconds: float) -> None:
    """So that it runs out while somebody waits for it. What binds claims to the connection of a process stays."""
    from interlock.pipeline.runs import Session

    real = Session.__init__

    def made(self: Session, *arguments: Any, **keywords: Any) -> None:
        real(self, *arguments, **{**keywords, "lease": timedelta(seconds=seconds)})

    Session.__init__ = made  # type: ignore[method-assign]


def _write_down_refusals(file: Path) -> None:
    """Each error of the database, where it becomes a failure of the run: by its SQLSTATE, and not by its words."""
    from interlock.db import failures

    real = failures.failure_of

    def failure_of(error: Any) -> Any:
        with file.open("a") as lines:
            lines.write(json.dumps({"pid": os.getpid(), "sqlstate": error.sqlstate or "", "said": str(error)}) + "\n")
        return real(error)

    failures.failure_of = failure_of


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
