"""A run: who does what to which partitions, under which lease, in which phase.

State between phases lives in the database alone: a phase may be carried out by another process on
another machine, and a run that died is seen there as one that started and never ended.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict

from interlock.db.connection import Role, connect
from interlock.db.failures import translated
from interlock.errors import PermanentFailure
from interlock.settings import settings

if TYPE_CHECKING:
    import psycopg

    from interlock.contracts.model import Catalog
    from interlock.transform.lineage import Lineage

logger = logging.getLogger(__name__)


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


class Blocked(BaseModel):
    """One partition of one dataset that did not get through a phase, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    partition: str
    reason: str
    retry_helps: bool = False


class Outcome(BaseModel):
    """What a phase did: rows that it moved or judged, partitions that got through, and those that did not."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int = 0
    done: tuple[tuple[str, str], ...] = ()
    blocked: tuple[Blocked, ...] = ()


class Run(BaseModel):
    """An admitted run. `partitions` are days (`YYYY-MM-DD`); datasets without days go along under `all`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: int
    run_key: str
    domain: str
    partitions: tuple[str, ...]
    trigger: str
    actor: str

    @property
    def days(self) -> tuple[str, ...]:
        """The partitions that are days: a run for `all` alone has none."""
        return tuple(partition for partition in self.partitions if partition != "all")


def actor() -> str:
    """Who is to be named in the record: the operating system's user on this host, unless the caller names somebody."""
    import getpass

    return os.environ.get("INTERLOCK_ACTOR") or f"{getpass.getuser()}@{socket.gethostname()}"


class Session:
    """One process's work on one run: a connection for each role, opened when first needed and closed together."""

    def __init__(self, run: Run, *, token: int = 0) -> None:
        self.run = run
        self.token = token
        self._stack = ExitStack()
        self._connections: dict[Role, psycopg.Connection[Any]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._stack.close()

    def connection(self, role: Role) -> psycopg.Connection[Any]:
        """The session's connection as `role`, in autocommit; transactions are opened where they are meant."""
        if role not in self._connections or self._connections[role].closed:
            self._connections[role] = self._stack.enter_context(connect(role, autocommit=True))
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

    @contextmanager
    def phase(self, phase: Phase) -> Iterator[None]:
        """Record a phase as started, then completed or failed; takes a new fencing token for it.

        Raises TransientFailure where another run holds one of the partitions.
        """
        phase_id, self.token = self.call(
            Role.OPERATOR, "start_phase", self.run.run_id, phase.value, timedelta(minutes=settings().lease_minutes)
        )
        try:
            yield
        except BaseException as error:
            kind = type(error).__name__
            self.call(Role.OPERATOR, "end_phase", phase_id, "failed", None, kind, str(error)[:2000])
            raise
        self.call(Role.OPERATOR, "end_phase", phase_id, "completed", None, None, None)

    def finish(self, state: str, message: str | None = None) -> None:
        """End the run and give its partitions free."""
        self.call(Role.BUILDER, "close_workspace", self.run.run_id)
        self.call(Role.OPERATOR, "finish_run", self.run.run_id, state, message)


@contextmanager
def admitted(
    domain: str, partitions: Sequence[str], *, run_key: str, trigger: str, by: str, is_one_process: bool
) -> Iterator[Session]:
    """Admit a run and hold its partitions.

    With `is_one_process` the claims fall free as soon as this process is gone, lease or not. Raises
    TransientFailure where another run holds a partition.
    """
    run = Run(run_id=0, run_key=run_key, domain=domain, partitions=tuple(partitions), trigger=trigger, actor=by)
    with Session(run) as session:
        backend = session.connection(Role.OPERATOR).info.backend_pid if is_one_process else None
        run_id, token = session.call(
            Role.OPERATOR, "admit_run", run_key, domain, list(partitions), trigger, by,
            timedelta(minutes=settings().lease_minutes), backend,
        )  # fmt: skip
        session.run, session.token = run.model_copy(update={"run_id": run_id}), token
        yield session


@contextmanager
def resumed(run_key: str) -> Iterator[Session]:
    """The newest run that was admitted under a key, for its next phase."""
    with Session(Run(run_id=0, run_key=run_key, domain="", partitions=(), trigger="", actor="")) as session:
        row = (
            session.connection(Role.OPERATOR)
            .execute(
                "select run_id, domain, partitions, trigger, actor from interlock.run where run_key = %s order by run_id desc limit 1",
                [run_key],
            )
            .fetchone()
        )
        if row is None:
            raise PermanentFailure(
                f"no run was admitted under {run_key!r}",
                fix="Clear the run from its first task on: admission comes first.",
            )
        session.run = Run(
            run_id=row[0], run_key=run_key, domain=row[1], partitions=tuple(row[2]), trigger=row[3], actor=row[4]
        )
        yield session


def failure_message(blocked: Sequence[Blocked]) -> str:
    """One line for each partition that did not get through."""
    return "\n".join(f"{item.dataset} {item.partition}: {item.reason}" for item in blocked)


def is_retry_useful(blocked: Sequence[Blocked]) -> bool:
    """Whether every hindrance may go away by itself."""
    return bool(blocked) and all(item.retry_helps for item in blocked)
