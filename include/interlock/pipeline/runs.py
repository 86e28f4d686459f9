"""A run: who does what to which partitions, under which lease, in which phase.

State between phases lives in the database alone: a phase may be carried out by another process on
another machine, and a run that died is seen there as one that started and never ended.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict

from interlock import logs
from interlock.db.connection import Role, connect, statement
from interlock.db.failures import translated
from interlock.errors import InterlockError, PermanentFailure, TransientFailure
from interlock.pipeline import progress
from interlock.pipeline.hindrances import Blocked, failure_message, is_retry_useful
from interlock.settings import settings

if TYPE_CHECKING:
    import psycopg

    from interlock.contracts.model import Catalog
    from interlock.transform.lineage import Lineage

logger = logging.getLogger(__name__)

# It commits once for each partition, and waiting for the disk each time cost a year half of its loads. The end of the
# phase is what waits, for all of them at once: before it, a crash of the machine can take back the last loads, and the
# phase with them, which is then run again. Nobody has seen them. What opens a cause waits (`open_cause`), and so does
# a publish: a reader may have acted on it, and a crash must not take back what he was told.
DURABLE_WITH_THEIR_PHASE = (Role.LOADER,)
SAID_LENGTH = 2000  # of a failure, in the record of a phase
SIGNALLED = 128  # the exit code of a process that a signal ended begins here


class Phase(StrEnum):
    """The phases of a run, in their order."""

    ADMIT = "admit"
    LOAD = "load"
    GATE_RAW = "gate_raw"
    STAGE = "stage"
    GATE_STAGED = "gate_staged"
    PUBLISH_STAGED = "publish_staged"
    BUILD = "build"
    GATE_CURATED = "gate_curated"
    PUBLISH_CURATED = "publish_curated"


class FailureClass(StrEnum):
    """What the record of a phase calls a failure that was not raised; one that was goes by the name of its class."""

    BLOCKED = "Blocked"
    BLOCKED_FOR_NOW = "BlockedForNow"  # a rerun alone may mend all of it
    STOPPED = "Stopped"  # by somebody outside


class Outcome(BaseModel):
    """What a phase did: partitions that got through, and those that did not; rows that it loaded or judged.

    What it built or published is counted by the database when it ends.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int | None = None
    done: tuple[tuple[str, str], ...] = ()
    blocked: tuple[Blocked, ...] = ()


class Run(BaseModel):
    """A run, with the number 0 until it is admitted.

    `partitions` are days (`YYYY-MM-DD`); datasets without days go along under `all`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: int = 0
    run_key: str
    domain: str
    partitions: tuple[str, ...]
    trigger: str
    actor: str

    @property
    def days(self) -> tuple[str, ...]:
        """The partitions that are days: a run for `all` alone has none."""
        return tuple(partition for partition in self.partitions if partition != "all")

    @property
    def ids(self) -> dict[str, object]:
        """What the log names the run by; of one partition, that one as well."""
        return {
            "run": self.run_id or None,
            "domain": self.domain,
            "partition": self.partitions[0] if len(self.partitions) == 1 else None,
        }


def actor() -> str:
    """Who is to be named in the record: the operating system's user on this host, unless the caller names somebody."""
    import getpass

    return os.environ.get("INTERLOCK_ACTOR") or f"{getpass.getuser()}@{socket.gethostname()}"


class Session:
    """One process's work on one run: a connection for each role, opened when first needed and closed together."""

    def __init__(self, run: Run, *, token: int = 0, lease: timedelta | None = None) -> None:
        self.run = run
        self.token = token
        self._lease = lease or timedelta(minutes=settings().lease_minutes)
        self._stack = ExitStack()
        self._connections: dict[Role, psycopg.Connection[Any]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._stack.close()

    def connection(self, role: Role) -> psycopg.Connection[Any]:
        """The session's connection as `role`, in autocommit; transactions are opened where they are meant."""
        if role not in self._connections or self._connections[role].closed:
            connection = self._connections[role] = self._stack.enter_context(connect(role, autocommit=True))
            if role in DURABLE_WITH_THEIR_PHASE:
                connection.execute("set synchronous_commit = off")
        return self._connections[role]

    @cached_property
    def catalog(self) -> Catalog:
        """The contracts of this checkout."""
        from interlock.contracts.loading import load_contracts

        return load_contracts()

    @cached_property
    def lineage(self) -> Lineage:
        """The lineage of this checkout."""
        from interlock.transform.lineage import Lineage

        return Lineage(self.catalog)

    def call(self, role: Role, function: str, *arguments: Any) -> Any:
        """Call one function of the schema `interlock` and return its first value."""
        from psycopg import sql

        query = sql.SQL("select * from interlock.{}({})").format(
            sql.Identifier(function), sql.SQL(", ").join(sql.Placeholder() * len(arguments))
        )
        with translated():
            row = self.connection(role).execute(query, arguments).fetchone()
        return row if row is None or len(row) > 1 else row[0]

    def rows(self, file: str, **values: Any) -> list[tuple[Any, ...]]:
        """The rows of a query of the pipeline's own, with the run's id as `run_id`, read as the operator."""
        with translated():
            return (
                self.connection(Role.OPERATOR)
                .execute(statement(f"pipeline/{file}").encode(), {"run_id": self.run.run_id, **values})
                .fetchall()
            )

    def paused(self, wanted: Mapping[str, Sequence[str]]) -> dict[tuple[str, str], Blocked]:
        """Of some partitions by dataset, those of datasets that an action has paused: nothing of them goes through."""
        held = dict(self.rows("paused.sql"))
        return {
            (dataset, partition): Blocked(
                dataset=dataset,
                partition=partition,
                reason=held[dataset],
                fix=f'When it may go on: interlock resume {dataset} --reason "...", and run it again.',
            )
            for dataset, partitions in wanted.items()
            if dataset in held
            for partition in partitions
        }

    def admit(self, *, is_one_process: bool, preparing: timedelta) -> None:
        """Enter the run in the database and hold its partitions; its first phase, which took so long, is over with it.

        With `is_one_process` the claims fall free as soon as this process is gone, lease or not. Raises
        TransientFailure where another run holds a partition.
        """
        run = self.run
        backend = self.connection(Role.OPERATOR).info.backend_pid if is_one_process else None
        run_id, self.token = self.call(
            Role.OPERATOR, "admit_run", run.run_key, run.domain, list(run.partitions), run.trigger, run.actor,
            self._lease, backend, preparing,
        )  # fmt: skip
        self.run = run.model_copy(update={"run_id": run_id})

    def perform(self, phase: Phase, work: Callable[[Session], Outcome]) -> Outcome:
        """Do the work of a phase under a new fencing token, and record how it ended: failed where anything was blocked.

        Raises TransientFailure where another run holds one of the partitions, and whatever the work raises.
        """
        with logs.bound(**self.run.ids, phase=phase.value):
            phase_id, self.token = self.call(Role.OPERATOR, "start_phase", self.run.run_id, phase.value, self._lease)
            seconds = progress.began(phase)
            try:
                with translated():
                    outcome = work(self)
                # Over this connection or not at all: on a new one, to a server that crashed meanwhile, it would be
                # called completed although its last commits were lost.
                rows = self.call(Role.OPERATOR, "end_phase", phase_id, *_ending(outcome))
            except BaseException as error:
                said = what_was_said(error)
                with said_but_not_raised():
                    self._conclude("end_phase", phase_id, "failed", None, type(error).__name__, said[:SAID_LENGTH])
                progress.broke(phase, error, said, seconds())
                raise
            outcome = outcome.model_copy(update={"rows": rows})
            progress.ended(phase, outcome, seconds())
            return outcome

    def pause(self, message: str) -> None:
        """Give the partitions free until the next attempt, and keep what was built for it."""
        self._conclude("finish_run", self.run.run_id, "failed", message, self.token or None)

    def stop(self, reason: str) -> None:
        """End the run from outside, and with it the phase that is under way; its own process may be gone by now."""
        for (phase_id,) in self.rows("open_phase.sql"):
            self._conclude("end_phase", phase_id, "failed", None, FailureClass.STOPPED.value, reason)
        self.finish("failed", reason)

    def finish(self, state: str, message: str | None = None) -> None:
        """End the run: clear its workspace away, and those of runs that died, and give its partitions free.

        Sealed candidates stay: a held one is evidence. A workspace that cannot be cleared now is left to the next run.
        """
        with said_but_not_raised():
            if not self._is_overtaken():
                self.call(Role.BUILDER, "close_workspace", self.run.run_id)
            for (run_id,) in self.rows("leftover_workspaces.sql"):
                with said_but_not_raised():
                    self.call(Role.BUILDER, "close_workspace", run_id)
        self._conclude("finish_run", self.run.run_id, state, message, self.token or None)

    def _is_overtaken(self) -> bool:
        """Whether a later attempt of this very run does its work by now; then it is no longer this one's to end."""
        query = "select token from interlock.run where run_id = %s"
        row = self.connection(Role.OPERATOR).execute(query, [self.run.run_id]).fetchone()
        return bool(self.token) and row is not None and row[0] != self.token

    def _conclude(self, function: str, *arguments: Any) -> None:
        """Record that something is over; tried again over a new connection where the old one broke with its server."""
        try:
            self.call(Role.OPERATOR, function, *arguments)
        except TransientFailure:
            self.call(Role.OPERATOR, function, *arguments)


def what_was_said(error: BaseException) -> str:
    """The words of an error; of an interruption, which has none, what interrupted."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted from the keyboard"
    if isinstance(error, SystemExit):
        by = [number.name for number in signal.Signals if SIGNALLED + number == error.code]
        return f"ended by {by[0]}" if by else f"ended with exit code {error.code}"
    return str(error) or type(error).__name__


def _ending(outcome: Outcome) -> tuple[str, int | None, str | None, str | None]:
    """What `end_phase` is told of a phase that ended by itself."""
    said = failure_message(outcome.blocked)[:SAID_LENGTH]
    if not said:
        return "completed", outcome.rows, None, None
    kind = FailureClass.BLOCKED_FOR_NOW if is_retry_useful(outcome.blocked) else FailureClass.BLOCKED
    return "failed", outcome.rows, kind.value, said


@contextmanager
def said_but_not_raised() -> Iterator[None]:
    """For what is done in passing at the end of a run: it must not take the place of how the run ended."""
    import psycopg

    try:
        yield
    except (InterlockError, psycopg.Error, OSError) as error:
        logger.warning("what was to be recorded or cleared away at the end was not: %s", error)


@contextmanager
def resumed(run_key: str) -> Iterator[Session]:
    """The newest run that was admitted under a key, for its next phase."""
    with Session(Run(run_key=run_key, domain="", partitions=(), trigger="", actor="")) as session:
        found = session.rows("admitted_run.sql", run_key=run_key)
        if not found:
            raise PermanentFailure(
                f"No run was admitted under {run_key!r}.",
                fix=f"Clear the run from its first task on: `{Phase.ADMIT}` comes first.",
            )
        names = ("run_id", "domain", "partitions", "trigger", "actor")
        session.run = Run(run_key=run_key, **dict(zip(names, found[0], strict=True)))
        with logs.bound(**session.run.ids):
            yield session
