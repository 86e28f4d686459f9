"""Faults of the file's shape, and of the lists that other rows refer to: schema, references."""

from __future__ import annotations

from interlock.example.faults.declaration import (
    ACCEPTED,
    CRITICAL,
    HARMLESS,
    LATER,
    MAJOR,
    MINOR,
    NULL,
    RAW,
    REFUSED,
    WEATHER,
    Change,
    Ending,
    Export,
    Fault,
    FaultClass,
    Row,
    Severity,
    asking_for,
    edited,
    renamed,
    values,
    with_rows,
)
from interlock.example.source import Table


def _without_column(name: str) -> Change:
    def change(table: Table, _: Table) -> Table:
        place = table.columns.index(name)

        def without(values: tuple[str, ...]) -> tuple[str, ...]:
            return values[:place] + values[place + 1 :]

        return Table(columns=without(table.columns), rows=tuple(without(row) for row in table.rows))

    return asking_for((name,), change)


def _added(table: Table, _: Table) -> Table:
    return Table(columns=(*table.columns, "gate"), rows=tuple((*row, "A1") for row in table.rows))


def _swapped(one: str, other: str) -> Change:
    return renamed({one: other, other: one})


def _reversed(table: Table, _: Table) -> Table:
    return Table(columns=table.columns[::-1], rows=tuple(row[::-1] for row in table.rows))


def _in_capitals(table: Table, _: Table) -> Table:
    return table.model_copy(update={"columns": tuple(name.upper() for name in table.columns)})


def _numbered_by_carrier(row: Row, _: int) -> Row:
    return row | {"flight": row["carrier"] + row["flight"]}


def _schema(  # noqa: PLR0913  (columns of a table of declarations)
    name: str, severity: Severity, expected: Ending, change: Change, description: str,
    *, feed: str = "flights", export: Export | None = None,
) -> Fault:  # fmt: skip
    return Fault(
        name=name, of_class=FaultClass.SCHEMA, severity=severity, expected=expected, change=change,
        description=description, feed=feed, export=export or Export(),
    )  # fmt: skip


def _reference(  # noqa: PLR0913, PLR0917
    name: str, feed: str, severity: Severity, expected: Ending, change: Change, description: str, why: str = ""
) -> Fault:
    return Fault(
        name=name, of_class=FaultClass.REFERENCES, severity=severity, expected=expected, change=change,
        description=description, feed=feed, unrevealable=why,
    )  # fmt: skip


def _dropping(column: str, value: str) -> Change:
    return asking_for((column,), edited(lambda row, _: None if row[column] == value else row))


SCHEMA = (
    _schema(
        "renamed_column",
        CRITICAL,
        REFUSED,
        renamed({"arr_delay": "arrival_delay"}),
        "arr_delay is called arrival_delay.",
    ),
    _schema("missing_column", CRITICAL, REFUSED, _without_column("tailnum"), "The column tailnum is gone."),
    _schema("added_column", MINOR, REFUSED, _added, "There is a column that the contract does not know."),
    _schema("column_names_in_capitals", MAJOR, REFUSED, _in_capitals, "All names are in capitals."),
    _schema(
        "no_header",
        CRITICAL,
        REFUSED,
        lambda table, _: table,
        "The first line is a flight.",
        export=Export(has_header=False),
    ),
    _schema(
        "swapped_clocks",
        CRITICAL,
        RAW,
        _swapped("dep_time", "sched_dep_time"),
        "Real and scheduled departure are under each other's name.",
    ),
    _schema(
        "swapped_airports",
        CRITICAL,
        RAW,
        _swapped("origin", "dest"),
        "Origin and destination are under each other's name.",
    ),
    _schema(
        "swapped_lengths",
        CRITICAL,
        RAW,
        _swapped("air_time", "distance"),
        "Time in the air and distance are under each other's name.",
    ),
    _schema(
        "swapped_hour_and_minute",
        MAJOR,
        RAW,
        _swapped("hour", "minute"),
        "Hour and minute are under each other's name.",
    ),
    _schema(
        "swapped_temperatures",
        CRITICAL,
        LATER,
        _swapped("temp", "dewp"),
        "Temperature and dew point are under each other's name.",
        feed=WEATHER,
    ),
    _schema(
        "text_in_numbers", CRITICAL, RAW, edited(_numbered_by_carrier), "Flight numbers begin with the carrier's code."
    ),
    _schema(
        "renamed_weather_column",
        CRITICAL,
        REFUSED,
        renamed({"visib": "visibility"}),
        "visib is called visibility.",
        feed=WEATHER,
    ),
    _schema("reordered_columns", HARMLESS, ACCEPTED, _reversed, "The columns come in another order, with their names."),
)

REFERENCES = (
    _reference(
        "carrier_unlisted",
        "carriers",
        CRITICAL,
        RAW,
        _dropping("carrier", "UA"),
        "The list of carriers lacks one that flies.",
    ),
    _reference(
        "origin_unlisted",
        "airports",
        CRITICAL,
        RAW,
        _dropping("faa", "JFK"),
        "The list of airports lacks one that flights leave from.",
    ),
    _reference(
        "half_the_airports",
        "airports",
        CRITICAL,
        RAW,
        lambda table, _: with_rows(table, table.rows[::2]),
        "Every second airport is missing from the list.",
    ),
    _reference(
        "airports_without_zones",
        "airports",
        CRITICAL,
        RAW,
        values(("tzone",), lambda _: NULL, every=3),
        "A third of the airports has no time zone.",
    ),
    _reference(
        "carriers_twice",
        "carriers",
        MAJOR,
        RAW,
        lambda table, _: with_rows(table, table.rows * 2),
        "Every carrier is listed twice.",
    ),
    _reference(
        "stale_registry",
        "aircraft",
        MAJOR,
        RAW,
        lambda table, _: with_rows(table, table.rows[: len(table.rows) * 3 // 5]),
        "The registry is an old one, with three fifths of the aircraft.",
    ),
    _reference(
        "aircraft_unlisted",
        "aircraft",
        MINOR,
        ACCEPTED,
        _dropping("tailnum", "N14228"),
        "The registry lacks one aircraft.",
        why="Aircraft leave the registry, and 15 % of those that fly were never in it.",
    ),
    _reference(
        "same_list_again",
        "carriers",
        HARMLESS,
        ACCEPTED,
        lambda table, _: table,
        "The list of carriers comes again, unchanged, under a new date.",
    ),
)
