"""The grid: every dataset by day in one letter a state, a thousand days of a hundred datasets in one answer.

The matrix of the command line (`safety/matrix.py`) names each state of two weeks; this is what a page draws from.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict

from interlock.db.connection import Role, connect
from interlock.db.disclosure import told
from interlock.db.failures import translated
from interlock.safety.answer import State
from interlock.safety.matrix import Standstill, Trouble

# As interlock.letter_of has them; a dot is a day of which nothing is known.
LETTERS = {
    "s": State.SAFE,
    "u": State.UNSAFE,
    "q": State.QUARANTINED,
    "r": State.REBUILDING,
    "c": State.CHECKING,
    "?": State.UNKNOWN,
}


class GridRow(BaseModel):
    """One dataset. `states` has a letter for each of the grid's days; `all` is the state of a dataset without days;
    `earlier` counts the partitions before the grid's days by state.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    domain: str
    layer: str
    states: str
    all: State | None
    earlier: dict[State, int]


class Grid(BaseModel):
    """Datasets by days at one instant. `days` are newest first, gaps included; `states` says what each letter means.

    `feed_position` is where the feed of changes goes on from this instant.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    days: tuple[date, ...]
    states: dict[str, State]
    rows: tuple[GridRow, ...]
    troubles: tuple[Trouble, ...]
    standstills: tuple[Standstill, ...]
    as_of: datetime
    valid_until: datetime | None
    clock_offset_seconds: float | None
    feed_position: int


def grid(domains: Sequence[str] | None = None, days: int = 14, before: date | None = None) -> Grid:
    """The newest days of every dataset, or those before a day; of some domains where they are named."""
    asked = [list(domains) if domains is not None else None, days, before]
    with translated(), connect(Role.CONSUMER, autocommit=True) as connection:
        row = connection.execute("select interlock.grid(%s, %s, %s)", asked).fetchone()
    if row is None:
        raise LookupError("interlock.grid")
    return _grid(row[0])


def _grid(found: dict[str, Any]) -> Grid:
    newest, oldest = found.pop("newest"), found.pop("oldest")
    shown: tuple[date, ...] = ()
    if newest and oldest:
        first, last = date.fromisoformat(newest), date.fromisoformat(oldest)
        shown = tuple(first - timedelta(days=back) for back in range((first - last).days + 1))
    for row in found["rows"]:
        row["states"] = row["states"].ljust(len(shown), ".")
    for trouble in found["troubles"]:
        trouble["reason"] = told(trouble["reason"])
    return Grid.model_validate(found | {"days": shown, "states": LETTERS})
