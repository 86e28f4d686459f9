"""What partitions measured over time, beside what was to be expected of each: learned as the gate learns it.

The band of a day is computed by the gate's own code from what is safe now of the days before it. So it is what the gate
would say of that day today; what it did say stands in the verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from interlock.contracts.checks import CheckKind
from interlock.contracts.loading import checks_of, readable_contracts
from interlock.db.connection import Role, connect
from interlock.db.failures import translated
from interlock.db.listing import rows
from interlock.errors import UsageError
from interlock.quality.evidence import discretion
from interlock.quality.measures import ROW_COUNT, History, measure_name, safe_history

if TYPE_CHECKING:
    from interlock.contracts.checks import Check
    from interlock.contracts.model import Contract

FRESHNESS = "freshness_lag"
DAYS, MOST_DAYS = 90, 1100
UNITS = ("seconds", "minutes", "hours", "days", "bytes", "miles", "kilometers", "meters")
_OF_ROWS = (ROW_COUNT, "count_null")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Point(_Part):
    """What one version of a partition measured. `failed`: a check of this very measure did not succeed that blocks;
    `warned`: one that does not.

    What was expected is that of the baseline that blocks, where there is one; null where there is none at all.
    """

    partition: str
    value: float | None
    version: int
    outcome: str
    is_served: bool
    failed: bool
    warned: bool
    expected_low: float | None
    expected_high: float | None
    median: float | None


class Measure(_Part):
    """One measure over time, oldest first. Of a partition whose newest version is held there are two points."""

    name: str
    unit: str | None
    points: tuple[Point, ...]


class Measures(_Part):
    """The measures of a dataset over some days, both ends included."""

    dataset: str
    partition_from: date | None
    partition_to: date | None
    measures: tuple[Measure, ...]


def measures(dataset: str, first: date | None = None, last: date | None = None) -> Measures:
    """The measures of a dataset over some days; unless told otherwise, over the newest 90 that there are.

    Measures of classified columns are left out. Raises UsageError for a range that is none, or longer than three years.
    """
    if first is not None and last is not None and not timedelta(0) <= last - first <= timedelta(days=MOST_DAYS):
        raise UsageError(f"{first} to {last} is no range of up to {MOST_DAYS} days.", fix="Give the earlier day first.")
    contract = readable_contracts().get(dataset)
    checks = checks_of(contract) if contract else ()
    asked = {"dataset": dataset, "first": first, "last": last, "days": DAYS, "most": MOST_DAYS}
    with translated(), connect(Role.AUDITOR) as connection:
        connection.execute("set transaction isolation level repeatable read, read only")
        found = rows(connection, "quality/trends.sql", asked)
        days = {row["partition"]: 0 for row in found}
        history = safe_history(connection, dataset, checks, days)
    shown = sorted(day for day in days if day != "all")
    return Measures(
        dataset=dataset,
        partition_from=date.fromisoformat(shown[0]) if shown else first,
        partition_to=date.fromisoformat(shown[-1]) if shown else last,
        measures=tuple(_measures(found, contract, checks, history)),
    )


def unit_of(name: str) -> str | None:
    """What a measure is counted in: said by the measure, or by the name of its column; None where neither does."""
    aggregate, _, column = name.partition(":")
    if name == FRESHNESS:
        return "seconds"
    if aggregate in _OF_ROWS:
        return "rows"
    if aggregate.startswith("share_"):
        return "ratio"
    if aggregate == "distinct":
        return "values"
    return next((unit for unit in UNITS if column.endswith(f"_{unit}")), None)


def _measures(
    found: Iterable[Mapping[str, Any]], contract: Contract | None, checks: Sequence[Check], history: History
) -> Iterator[Measure]:
    for name, lines in groupby(found, key=lambda row: row["name"]):
        if not _is_withheld(name, contract):
            of_measure = [check for check in checks if _measured_by(check) == name]
            points = tuple(_point(line, of_measure, history) for line in lines)
            yield Measure(name=name, unit=unit_of(name), points=points)


def _point(line: Mapping[str, Any], checks: Sequence[Check], history: History) -> Point:
    by_weight = sorted(checks, key=lambda check: not check.severity.blocks)
    baseline = next((check for check in by_weight if check.kind is CheckKind.BASELINE), None)
    expected = history.expected(baseline, line["partition"]) if baseline else None
    failed = [check for check in checks if check.id in set(line["failed_clauses"] or ())]
    return Point(
        **{name: line[name] for name in ("partition", "value", "version", "outcome", "is_served")},
        failed=any(check.severity.blocks for check in failed),
        warned=any(not check.severity.blocks for check in failed),
        expected_low=expected.low if expected else None,
        expected_high=expected.high if expected else None,
        median=expected.middle if expected else None,
    )


def _measured_by(check: Check) -> str | None:
    """The measure that a check is of, if it is of one."""
    if check.kind is CheckKind.ROW_COUNT:
        return ROW_COUNT
    measure = check.arguments.get("measure")
    return measure_name(measure) if measure is not None else None


def _is_withheld(name: str, contract: Contract | None) -> bool:
    column = name.partition(":")[2]
    if not column:
        return False
    return contract is None or column in discretion(contract).classified
