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
    Export,
    FaultClass,
    Row,
    as_it_is,
    asking_for,
    declared,
    edited,
    renamed,
    values,
    with_rows,
    without,
)
from interlock.example.source import Table


def _without_column(name: str) -> Change:
    def change(table: Table, _: Table) -> Table:
        place = table.columns.index(name)

        def less(values: tuple[str, ...]) -> tuple[str, ...]:
            return values[:place] + values[place + 1 :]

        return Table(columns=less(table.columns), rows=tuple(less(row) for row in table.rows))

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


S, R = FaultClass.SCHEMA, FaultClass.REFERENCES

SCHEMA = (
    declared(
        "renamed_column",
        S,
        CRITICAL,
        REFUSED,
        renamed({"arr_delay": "arrival_delay"}),
        "arr_delay is called arrival_delay.",
    ),
    declared("missing_column", S, CRITICAL, REFUSED, _without_column("tailnum"), "The column tailnum is gone."),
    declared("added_column", S, MINOR, REFUSED, _added, "There is a column that the contract does not know."),
    declared("column_names_in_capitals", S, MAJOR, REFUSED, _in_capitals, "All names are in capitals."),
    declared(
        "no_header",
        S,
        CRITICAL,
        REFUSED,
        as_it_is,
        "The first line is a flight.",
        export=Export(has_header=False),
    ),
    declared(
        "swapped_clocks",
        S,
        CRITICAL,
        RAW,
        _swapped("dep_time", "sched_dep_time"),
        "Real and scheduled departure are under each other's name.",
    ),
    declared(
        "swapped_airports",
        S,
        CRITICAL,
        RAW,
        _swapped("origin", "dest"),
        "Origin and destination are under each other's name.",
    ),
    declared(
        "swapped_lengths",
        S,
        CRITICAL,
        RAW,
        _swapped("air_time", "distance"),
        "Time in the air and distance are under each other's name.",
    ),
    declared(
        "swapped_hour_and_minute",
        S,
        MAJOR,
        RAW,
        _swapped("hour", "minute"),
        "Hour and minute are under each other's name.",
    ),
    declared(
        "swapped_temperatures",
        S,
        CRITICAL,
        LATER,
        _swapped("temp", "dewp"),
        "Temperature and dew point are under each other's name.",
        feed=WEATHER,
    ),
    declared(
        "text_in_numbers",
        S,
        CRITICAL,
        RAW,
        edited(_numbered_by_carrier),
        "Flight numbers begin with the carrier's code.",
    ),
    declared(
        "renamed_weather_column",
        S,
        CRITICAL,
        REFUSED,
        renamed({"visib": "visibility"}),
        "visib is called visibility.",
        feed=WEATHER,
    ),
    declared(
        "reordered_columns", S, HARMLESS, ACCEPTED, _reversed, "The columns come in another order, with their names."
    ),
)

REFERENCES = (
    declared(
        "carrier_unlisted",
        R,
        CRITICAL,
        RAW,
        without("carrier", "UA"),
        "The list of carriers lacks one that flies.",
        feed="carriers",
    ),
    declared(
        "origin_unlisted",
        R,
        CRITICAL,
        RAW,
        without("faa", "JFK"),
        "The list of airports lacks one that flights leave from.",
        feed="airports",
    ),
    declared(
        "half_the_airports",
        R,
        CRITICAL,
        RAW,
        lambda table, _: with_rows(table, table.rows[::2]),
        "Every second airport is missing from the list.",
        feed="airports",
    ),
    declared(
        "airports_without_zones",
        R,
        CRITICAL,
        RAW,
        values(("tzone",), lambda _: NULL, every=3),
        "A third of the airports has no time zone.",
        feed="airports",
    ),
    declared(
        "carriers_twice",
        R,
        MAJOR,
        RAW,
        lambda table, _: with_rows(table, table.rows * 2),
        "Every carrier is listed twice.",
        feed="carriers",
    ),
    declared(
        "stale_registry",
        R,
        MAJOR,
        RAW,
        lambda table, _: with_rows(table, table.rows[: len(table.rows) * 3 // 5]),
        "The registry is an old one, with three fifths of the aircraft.",
        feed="aircraft",
    ),
    declared(
        "aircraft_unlisted",
        R,
        MINOR,
        ACCEPTED,
        without("tailnum", "N14228"),
        "The registry lacks one aircraft.",
        why="Aircraft leave the registry, and 15 % of those that fly were never in it.",
        feed="aircraft",
    ),
    declared(
        "same_list_again",
        R,
        HARMLESS,
        ACCEPTED,
        as_it_is,
        "The list of carriers comes again, unchanged, under a new date.",
        feed="carriers",
    ),
)
