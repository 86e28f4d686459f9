"""The bundles that the database keeps, and which one of them is active.

The content that is kept is hashed again whenever it is read: a row that somebody changed is no policy any more.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from interlock.control.bundles import Bundle, bundle_of
from interlock.db.failures import Refusal, Refused, translated
from interlock.errors import UsageError

if TYPE_CHECKING:
    from interlock.db.connection import Connection


class Activation(BaseModel):
    """Which bundle decides, since when, and by which action; none is the platform's first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    revision: str
    action_id: int | None
    since: datetime


def revision(connection: Connection) -> str | None:
    """The active revision; None before the first decision."""
    row = connection.execute(b"select revision from interlock.active_policy").fetchone()
    return row[0] if row else None


def activation(connection: Connection) -> Activation | None:
    """The active revision and where it comes from."""
    row = connection.execute(b"select revision, action_id, since from interlock.active_policy").fetchone()
    return Activation(revision=row[0], action_id=row[1], since=row[2]) if row else None


def recorded(connection: Connection, revision: str) -> Bundle:
    """The bundle that is kept under a revision. Raises PolicyInvalid; UsageError where none is."""
    row = connection.execute(b"select content from interlock.policy_bundle where revision = %s", [revision]).fetchone()
    if row is None:
        raise UsageError(
            f"No policy of the revision {revision!r} was ever recorded.",
            fix="Give the whole revision; `interlock policy activate` records that of the checkout.",
        )
    return bundle_of(revision, row[0])


def record(connection: Connection, bundle: Bundle, by: str) -> None:
    """Keep a bundle, so that it can be proposed."""
    from psycopg.types.json import Jsonb

    connection.execute(b"select interlock.record_policy(%s, %s, %s)", [bundle.revision, Jsonb(bundle.contents), by])


def begin(connection: Connection, bundle: Bundle, by: str) -> str:
    """Make a bundle the first that is active, unless another one was begun at the same moment; returns which one is."""
    try:
        with translated(), connection.transaction():
            record(connection, bundle, by)
            connection.execute(b"select interlock.begin_policy(%s, %s)", [bundle.revision, by])
    except Refused as refused:
        if refused.refusal is not Refusal.PRECONDITION:
            raise
    return revision(connection) or bundle.revision
