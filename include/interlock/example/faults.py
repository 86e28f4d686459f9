"""The ways in which the example's producer can go wrong, each the same on every machine and every day.

What the producer believes of its file goes into the completion mark: a producer that exports half of the
rows marks the half, and only what happens to a file on its way (`truncated_file`) is at odds with its mark.
"""

from __future__ import annotations

from collections.abc import Callable

from pydantic import BaseModel, ConfigDict

from interlock.errors import UsageError
from interlock.example.source import Table

Change = Callable[[Table, Table], Table]


class Export(BaseModel):
    """How a table is written, and what becomes of the bytes after they were marked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    separator: str = ","
    encoding: str = "utf-8"
    share_that_arrives: float = 1.0


class Fault(BaseModel):
    """One way to go wrong: what happens to the rows (given also the day before), and what to their file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str
    change: Change = lambda table, _: table
    export: Export = Export()
    is_delivered: bool = True


def _half(table: Table, _: Table) -> Table:
    return table.model_copy(update={"rows": table.rows[: len(table.rows) // 2]})


def _seconds(table: Table, _: Table) -> Table:
    return _with(table, ("dep_delay", "arr_delay"), lambda value, _: value if value == "NA" else str(int(value) * 60))


def _renamed(table: Table, _: Table) -> Table:
    _place(table, "arr_delay")
    names = {"arr_delay": "arrival_delay"}
    return table.model_copy(update={"columns": tuple(names.get(name, name) for name in table.columns)})


def _without_column(table: Table, _: Table) -> Table:
    place = _place(table, "tailnum")

    def without(values: tuple[str, ...]) -> tuple[str, ...]:
        return values[:place] + values[place + 1 :]

    return Table(columns=without(table.columns), rows=tuple(without(row) for row in table.rows))


def _twice(table: Table, _: Table) -> Table:
    return table.model_copy(update={"rows": table.rows + table.rows[::10]})


def _yesterday(_: Table, yesterday: Table) -> Table:
    return yesterday


def _mostly_null(table: Table, _: Table) -> Table:
    return _with(table, ("dest",), lambda value, number: value if number % 10 < 3 else "NA")


def _accented(table: Table, _: Table) -> Table:
    return _with(table, ("tailnum",), lambda value, number: "N1É" if number == 9 else value)


def _overflowing(table: Table, _: Table) -> Table:
    return _with(table, ("flight",), lambda value, number: "9" * 20 if number == 9 else value)


def _no_rows(table: Table, _: Table) -> Table:
    return table.model_copy(update={"rows": ()})


FAULTS = {
    "half_the_rows": Fault(
        description="The second half of the rows is missing; what is there is well formed.", change=_half
    ),
    "seconds_instead_of_minutes": Fault(
        description="Delays are in seconds; every row is well formed.", change=_seconds
    ),
    "renamed_column": Fault(description="arr_delay is called arrival_delay.", change=_renamed),
    "missing_column": Fault(description="The column tailnum is gone.", change=_without_column),
    "truncated_file": Fault(
        description="The file ends in the middle of a row (or of its compression); its mark tells of the whole.",
        export=Export(share_that_arrives=0.6),
    ),
    "duplicated_rows": Fault(description="Every tenth row is delivered twice.", change=_twice),
    "shifted_dates": Fault(description="Yesterday's rows arrive under today's name.", change=_yesterday),
    "null_burst": Fault(description="Seven of ten destinations, which are always filled, are NA.", change=_mostly_null),
    "broken_encoding": Fault(
        description="One tail number is written in Latin-1, not in UTF-8.",
        change=_accented,
        export=Export(encoding="latin-1"),
    ),
    "number_overflow": Fault(description="One flight number has twenty digits.", change=_overflowing),
    "wrong_delimiter": Fault(description="Values are separated by semicolons.", export=Export(separator=";")),
    "no_rows": Fault(description="The file has a header and no rows.", change=_no_rows),
    "empty_file": Fault(description="The file arrives with zero bytes.", export=Export(share_that_arrives=0)),
    "not_delivered": Fault(description="The file does not arrive at all.", is_delivered=False),
}


def fault_named(name: str) -> Fault:
    """The fault of that name; UsageError lists them all where there is none."""
    if name not in FAULTS:
        listed = "\n".join(f"    {known}: {fault.description}" for known, fault in FAULTS.items())
        raise UsageError(f"There is no fault {name!r}.", fix=f"Use one of these:\n{listed}")
    return FAULTS[name]


def _with(table: Table, columns: tuple[str, ...], change: Callable[[str, int], str]) -> Table:
    places = [_place(table, column) for column in columns]
    rows = []
    for number, row in enumerate(table.rows):
        values = list(row)
        for place in places:
            values[place] = change(values[place], number)
        rows.append(tuple(values))
    return table.model_copy(update={"rows": tuple(rows)})


def _place(table: Table, column: str) -> int:
    if column not in table.columns:
        raise UsageError(
            f"This fault needs the column {column!r}, which the feed has not.", fix="Use it with `--feed flights`."
        )
    return table.columns.index(column)
