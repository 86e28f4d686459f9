"""Actions as they are recorded: one, some, or the whole story of one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from interlock.control.audit import Link
from interlock.control.records import Action
from interlock.db.connection import Role, connect
from interlock.db.failures import translated
from interlock.db.listing import Selection, rows
from interlock.errors import Unknown

if TYPE_CHECKING:
    from interlock.control.questions import ActionState
    from interlock.db.connection import Connection


class Story(BaseModel):
    """An action as it stands, and every event of the audit that names it, in order."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    action: Action
    events: tuple[Link, ...]


def get(action_id: int) -> Action:
    """One action. Raises UsageError where there is none of that number."""
    with translated(), connect(Role.CONTROLLER) as connection:
        return read(connection, action_id)


def find(
    *,
    states: Sequence[ActionState] = (),
    kind: str | None = None,
    domain: str | None = None,
    dataset: str | None = None,
    limit: int = 50,
) -> list[Action]:
    """Actions, newest first."""
    selection = Selection(
        states=tuple(state.value for state in states) or None,
        kinds=(kind,) if kind else None,
        domains=(domain,) if domain else None,
        datasets=(dataset,) if dataset else None,
        limit=limit,
    )
    return selected(selection)


def selected(selection: Selection) -> list[Action]:
    """Actions, newest first, those that are about one of the domains. The key of one is its number."""
    with translated(), connect(Role.CONTROLLER) as connection:
        return _select(connection, selection)


def story(action_id: int) -> Story:
    """An action and the events that tell of it."""
    action = get(action_id)
    columns = ", ".join(f"t.{field.name}" for field in fields(Link))
    query = (
        f"select {columns} from interlock.audit_trail t"  # noqa: S608
        " where t.payload::jsonb @> jsonb_build_object('action', %(id)s)"
        " or t.payload::jsonb @> jsonb_build_object('by_action', %(id)s) order by t.position"
    )
    with translated(), connect(Role.AUDITOR) as connection:
        events = tuple(Link(*row) for row in connection.execute(query.encode(), {"id": action_id}))
    return Story(action=action, events=events)


def by_key(connection: Connection, key: str | None) -> Action | None:
    """The action of an idempotency key, if there is one."""
    if key is None:
        return None
    row = connection.execute(b"select k.action_id from interlock.action_key k where k.key = %s", [key]).fetchone()
    return read(connection, row[0]) if row else None


def read(connection: Connection, action_id: int) -> Action:
    """One action, on a connection of the caller's. Raises UsageError where there is none of that number."""
    found = _select(connection, Selection(limit=1), action_id)
    if not found:
        raise Unknown(f"There is no action {action_id}.", fix="`interlock action list --all` shows all of them.")
    return found[0]


def _select(connection: Connection, selection: Selection, action_id: int | None = None) -> list[Action]:
    values = selection.values(after_id=int) | {"action_id": action_id}
    return [_action(row) for row in rows(connection, "control/actions.sql", values)]


def _action(row: dict[str, Any]) -> Action:
    """From JSON where the database has it: decisions and actors are strict about what a list is."""
    return Action.model_validate_json(json.dumps(row, default=datetime.isoformat))


def now(connection: Connection) -> datetime:
    """Real time by the database's clock, which every step of an action goes by."""
    row = connection.execute(b"select clock_timestamp()").fetchone()
    if row is None:
        raise LookupError("clock_timestamp")
    moment: datetime = row[0]
    return moment
