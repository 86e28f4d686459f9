"""What a fault is: a name, what it does to a delivery, how bad that would be, and where it has to be caught.

What the producer believes of its file goes into the completion mark: a producer that exports half of the
rows marks the half, and only what happens to a file on its way (`truncated_file`) is at odds with its mark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from interlock.errors import UsageError
from interlock.example.source import Table

Change = Callable[[Table, Table], Table]
Row = dict[str, str]
NULL = "NA"
DELAYS = ("dep_delay", "arr_delay")
WEATHER = "observations"


class FaultClass(StrEnum):
    """What kind of thing went wrong."""

    TRUNCATION = "truncation"
    DUPLICATION = "duplication"
    NULLS = "nulls"
    TYPES = "types and formats"
    UNITS = "units"
    SCHEMA = "schema"
    VALUES = "values"
    KEYS = "keys"
    DISTRIBUTION = "distribution"
    TIMING = "timing"
    REFERENCES = "references"


class Severity(StrEnum):
    """What would come of it if nobody noticed."""

    CRITICAL = "critical"  # most figures of the day are wrong
    MAJOR = "major"  # one figure of the day, or of one carrier or airport, is wrong
    MINOR = "minor"  # a few rows are wrong
    NONE = "none"  # nothing is: the delivery is odd, and right


class Ending(StrEnum):
    """What becomes of a delivery, the earliest first.

    Of one that was not stopped, bad rows may have been set aside, or copies absorbed: what is read is right even so.
    """

    REFUSED = "refused at load"
    RAW = "blocked at the raw gate"
    LATER = "blocked later"
    ASIDE = "set aside"
    ABSORBED = "absorbed"
    WARNED = "warned"
    ACCEPTED = "accepted"


RAW, LATER, REFUSED, ACCEPTED, WARNED = Ending.RAW, Ending.LATER, Ending.REFUSED, Ending.ACCEPTED, Ending.WARNED
ASIDE, ABSORBED = Ending.ASIDE, Ending.ABSORBED
CRITICAL, MAJOR, MINOR, HARMLESS = Severity.CRITICAL, Severity.MAJOR, Severity.MINOR, Severity.NONE


class Export(BaseModel):
    """How a table is written, and what becomes of the bytes or rows after they were marked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    separator: str = ","
    encoding: str = "utf-8"
    share_that_arrives: float = 1.0
    share_of_rows_that_arrive: float = 1.0
    has_header: bool = True
    is_marked: bool = True


def as_it_is(table: Table, _: Table) -> Table:
    """The rows of the day: what is wrong is something else."""
    return table


class Fault(BaseModel):
    """One way to go wrong: what happens to the rows (given also the day before), and what to their file.

    `unrevealable` says why the delivered data cannot always tell it from a day that is right; such a fault is
    reported, and no target is set for it. `cut` is the percentage of the rows that a truncation takes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str
    of_class: FaultClass
    severity: Severity
    expected: Ending
    feed: str = "flights"
    change: Change = as_it_is
    export: Export = Export()
    is_delivered: bool = True
    deliveries: int = 1
    unrevealable: str = ""
    cut: int | None = None

    @property
    def is_harmless(self) -> bool:
        """Whether the delivery is right in spite of its oddity, and has to be accepted."""
        return self.severity is Severity.NONE

    @property
    def is_revealable(self) -> bool:
        """Whether a gate can be asked to catch it."""
        return not self.is_harmless and not self.unrevealable


def edited(change: Callable[[Row, int], Row | None]) -> Change:
    """Each row by itself, given with its number from 0; None takes it out."""

    def change_table(table: Table, _: Table) -> Table:
        rows = (change(dict(zip(table.columns, row, strict=True)), number) for number, row in enumerate(table.rows))
        return with_rows(table, (tuple(row.values()) for row in rows if row is not None))

    return change_table


def values(columns: Iterable[str], change: Callable[[str], str], *, every: int = 1) -> Change:
    """The present values of some columns, in every n-th row."""
    wanted = tuple(columns)

    def change_row(row: Row, number: int) -> Row:
        if number % every == 0:
            row.update({name: change(row[name]) for name in wanted if row[name] != NULL})
        return row

    return asking_for(wanted, edited(change_row))


def renamed(names: dict[str, str]) -> Change:
    """Columns under other names, their values where they were."""
    return asking_for(
        names,
        lambda table, _: table.model_copy(update={"columns": tuple(names.get(name, name) for name in table.columns)}),
    )


def asking_for(columns: Iterable[str], change: Change) -> Change:
    """A change that makes sense only where the feed has the columns; UsageError elsewhere."""
    wanted = tuple(columns)

    def checked(table: Table, yesterday: Table) -> Table:
        for name in wanted:
            if name not in table.columns:
                raise UsageError(
                    f"This fault needs the column {name!r}, which the feed has not.",
                    fix="Use it with the feed that it was made for.",
                )
        return change(table, yesterday)

    return checked


def without(column: str, value: str) -> Change:
    """The rows that have another value there."""
    return asking_for((column,), edited(lambda row, _: None if row[column] == value else row))


def with_rows(table: Table, rows: Iterable[tuple[str, ...]]) -> Table:
    """The same columns with other rows."""
    return table.model_copy(update={"rows": tuple(rows)})


def scaled(factor: float, digits: int = 0) -> Callable[[str], str]:
    """A number times a factor, to so many digits; 0 leaves a whole number."""

    def apply(value: str) -> str:
        number = round(float(value) * factor, digits)
        return f"{number:g}" if digits else str(int(number))

    return apply


def hours_later(hours: int) -> Callable[[str], str]:
    """An instant in UTC, so many hours later, written alike."""

    def shifted(value: str) -> str:
        instant = datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC) + timedelta(hours=hours)
        return f"{instant:%Y-%m-%dT%H:%M:%SZ}"

    return shifted


def declared(  # noqa: PLR0913  (columns of a table of declarations)
    name: str, of_class: FaultClass, severity: Severity, expected: Ending, change: Change, description: str,
    *, feed: str = "flights", why: str = "", **more: Any,
) -> Fault:  # fmt: skip
    """One line of a table of faults; `why` it cannot always be told, and more of the fields that few have."""
    return Fault(
        name=name, of_class=of_class, severity=severity, expected=expected, change=change, description=description,
        feed=feed, unrevealable=why, **more,
    )  # fmt: skip
