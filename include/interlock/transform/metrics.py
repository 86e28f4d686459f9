"""The value of a canonical metric together with its safety: neither ever leaves without the other.

Both are read in one snapshot, as a consumer, from `safe.*` and `interlock.safety`: the value is of the safe
partitions, and the answer is safe only where that is every day that was asked for. Half a week's flights
look like a whole week's in one number; a day that is missing is therefore a reason, like a day that failed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from interlock import clock
from interlock.db.connection import Role, connect
from interlock.db.connection import statement as sql_file
from interlock.errors import CouldNotAsk, Exit, UsageError
from interlock.safety.answer import Reason, State
from interlock.safety.answers import ALL, unanswered
from interlock.transform import semantics

if TYPE_CHECKING:
    from psycopg.sql import Composed

    from interlock.db.connection import Connection

Value = float | int | None


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MetricRow(_Part):
    """The metric's value for one combination of the dimensions."""

    group: dict[str, str | int | bool | date | None]
    value: Value


class PartitionSafety(_Part):
    """The safety of one partition that the value rests on, or would have rested on."""

    dataset: str
    partition: str
    state: State
    safe: bool
    version: int | None
    contract_version: str
    verdict_id: int | None


class MetricAnswer(_Part):
    """A metric over the days from `start` to `end`, of the safe ones; `value` is null where it is grouped."""

    metric: str
    description: str
    group_by: tuple[str, ...]
    start: date | None
    end: date | None
    value: Value
    rows: tuple[MetricRow, ...]
    safe: bool
    reasons: tuple[Reason, ...]
    partitions: tuple[PartitionSafety, ...]
    bootstrapped: bool
    warnings: int
    as_of: datetime
    valid_until: datetime | None
    clock_offset_seconds: float | None

    @property
    def about(self) -> str:
        """What the value is of: the days, and the dimensions where it is grouped."""
        days = f"{self.start} to {self.end}" if self.start != self.end else str(self.start or "no day")
        return f"{days} by {', '.join(self.group_by)}" if self.group_by else days

    @property
    def versions(self) -> dict[str, dict[str, int]]:
        """What the value rests on: the version of each safe partition, by dataset and partition."""
        found: dict[str, dict[str, int]] = {}
        for part in self.partitions:
            if part.safe and part.version is not None:
                found.setdefault(part.dataset, {})[part.partition] = part.version
        return found

    @property
    def exit_code(self) -> Exit:
        """What a script is told: 0 safe, 3 not."""
        return Exit.OK if self.safe else Exit.UNSAFE


def metric(name: str, group_by: Sequence[str] = (), start: date | None = None, end: date | None = None) -> MetricAnswer:
    """Ask for a metric over whole days, both ends included; without them from the first to the last known day.

    Raises UsageError for what does not exist, CouldNotAsk where the database does not answer.
    """
    import psycopg

    if start is not None and end is not None and end < start:
        raise UsageError(f"{start} to {end} ends before it begins.", fix="Give the earlier day first.")
    known = semantics.definition(name)
    compiled = semantics.statement(name, tuple(group_by))
    try:
        with connect(Role.CONSUMER) as connection:
            connection.execute("set transaction isolation level repeatable read, read only")
            as_of = clock.now(connection)
            found = _safety(connection, compiled, start, end)
            days = [row["partition"] for row in found if row["partition"] != ALL]
            start = start or (date.fromisoformat(min(days)) if days else None)
            end = end or (date.fromisoformat(max(days)) if days else None)
            records = connection.execute(_query(compiled), {"start": start, "end": end}).fetchall()
    except psycopg.errors.UndefinedTable:
        datasets = ", ".join(compiled.datasets)
        raise CouldNotAsk(
            f"Nothing that {name} is made of is known to the platform yet: {datasets}.",
            fix="Read this as *not safe*, and run its domain first: `interlock run --help`.",
        ) from None
    except psycopg.Error as error:
        raise unanswered(error) from error
    reasons = tuple(_reasons(found, compiled, start, end))
    rows = tuple(_row(tuple(group_by), record) for record in records)
    return MetricAnswer(
        metric=name,
        description=known.description,
        group_by=tuple(group_by),
        start=start,
        end=end,
        value=None if group_by or not rows else rows[0].value,
        rows=rows if group_by else (),
        safe=not reasons and all(row["safe"] for row in found),
        reasons=reasons,
        partitions=tuple(
            PartitionSafety(**{field: row[field] for field in PartitionSafety.model_fields}) for row in found
        ),
        bootstrapped=any(row["bootstrapped"] for row in found),
        warnings=sum(row["warnings"] for row in found),
        as_of=as_of,
        valid_until=min((row["valid_until"] for row in found if row["valid_until"]), default=None),
        clock_offset_seconds=found[0]["clock_offset_seconds"] if found else None,
    )


def _safety(
    connection: Connection, compiled: semantics.Statement, start: date | None, end: date | None
) -> list[dict[str, Any]]:
    from psycopg.rows import dict_row

    with connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(
            sql_file("transform/metric_safety.sql").encode(),
            {"datasets": list(compiled.datasets), "start": start, "end": end},
        )
        return cursor.fetchall()


def _query(compiled: semantics.Statement) -> Composed:
    """The statement with each dataset that has days cut to those asked for, where PostgreSQL can prune by them."""
    from psycopg import sql

    scoped = {
        semantics.relation(dataset): sql.SQL("(select * from {} where {} between %(start)s and %(end)s)").format(
            sql.Identifier(semantics.SCHEMA, dataset), sql.Identifier(column)
        )
        for dataset, column in compiled.datasets.items()
        if column is not None
    }
    pieces = [compiled.sql.replace("%", "%%")]
    if scoped:
        pieces = re.split(f"({'|'.join(map(re.escape, scoped))})", pieces[0])
    return sql.Composed([scoped.get(piece) or sql.SQL(piece) for piece in pieces])


def _reasons(
    found: list[dict[str, Any]], compiled: semantics.Statement, start: date | None, end: date | None
) -> Iterator[Reason]:
    """Why the answer is not safe: the reasons of each partition that is not, and the days that nobody knows."""
    for row in found:
        if not row["safe"]:
            for reason in row["reasons"]:
                yield Reason(**{**reason, "partition": f"{row['dataset']} {row['partition']}"})
    for dataset, column in compiled.datasets.items():
        known = {row["partition"] for row in found if row["dataset"] == dataset}
        if column is None or start is None or end is None:
            unknown = [] if known else [ALL]
        else:
            days = ((start + timedelta(days=number)).isoformat() for number in range((end - start).days + 1))
            unknown = [day for day in days if day not in known]
        for first, last in _stretches(unknown):
            yield Reason(
                code="never_judged",
                message="No version of it was ever judged.",
                clears="A run of its domain.",
                partition=f"{dataset} {first}" if first == last else f"{dataset} {first} to {last}",
            )


def _stretches(days: list[str]) -> Iterator[tuple[str, str]]:
    """First and last of each run of consecutive days."""
    if days == [ALL]:
        yield ALL, ALL
        return
    ordinals = [date.fromisoformat(day).toordinal() for day in days]
    for _, stretch in groupby(enumerate(ordinals), key=lambda item: item[1] - item[0]):
        numbers = [ordinal for _, ordinal in stretch]
        yield date.fromordinal(numbers[0]).isoformat(), date.fromordinal(numbers[-1]).isoformat()


def _row(group_by: tuple[str, ...], record: tuple[Any, ...]) -> MetricRow:
    """A record of the statement: the dimensions in the order that was asked for, then the value."""
    *group, value = record
    return MetricRow(
        group={
            name: item.date() if isinstance(item, datetime) else item
            for name, item in zip(group_by, group, strict=True)
        },
        value=_number(value),
    )


def _number(value: Any) -> Value:
    if not isinstance(value, Decimal):
        return value  # type: ignore[no-any-return]
    return int(value) if value == value.to_integral_value() else float(value)
