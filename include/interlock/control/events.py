"""The audit in pages, the newest event first: who did what, when and why. Whether it is whole says `audit.verify`.

An event's payload may carry what the database said when something failed, which may quote a row; that is withheld here,
so an event that is read here cannot be hashed again. Who verifies reads the trail itself.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from interlock.control.audit import Link, cloudevent
from interlock.db.connection import Role, connect
from interlock.db.disclosure import WITHHELD, told
from interlock.db.failures import translated
from interlock.db.listing import Selection, rows

FAILED = "action_failed"


class AuditEvent(BaseModel):
    """An event as CloudEvents 1.0; `sequence` is its place in the chain, `data` the event itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    specversion: str
    id: str
    source: str
    type: str
    time: datetime
    subject: str | None = None
    datacontenttype: str
    sequence: str
    data: dict[str, Any]

    @property
    def position(self) -> int:
        """Its place in the chain."""
        return int(self.id)


def events(selection: Selection) -> list[AuditEvent]:
    """Events, newest first. The key of one is its position."""
    with translated(), connect(Role.AUDITOR, autocommit=True) as connection:
        found = rows(connection, "control/events.sql", selection.values(after_position=int))
    return [event_of(Link(**row)) for row in found]


def event_of(link: Link) -> AuditEvent:
    """An event as it may be passed on."""
    said = _disclosed(json.loads(link.payload))
    if link.kind == FAILED and "failure" in said:
        said["failure"] = f"It could not be carried out: {WITHHELD}."
    payload = json.dumps(said, ensure_ascii=False)
    return AuditEvent.model_validate(cloudevent(replace(link, payload=payload)))


def _disclosed(value: Any) -> Any:
    if isinstance(value, str):
        return told(value)
    if isinstance(value, dict):
        return {name: _disclosed(item) for name, item in value.items()}
    return [_disclosed(item) for item in value] if isinstance(value, list) else value
