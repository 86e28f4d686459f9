"""Measures of partitions: one grouped statement for all of them, and what recent safe partitions measured.

A measure belongs to a partition, never to a union: a day without a single delay would vanish in a good year. What is
measured is kept with the verdict, and becomes history only while the partition is safe.
"""

# ruff: noqa: S608 (composed of checked names and literals alone: see sqltext)

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from statistics import median
from typing import TYPE_CHECKING, Any

from interlock.contracts.checks import CheckKind
from interlock.db.connection import statement
from interlock.errors import PermanentFailure
from interlock.quality.sqltext import identifier, literal, literals

if TYPE_CHECKING:
    from interlock.contracts.checks import Check
    from interlock.db.connection import Connection
    from interlock.quality.neighbours import Neighbours
    from interlock.quality.subjects import Subject

ROW_COUNT = "row_count"
_AGGREGATES = {
    "mean": "avg({0})",
    "sum": "sum({0})",
    "median": "percentile_cont(0.5) within group (order by {0})",
    "minimum": "min({0})",
    "maximum": "max({0})",
    "distinct": "count(distinct {0})",
    "count_null": "count(*) - count({0})",
    "share_null": "(count(*) - count({0}))::double precision / nullif(count(*), 0)",
    "share_true": "count(*) filter (where {0})::double precision / nullif(count(*), 0)",
}
WEEKDAYS = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")


@dataclass(frozen=True)
class Measured:
    """A value for each partition, or what kept it from being measured."""

    values: Mapping[str, float | None] = field(default_factory=dict)
    error: str | None = None


def measure_name(measure: str | Mapping[str, str]) -> str:
    """The name under which a measure is stored: `row_count`, `mean:departure_delay_minutes`."""
    if isinstance(measure, str):
        return measure
    ((aggregate, column),) = measure.items()
    return f"{aggregate}:{column}"


def measured(connection: Connection, subject: Subject, names: Iterable[str]) -> dict[str, Measured]:
    """Every named measure of every partition, in one statement; where that raises, each in a statement of its own."""
    wanted = list(dict.fromkeys([ROW_COUNT, *names]))
    try:
        return _aggregated(connection, subject, wanted)
    except Exception as error:
        if len(wanted) == 1:
            return {wanted[0]: Measured(error=_said(error))}
    found: dict[str, Measured] = {}
    for name in wanted:
        try:
            found.update(_aggregated(connection, subject, [name]))
        except Exception as error:
            found[name] = Measured(error=_said(error))
    return found


def sql_measured(connection: Connection, subject: Subject, check: Check) -> Measured:
    """The number that a contract's own query returns for each partition; `${table}` is that partition's rows."""
    part = f"(select * from ({subject.query}) as subject where {subject.key} = judged.part_key)"
    query = check.arguments["query"].strip().rstrip(";").replace("${table}", part).replace("{table}", part)
    values = ", ".join(f"({literal(key)})" for key in subject.partitions)
    lines = f"select part_key, ({query}\n)::double precision from (values {values}) as judged (part_key)"
    try:
        with connection.transaction():
            rows = connection.execute(lines.encode()).fetchall()
    except Exception as error:
        return Measured(error=_said(error))
    return Measured({subject.partitions[key]: value for key, value in rows})


def neighbour_measured(connection: Connection, subject: Subject, check: Check, neighbours: Neighbours) -> Measured:
    """The measure of another dataset for each partition, as this run sees that dataset; `against` where it differs."""
    dataset = check.arguments["dataset"]
    name = measure_name(check.arguments.get("against") or check.arguments.get("measure", ROW_COUNT))
    column = neighbours.partition_column(dataset)
    aggregate = _aggregate(name, identifier)
    partitions = list(subject.partitions.values())
    relation = neighbours.relation(dataset)
    is_whole = partitions == ["all"] or column is None
    if is_whole and partitions != ["all"]:
        return Measured(error=f"{dataset} has the one partition `all`: no part of it corresponds to a day")
    key = literal("all") if is_whole else f"{identifier(column or '')}::text"
    where = "" if is_whole else f" where {identifier(column or '')}::text in ({literals(partitions)})"
    lines = f"select {key}, ({aggregate})::double precision from {relation}{where}{'' if is_whole else ' group by 1'}"
    try:
        with connection.transaction():
            found = dict(connection.execute(lines.encode()).fetchall())
    except Exception as error:
        return Measured(error=_said(error))
    absent = 0.0 if name == ROW_COUNT else None
    return Measured({part: found.get(part, absent) for part in partitions})


def _aggregated(connection: Connection, subject: Subject, names: Sequence[str]) -> dict[str, Measured]:
    columns = ", ".join(f"({_aggregate(name, subject.column)})::double precision" for name in names)
    lines = f"select {subject.key}, {columns} from ({subject.query}) as subject group by 1"
    with connection.transaction():
        rows = connection.execute(lines.encode()).fetchall()
    by_partition = {subject.partitions[row[0]]: row[1:] for row in rows}
    empty = {name: 0.0 if name == ROW_COUNT else None for name in names}
    return {
        name: Measured(
            {
                part: by_partition[part][place] if part in by_partition else empty[name]
                for part in subject.partitions.values()
            }
        )
        for place, name in enumerate(names)
    }


def _aggregate(name: str, column_of: Any) -> str:
    if name == ROW_COUNT:
        return "count(*)"
    aggregate, _, column = name.partition(":")
    if aggregate not in _AGGREGATES:
        raise PermanentFailure(
            f"{aggregate!r} is no measure.", fix=f"Use row_count or one of {', '.join(_AGGREGATES)}."
        )
    return _AGGREGATES[aggregate].format(column_of(column))


def _said(error: Exception) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__


@dataclass(frozen=True)
class Expected:
    """The bounds that a baseline sets for one partition, and what they rest on; `middle` is the history's median."""

    low: float | None
    high: float | None
    basis: str
    is_bootstrapped: bool
    middle: float | None = None

    def admits(self, value: float) -> bool:
        """Whether the value lies between the bounds; no bounds at all admit nothing."""
        if self.low is None and self.high is None:
            return False
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


class History:
    """What safe partitions measured, by day; partitions of a range join it as they pass and leave it as they fail."""

    def __init__(self, values: Mapping[str, Mapping[str, float]]) -> None:
        self._values = {name: dict(days) for name, days in values.items()}

    def learn(self, partition: str, measures: Mapping[str, float | None], passed: bool) -> None:
        """Take a judged partition into the history of the later ones, or out of it."""
        for name, value in measures.items():
            days = self._values.setdefault(name, {})
            if passed and value is not None:
                days[partition] = value
            else:
                days.pop(partition, None)

    def expected(self, check: Check, partition: str) -> Expected:
        """The bounds for one partition: same weekday, else every day of the window, else the contract's own bounds."""
        arguments = check.arguments
        days = self._values.get(measure_name(arguments["measure"]), {})
        if partition == "all":
            known, basis, least = [days["all"]] if "all" in days else [], "the version served now", 1
        else:
            known, basis = _comparable(days, date.fromisoformat(partition), arguments)
            least = int(arguments.get("minimum", 3))
        if len(known) < max(least, 1):
            low, high = arguments.get("absolute") or (None, None)
            return Expected(low, high, "the contract's absolute bounds: too little safe history", is_bootstrapped=True)
        middle, slack = median(known), float(arguments.get("slack", 0))
        low, high = sorted(middle * ratio for ratio in arguments["ratio"])
        said = f"median of {basis} {middle:,.4g}"
        return Expected(low - slack, high + slack, said, is_bootstrapped=False, middle=middle)


def _comparable(days: Mapping[str, float], judged: date, arguments: Mapping[str, Any]) -> tuple[list[float], str]:
    """Values of the window before a day, and their name: the day itself and what came later never count."""
    window = range(1, int(arguments.get("window", 28)) + 1)
    before = {back: days.get((judged - timedelta(days=back)).isoformat()) for back in window}
    every = [value for value in before.values() if value is not None]
    if arguments.get("season") == "weekday":
        same = [value for back, value in before.items() if back % 7 == 0 and value is not None]
        if len(same) >= max(int(arguments.get("minimum", 3)), 1):
            return same, f"{len(same)} {WEEKDAYS[judged.weekday()]}"
    return every, f"{len(every)} days"


def safe_history(connection: Connection, dataset: str, checks: Sequence[Check], versions: Mapping[str, int]) -> History:
    """What is safe now in the windows before the judged partitions (`versions`: the version judged of each)."""
    baselines = [check for check in checks if check.kind is CheckKind.BASELINE]
    names = [measure_name(check.arguments["measure"]) for check in baselines]
    values: dict[str, dict[str, float]] = {name: {} for name in names}
    if not baselines:
        return History(values)
    days = [date.fromisoformat(partition) for partition in versions if partition != "all"] or [date.min]
    window = max(int(check.arguments.get("window", 28)) for check in baselines)
    first = min(days) - timedelta(days=window) if min(days) > date.min else date.min
    bound = {"dataset": dataset, "names": names, "judged": list(versions.values()), "first": first, "last": max(days)}
    for partition, name, value in connection.execute(statement("quality/history.sql").encode(), bound).fetchall():
        values[name][partition] = value
    return History(values)
