"""The lineage as it is registered, with the state of each dataset, and what stands on it; all of it, or around one."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from interlock.db.connection import Role, connect, statement
from interlock.db.failures import translated
from interlock.safety.answer import State


class Direction(StrEnum):
    """Which way to follow the lineage from a dataset."""

    UP = "up"
    DOWN = "down"
    BOTH = "both"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LineageNode(_Part):
    """A dataset and how it stands."""

    dataset: str
    domain: str
    layer: str
    state: State


class LineageEdge(_Part):
    """One dataset read by another; see the contracts' `interlock.inputs` for the mapping."""

    upstream: str
    downstream: str
    mapping: str
    lookback: int
    reopens: bool


class StandsOn(_Part):
    """A consumer or a metric, and the datasets shown that it stands on."""

    name: str
    owner: str | None
    contact: str | None
    datasets: tuple[str, ...]


class LineageGraph(_Part):
    """Datasets, the edges between those that are shown, and who stands on them."""

    nodes: tuple[LineageNode, ...]
    edges: tuple[LineageEdge, ...]
    consumers: tuple[StandsOn, ...]
    metrics: tuple[StandsOn, ...]


def lineage(
    dataset: str | None, direction: Direction, depth: int, domains: Sequence[str] | None = None
) -> LineageGraph:
    """The lineage around a dataset, so many steps far, or all of it; cut to the domains where some are named."""
    values = {
        "dataset": dataset,
        "is_up": direction is not Direction.DOWN,
        "is_down": direction is not Direction.UP,
        "depth": depth,
        "domains": list(domains) if domains is not None else None,
    }
    with translated(), connect(Role.AUDITOR, autocommit=True) as connection:
        row = connection.execute(statement("safety/lineage.sql").encode(), values).fetchone()
    return LineageGraph.model_validate(row[0] if row else {})
