"""What time it is for the platform: real time, or a replay's.

The example replays 2013. Setting the clock moves an offset in the database that advances with real
time, so that leases still run out, and only the operator may move it: never an argument of the asker,
who could otherwise talk a stale answer into being fresh. Leases on work (claims, fencing) do not look
here: they go by real time.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from interlock.errors import UsageError

if TYPE_CHECKING:
    from interlock.db.connection import Connection


def now(connection: Connection) -> datetime:
    """The platform's time at the start of the connection's transaction, in UTC."""
    return _value(connection, "select interlock.now()").astimezone(UTC)


def is_set(connection: Connection) -> bool:
    """Whether the platform lives in another time than the real one; every answer given then says so."""
    return bool(_value(connection, "select exists (select from interlock.clock)"))


def set_to(connection: Connection, instant: datetime, actor: str) -> None:
    """Let the platform's time be `instant` now and advance from there. Needs the operator's role."""
    if instant.tzinfo is None:
        raise UsageError(
            f"The clock cannot be set to {instant.isoformat()}: it says no time zone.",
            fix="Give the instant with its zone, for example 2013-01-08T06:00:00+00:00.",
        )
    connection.execute("select interlock.set_clock(%s, %s)", [instant, actor])


def clear(connection: Connection, actor: str) -> None:
    """Return to real time. Needs the operator's role."""
    connection.execute("select interlock.clear_clock(%s)", [actor])


def real_now() -> datetime:
    """Real time in UTC, for file names, log lines and time-outs: never for a judgement about data."""
    return datetime.now(UTC)


def _value(connection: Connection, query: str) -> datetime:
    row = connection.execute(query.encode()).fetchone()
    if row is None:
        raise LookupError(query)
    value: datetime = row[0]
    return value
