"""The partitions of a dataset, a page of them at a time: how each stands, and which run made what is served."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from interlock.db.connection import Role, connect
from interlock.db.disclosure import told
from interlock.db.failures import translated
from interlock.db.listing import Selection, rows
from interlock.safety.answer import State, Waiver


class PartitionState(BaseModel):
    """One partition; `reason` is the first of its answer. `run_id` published what is served, and `rows` are in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    partition: str
    state: State
    safe: bool
    version: int | None
    reason: str | None
    published_at: datetime | None
    run_id: int | None
    rows: int | None
    verdict_id: int | None
    warnings: int
    bootstrapped: bool
    waiver: Waiver | None


def partitions(dataset: str, selection: Selection) -> list[PartitionState]:
    """Partitions of a dataset, newest first. The key of one is its name."""
    values = selection.values(after_partition=str) | {"dataset": dataset}
    with translated(), connect(Role.AUDITOR, autocommit=True) as connection:
        found = rows(connection, "safety/partitions.sql", values)
    return [PartitionState(**row | {"reason": told(row["reason"])}) for row in found]


def partition(dataset: str, name: str) -> PartitionState | None:
    """One of them; None where nothing is known of it."""
    return next(iter(partitions(dataset, Selection(partitions=(name,), limit=1))), None)
