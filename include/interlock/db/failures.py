"""What the database refused, in the platform's own words: the one place where a SQLSTATE becomes a failure.

The rules live in the database, so its refusals are most of what a run can run into. Each of the
platform's own codes (`IL...`) says whether a rerun helps; of PostgreSQL's codes those that time mends
by itself are transient: a lost connection, a lock that was not had in time, a deadlock, a full disk.
Every other refusal is left as it is: an error that nobody foresaw must look like one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING

from interlock.errors import CouldNotAsk, InterlockError, PermanentFailure, TransientFailure, Unknown, UsageError

if TYPE_CHECKING:
    import psycopg


class Refusal(StrEnum):
    """The codes that the schema `interlock` raises."""

    PARTITION_HELD = "IL001"
    UNKNOWN_DATASET = "IL002"
    SHAPE_CHANGED = "IL003"
    CONTRACT_CHANGED = "IL004"
    CLAIM_LOST = "IL005"
    INPUT_NOT_SAFE = "IL006"
    BAD_CANDIDATE = "IL007"
    NO_VERDICT = "IL008"
    INPUT_REPLACED = "IL009"
    APPEND_ONLY = "IL010"
    NOT_BALANCED = "IL011"
    STILL_NEEDED = "IL012"
    OUTDATED = "IL013"
    RETIRED = "IL014"
    PAUSED = "IL015"
    NOT_IN_STATE = "IL016"
    PRECONDITION = "IL017"
    NOT_ENTITLED = "IL018"
    NOT_SAFE = "IL020"
    UNKNOWN_CONSUMER = "IL021"


class Refused(PermanentFailure):
    """The database refused, and will again until something else changes; `refusal` says which rule it was."""

    refusal: Refusal


class RefusedForNow(TransientFailure):
    """The database refused what a rerun may well be granted; `refusal` says which rule it was."""

    refusal: Refusal


TRANSIENT = {
    Refusal.PARTITION_HELD,
    Refusal.CLAIM_LOST,
    Refusal.INPUT_REPLACED,
}

# Classes and codes of PostgreSQL that time mends: connection, transaction rollback, resources, operator intervention.
TRANSIENT_CLASSES = ("08", "40", "53", "57")
LOCK_NOT_AVAILABLE = "55P03"
READ_ONLY = "25006"
STOOD_STILL = "25P03"  # in a transaction, for longer than the server waits

FIXES = {
    READ_ONLY: "The database takes no writes: it is a standby, or was set read-only. Run it again once it takes them.",
    "53100": "The database's disk is full: `interlock maintain` prunes what outlived its retention; or free space, "
    "and run it again.",
    "53300": "All connections of the database are taken: run it again when others have ended, or allow it more.",
}


@contextmanager
def translated() -> Iterator[None]:
    """Run statements so that what the database refuses is raised as a permanent or a transient failure."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        failure = failure_of(error)
        if failure is None:
            raise
        raise failure from error


def failure_of(error: psycopg.Error) -> InterlockError | None:
    """The failure that a database error stands for; None where nobody foresaw it."""
    state = error.sqlstate or ""
    message = error.diag.message_primary or str(error).strip()
    fix = error.diag.message_hint or ""
    if state in {refusal.value for refusal in Refusal}:
        return _refused(Refusal(state), message, fix)
    if state == LOCK_NOT_AVAILABLE:
        return TransientFailure(f"Another transaction held a lock for too long: {message}", fix="Run it again.")
    if state.startswith(TRANSIENT_CLASSES) or state in (READ_ONLY, STOOD_STILL):
        return TransientFailure(message, fix=FIXES.get(state) or fix or "Run it again once the database is well.")
    if not state and _is_connection_lost(error):
        return CouldNotAsk(
            f"The connection to the database was lost: {message}", fix="Run it again once the database is back."
        )
    return None


def _refused(refusal: Refusal, message: str, fix: str) -> InterlockError:
    if refusal is Refusal.UNKNOWN_DATASET:
        return Unknown(message, fix=fix)
    if refusal is Refusal.UNKNOWN_CONSUMER:
        return UsageError(message, fix=fix)
    kind = RefusedForNow if refusal in TRANSIENT else Refused
    failure = kind(message, fix=fix)
    failure.refusal = refusal
    return failure


def _is_connection_lost(error: psycopg.Error) -> bool:
    import psycopg

    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
