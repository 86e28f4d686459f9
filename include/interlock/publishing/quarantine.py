"""What is kept out of every reader's sight: rows that a gate set aside, and versions that an action withdrew."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from interlock.db.connection import Role, connect
from interlock.db.failures import translated
from interlock.db.listing import Key, Selection, rows


class Kind(StrEnum):
    """What is kept out of sight."""

    ROWS = "rows"
    VERSION = "version"


class State(StrEnum):
    """How it stands with it: rows are held, replayed, superseded or discarded, and versions withdrawn."""

    HELD = "held"
    REPLAYED = "replayed"
    SUPERSEDED = "superseded"
    DISCARDED = "discarded"
    WITHDRAWN = "withdrawn"


class Quarantined(BaseModel):
    """Rows of one load that were set aside for the same reasons, or a version of a partition that was withdrawn.

    `number` is the load's or the version's. `reasons` are the clauses that the rows do not meet; of a version, why it
    was withdrawn, and `action_id` is what did it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    dataset: str
    domain: str
    partition: str
    number: int
    state: State
    reasons: tuple[str, ...]
    rows: int | None
    since: datetime
    source_file: str | None
    contract_version: str
    discard_reason: str | None
    action_id: int | None

    @property
    def key(self) -> Key:
        """Its place in the list."""
        return (self.dataset, self.partition, self.kind.value, self.number, ",".join(self.reasons))


def quarantined(selection: Selection) -> list[Quarantined]:
    """What is out of sight, by dataset, newest partition first; unless states are named, what is held or withdrawn."""
    values = selection.values(
        after_dataset=str, after_partition=str, after_kind=str, after_number=int, after_reasons=str
    )
    with translated(), connect(Role.AUDITOR, autocommit=True) as connection:
        return [Quarantined(**row) for row in rows(connection, "publishing/quarantine.sql", values)]
