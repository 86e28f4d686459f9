"""The matrix: every dataset by partition, with the state of each, and long history as counts.

Read with a consumer's rights from the view `interlock.safety`, in one statement, so that what it shows is
one instant. The newest days are shown one by one; what lies before them is summarised, because a year of
days side by side is a picture that nobody can read.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime, timedelta

from pydantic import BaseModel, ConfigDict

from interlock.db.connection import Role, connect, statement
from interlock.db.failures import translated
from interlock.safety.answer import State
from interlock.safety.answers import ALL


class Row(BaseModel):
    """One dataset: the state of each partition that is shown, and how many earlier ones are in which state."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    domain: str
    layer: str
    dataset: str
    states: dict[str, State]
    earlier: dict[State, int]


class Trouble(BaseModel):
    """A partition that is unsafe for a reason of its own, not because of something upstream."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    first: str
    last: str
    count: int
    state: State
    reason: str


class Standstill(BaseModel):
    """A domain, or one dataset of it, in which nothing runs (`paused`), or nothing but people act (`frozen`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    what: str
    domain: str
    dataset: str | None
    since: datetime
    by: str
    reason: str
    action_id: int


class Matrix(BaseModel):
    """Datasets by partitions at one instant. `days` are those shown one by one, oldest first, gaps included."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    days: tuple[str, ...]
    rows: tuple[Row, ...]
    troubles: tuple[Trouble, ...]
    standstills: tuple[Standstill, ...]
    as_of: datetime | None
    clock_offset_seconds: float | None


def matrix(domain: str | None = None, days: int = 14) -> Matrix:
    """The newest `days` days of every dataset (of one domain, where given), and the history before them as counts."""
    with translated(), connect(Role.CONSUMER, autocommit=True) as connection:
        found = connection.execute(statement("safety/matrix.sql").encode(), {"domain": domain, "days": days}).fetchall()
        still = connection.execute(
            b"select what, domain, dataset, since, by, reason, action_id from interlock.standstill"
            b" where %(domain)s::text is null or domain in (%(domain)s, '*') order by since",
            {"domain": domain},
        ).fetchall()
    names = [(row[0], row[1], row[2]) for row in found]
    states: dict[str, dict[str, State]] = defaultdict(dict)
    earlier: dict[str, dict[State, int]] = defaultdict(dict)
    troubles = []
    for _, _, dataset, partition, state, count, reason, first, last, is_root, _, _ in found:
        if partition is None:
            earlier[dataset][State(state)] = count
        else:
            states[dataset][partition] = State(state)
        if is_root and state in (State.UNSAFE, State.QUARANTINED):
            troubles.append(
                Trouble(dataset=dataset, first=first, last=last, count=count, state=State(state), reason=reason or "")
            )
    return Matrix(
        days=_span([day for shown in states.values() for day in shown if day != ALL]),
        rows=tuple(
            Row(domain=name[0], layer=name[1], dataset=name[2], states=states[name[2]], earlier=earlier[name[2]])
            for name in dict.fromkeys(names)
        ),
        troubles=tuple(troubles),
        standstills=tuple(Standstill(**dict(zip(Standstill.model_fields, row, strict=True))) for row in still),
        as_of=max((row[-2] for row in found), default=None),
        clock_offset_seconds=next((float(row[-1]) for row in found if row[-1] is not None), None),
    )


def _span(days: list[str]) -> tuple[str, ...]:
    """Every day from the first to the last, so that a gap is seen."""
    if not days:
        return ()
    first, last = date.fromisoformat(min(days)), date.fromisoformat(max(days))
    return tuple(str(first + timedelta(days=n)) for n in range((last - first).days + 1))
