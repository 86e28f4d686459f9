"""What ran: every run with how it ended, and every attempt of its phases.

A run that died leaves no record of its end, and to call it failed, or still running, would be a guess. So it is
told from what the database knows: a run without an end whose partitions somebody holds is running; one whose
partitions nobody holds never ended.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from interlock.db.connection import Role, connect
from interlock.db.failures import translated
from interlock.db.listing import Selection, rows
from interlock.errors import Unknown, UsageError
from interlock.pipeline.runs import Run

if TYPE_CHECKING:
    from interlock.db.connection import Connection

SHOWN_NAMES = 8


class RunState(StrEnum):
    """How it stands with a run."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    NEVER_ENDED = "never_ended"
    REFUSED = "refused"  # before it was admitted: it never held anything


class PhaseState(StrEnum):
    """How it stands with one attempt of a phase."""

    STARTED = "started"
    COMPLETED = "completed"
    FAILED = "failed"
    NEVER_ENDED = "never_ended"


class PhaseRecord(BaseModel):
    """One attempt of a phase. `seconds` is how long it took; of one without an end, `age_seconds` since its start."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    phase: str
    state: PhaseState
    started_at: datetime
    finished_at: datetime | None
    age_seconds: float
    seconds: float | None
    rows: int | None
    failure_class: str | None
    message: str | None


class RunRecord(Run):
    """One run. `held_until` is when its partitions fall free at the latest, where it still holds them.

    A run in one process holds them no longer than that process lives. What failed is told of the first phase whose
    last attempt failed; `message` is what the run itself ended with.
    """

    state: RunState
    started_at: datetime
    finished_at: datetime | None
    held_until: datetime | None
    is_held_by_process: bool | None
    age_seconds: float
    seconds: float | None
    rows_loaded: int | None
    last_phase: str | None
    failed_phase: str | None
    failure_class: str | None
    failure_message: str | None
    message: str | None


class RunHistory(RunRecord):
    """One run with its phases."""

    phases: tuple[PhaseRecord, ...]


def runs(domain: str | None = None, partition: str | None = None, last: int = 20) -> tuple[RunRecord, ...]:
    """The newest runs, the newest first. Raises UsageError where nothing is known of the domain."""
    selection = Selection(
        domains=(domain,) if domain else None, partitions=(partition,) if partition else None, limit=last
    )
    found = selected(selection)
    if domain is not None and not found:
        with translated(), connect(Role.OPERATOR, autocommit=True) as connection:
            _require_domain(connection, domain)
    return found


def selected(selection: Selection) -> tuple[RunRecord, ...]:
    """Runs, the newest first. The key of one is its number."""
    with translated(), connect(Role.OPERATOR, autocommit=True) as connection:
        found = rows(connection, "pipeline/history.sql", selection.values(after_id=int) | {"run_id": None})
    return tuple(RunRecord(**row) for row in found)


def run(run_id: int) -> RunHistory:
    """One run with every attempt of its phases. Raises UsageError where there is none of that number."""
    with translated(), connect(Role.OPERATOR) as connection:
        # One instant for both queries: a run must not end between them.
        connection.execute("set transaction isolation level repeatable read, read only")
        asked = Selection(limit=1).values(after_id=int) | {"run_id": run_id}
        found = rows(connection, "pipeline/history.sql", asked)
        if not found:
            raise Unknown(f"There is no run {run_id}.", fix="`interlock runs` lists the newest ones.")
        is_running = found[0]["state"] == RunState.RUNNING
        phases = rows(connection, "pipeline/history_phases.sql", {"run_id": run_id, "is_running": is_running})
        return RunHistory(**found[0], phases=tuple(PhaseRecord(**phase) for phase in phases))


def _require_domain(connection: Connection, domain: str) -> None:
    """Refuses a domain that nobody ever ran: an empty list for a misspelt name would read as `nothing failed`."""
    known = [
        name
        for (name,) in connection.execute(
            "select domain from interlock.dataset union"
            " select domain from interlock.run where state <> 'refused' order by 1"
        )
    ]
    if domain not in known:
        names = ", ".join(known[:SHOWN_NAMES])
        raise UsageError(
            f"Nothing is known of a domain {domain!r}.", fix=f"Use one of: {names}." if names else "No domain ever ran."
        )
