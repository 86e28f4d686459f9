"""The way that a failure took: from the fact that it began with, through the lineage, to where it is asked about."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from interlock.db.connection import Role, connect, statement
from interlock.db.failures import translated
from interlock.safety.answer import State


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CauseNode(_Part):
    """A partition on the way. Of a dataset that is only passed through, one that the same fact holds back."""

    dataset: str
    partition: str
    state: State
    layer: str
    domain: str


class CausePath(_Part):
    """The partitions on the way, the root first, and which of them leads to which; both name datasets."""

    nodes: tuple[CauseNode, ...] = ()
    edges: tuple[tuple[str, str], ...] = ()
    root: str | None = None


def cause_path(dataset: str, partition: str) -> CausePath:
    """The shortest path to the fact that holds a partition back; empty where nothing does."""
    with translated(), connect(Role.AUDITOR, autocommit=True) as connection:
        row = connection.execute(
            statement("safety/cause_path.sql").encode(), {"dataset": dataset, "partition": partition}
        ).fetchone()
    return CausePath.model_validate(row[0]) if row else CausePath()
