"""The platform's fingerprint: what consumers are served and told, and who may do what. Taken before an action and after
its inverse it must be the same, whatever happened between.

Rows are counted and summed up by their hashes, so that their order says nothing and their number may be large. Events,
actions and what waits to be rebuilt are no part of it: that something was done and undone is on record for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.db.connection import Role, connect, statement
from interlock.db.failures import translated

if TYPE_CHECKING:
    from interlock.db.connection import Connection

Fingerprint = dict[str, str]

VIEWS = "select c.relname from pg_class c where c.relnamespace = 'safe'::regnamespace and c.relkind = 'v' order by 1"
ROWS = "select count(*) || ' rows, ' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) from safe.{} as t"
NOTHING = "nothing"


def fingerprint() -> Fingerprint:
    """Every part with its content: the rows as a consumer reads them, everything else as the auditor sees it."""
    with translated(), connect(Role.AUDITOR) as auditor, connect(Role.CONSUMER) as consumer:
        parts: Fingerprint = dict(auditor.execute(statement("control/fingerprint.sql").encode()).fetchall())
        for (view,) in consumer.execute(VIEWS.encode()).fetchall():
            parts[f"the rows of safe.{view}"] = _rows(consumer, view)
    return parts


def differences(before: Fingerprint, after: Fingerprint) -> list[str]:
    """What is not as it was, part by part, in words."""
    return [
        f"{part}: {before.get(part, NOTHING)} became {after.get(part, NOTHING)}"
        for part in sorted(before.keys() | after.keys())
        if before.get(part) != after.get(part)
    ]


def _rows(consumer: Connection, view: str) -> str:
    from psycopg import sql

    row = consumer.execute(sql.SQL(ROWS).format(sql.Identifier(view))).fetchone()
    return str(row[0]) if row else NOTHING
