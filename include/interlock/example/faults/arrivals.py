"""Faults of how much arrives, and when: truncation, duplication, timing."""

from __future__ import annotations

from interlock.example.faults.declaration import (
    ABSORBED,
    ACCEPTED,
    CRITICAL,
    HARMLESS,
    MAJOR,
    MINOR,
    NULL,
    RAW,
    REFUSED,
    WARNED,
    WEATHER,
    Change,
    Export,
    FaultClass,
    Row,
    as_it_is,
    declared,
    edited,
    with_rows,
)
from interlock.example.source import Table

CUTS = {2: False, 5: False, 10: False, 25: False, 40: True, 50: True, 75: True}
EXPORTED_UNTIL = 14


def _without_last(share: float) -> Export:
    return Export(share_of_rows_that_arrive=1 - share, is_marked=False)


def _unfinished(row: Row, _: int) -> Row:
    """As at two in the afternoon: what departs later has neither departed nor arrived."""
    if int(row["hour"]) >= EXPORTED_UNTIL:
        row.update(dict.fromkeys(("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"), NULL))
    return row


def _half(table: Table, _: Table) -> Table:
    return with_rows(table, table.rows[: len(table.rows) // 2])


def _twice(every: int) -> Change:
    """Every n-th row once more, at the end."""
    return lambda table, _: with_rows(table, table.rows + table.rows[::every])


def _twice_otherwise(table: Table, _: Table) -> Table:
    """Every tenth row once more, and the second time it arrived a minute later."""
    place = table.columns.index("arr_delay")
    again = (
        (*row[:place], str(int(row[place]) + 1), *row[place + 1 :]) for row in table.rows[::10] if row[place] != NULL
    )
    return with_rows(table, (*table.rows, *again))


A, B, C = FaultClass.TRUNCATION, FaultClass.DUPLICATION, FaultClass.TIMING

TRUNCATION = (
    declared(
        "half_the_rows", A, CRITICAL, RAW, _half,
        "The second half of the rows is missing; what is there is well formed.",
    ),
    declared(
        "truncated_file", A, CRITICAL, REFUSED, as_it_is,
        "The file ends in the middle of a row (or of its compression); its mark tells of the whole.",
        export=Export(share_that_arrives=0.6),
    ),
    declared(
        "last_block_missing", A, MAJOR, REFUSED, as_it_is,
        "The last tenth of the rows is lost on the way, to the end of a row; the mark tells of the whole.",
        export=Export(share_of_rows_that_arrive=0.9),
    ),
    declared(
        "last_row_missing", A, MINOR, REFUSED, as_it_is,
        "The last row is lost on the way; the mark tells of the whole.",
        export=Export(share_of_rows_that_arrive=0.999),
    ),
    declared(
        "torn_last_row", A, CRITICAL, REFUSED, as_it_is,
        "The file ends in the middle of a row, and there is no mark.",
        export=Export(share_that_arrives=0.9, is_marked=False),
    ),
    *(
        declared(
            f"last_{cut}_percent_missing", A, CRITICAL if is_revealable else MAJOR, RAW, as_it_is,
            f"The last {cut} % of the rows are missing, and there is no mark.",
            export=_without_last(cut / 100), cut=cut,
            why="" if is_revealable else
            "Without a mark only the volume, which varies more than that from day to day, and the hours of the evening "
            "can tell; late flights of a day of delays fill the evening, since files are in the order of departures.",
        )
        for cut, is_revealable in CUTS.items()
    ),
    declared(
        "every_tenth_row_missing", A, MAJOR, ACCEPTED,
        edited(lambda row, number: None if number % 10 == 9 else row),
        "Every tenth row was never exported; the mark tells of the rest.",
        why="Ten flights fewer in a hundred, evenly, are within what volume varies by from week to week.",
    ),
    declared(
        "no_rows", A, CRITICAL, REFUSED, lambda table, _: with_rows(table, ()), "The file has a header and no rows."
    ),
    declared(
        "empty_file", A, CRITICAL, REFUSED, as_it_is, "The file arrives with zero bytes.",
        export=Export(share_that_arrives=0),
    ),
    declared(
        "half_the_weather", A, CRITICAL, RAW, _half, "The second half of the observations is missing.", feed=WEATHER
    ),
)  # fmt: skip

DUPLICATION = (
    declared("duplicated_rows", B, MAJOR, ABSORBED, _twice(10), "Every tenth row is delivered twice."),
    declared("doubled_file", B, CRITICAL, RAW, _twice(1), "The rows of the day come twice, one copy after the other."),
    declared(
        "one_row_twice", B, MINOR, ABSORBED, lambda table, _: with_rows(table, (*table.rows, table.rows[41])),
        "One row is delivered twice.",
    ),
    declared(
        "rows_twice_otherwise", B, MAJOR, RAW, _twice_otherwise,
        "Every tenth row is delivered twice, the second time with another delay.",
    ),
    declared(
        "shifted_dates", B, CRITICAL, RAW, lambda _, yesterday: yesterday,
        "Yesterday's rows arrive under today's name.",
    ),
    declared(
        "yesterdays_rows_too", B, CRITICAL, RAW,
        lambda table, yesterday: with_rows(table, table.rows + yesterday.rows),
        "The file holds yesterday's rows beside today's.",
    ),
    declared("doubled_weather", B, CRITICAL, RAW, _twice(1), "The observations of the day come twice.", feed=WEATHER),
    declared("weather_rows_twice", B, MINOR, ABSORBED, _twice(12), "A few observations come twice.", feed=WEATHER),
)  # fmt: skip

TIMING = (
    declared(
        "not_delivered", C, CRITICAL, REFUSED, as_it_is,
        "The file does not arrive at all. A late one is the same until it comes, which is the correction.",
        is_delivered=False,
    ),
    declared(
        "weather_not_delivered", C, CRITICAL, REFUSED, as_it_is, "The observations do not arrive at all.",
        feed=WEATHER, is_delivered=False,
    ),
    declared(
        "delivered_twice", C, HARMLESS, ACCEPTED, as_it_is,
        "The same file is delivered again, after it was published.", deliveries=2,
    ),
    declared(
        "exported_too_early", C, CRITICAL, WARNED, edited(_unfinished),
        "The day is exported at two in the afternoon: all flights, and what became of them until then.",
        why="A flight that has not departed yet reads as one that was cancelled, and the blizzard of February "
        "cancelled as many. Readers are warned; only a mark that is written after the day tells.",
    ),
)  # fmt: skip
