"""Faults of how much arrives, and when: truncation, duplication, timing."""

from __future__ import annotations

from interlock.example.faults.declaration import (
    NULL,
    Ending,
    Export,
    Fault,
    FaultClass,
    Row,
    Severity,
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


TRUNCATION = (
    Fault(
        name="half_the_rows",
        description="The second half of the rows is missing; what is there is well formed.",
        of_class=FaultClass.TRUNCATION, severity=Severity.CRITICAL, expected=Ending.RAW, change=_half,
    ),
    Fault(
        name="truncated_file",
        description="The file ends in the middle of a row (or of its compression); its mark tells of the whole.",
        of_class=FaultClass.TRUNCATION, severity=Severity.CRITICAL, expected=Ending.REFUSED,
        export=Export(share_that_arrives=0.6),
    ),
    Fault(
        name="last_block_missing",
        description="The last tenth of the rows is lost on the way, to the end of a row; the mark tells of the whole.",
        of_class=FaultClass.TRUNCATION, severity=Severity.MAJOR, expected=Ending.REFUSED,
        export=Export(share_of_rows_that_arrive=0.9),
    ),
    Fault(
        name="last_row_missing",
        description="The last row is lost on the way; the mark tells of the whole.",
        of_class=FaultClass.TRUNCATION, severity=Severity.MINOR, expected=Ending.REFUSED,
        export=Export(share_of_rows_that_arrive=0.999),
    ),
    Fault(
        name="torn_last_row",
        description="The file ends in the middle of a row, and there is no mark.",
        of_class=FaultClass.TRUNCATION, severity=Severity.CRITICAL, expected=Ending.REFUSED,
        export=Export(share_that_arrives=0.9, is_marked=False),
    ),
    *(
        Fault(
            name=f"last_{cut}_percent_missing",
            description=f"The last {cut} % of the rows are missing, and there is no mark.",
            of_class=FaultClass.TRUNCATION, expected=Ending.RAW, export=_without_last(cut / 100), cut=cut,
            severity=Severity.CRITICAL if is_revealable else Severity.MAJOR,
            unrevealable="" if is_revealable else
            "Without a mark only the volume, which varies more than that from day to day, and the hours of the evening "
            "can tell; late flights of a day of delays fill the evening, since files are in the order of departures.",
        )
        for cut, is_revealable in CUTS.items()
    ),
    Fault(
        name="every_tenth_row_missing",
        description="Every tenth row was never exported; the mark tells of the rest.",
        of_class=FaultClass.TRUNCATION, severity=Severity.MAJOR, expected=Ending.ACCEPTED,
        change=edited(lambda row, number: None if number % 10 == 9 else row),
        unrevealable="Ten flights fewer in a hundred, evenly, are within what volume varies by from week to week.",
    ),
    Fault(
        name="no_rows", description="The file has a header and no rows.",
        of_class=FaultClass.TRUNCATION, severity=Severity.CRITICAL, expected=Ending.REFUSED,
        change=lambda table, _: with_rows(table, ()),
    ),
    Fault(
        name="empty_file", description="The file arrives with zero bytes.",
        of_class=FaultClass.TRUNCATION, severity=Severity.CRITICAL, expected=Ending.REFUSED,
        export=Export(share_that_arrives=0),
    ),
    Fault(
        name="half_the_weather", description="The second half of the observations is missing.",
        of_class=FaultClass.TRUNCATION, severity=Severity.CRITICAL, expected=Ending.RAW, feed="observations",
        change=_half,
    ),
)  # fmt: skip

DUPLICATION = (
    Fault(
        name="duplicated_rows", description="Every tenth row is delivered twice.",
        of_class=FaultClass.DUPLICATION, severity=Severity.MAJOR, expected=Ending.RAW,
        change=lambda table, _: with_rows(table, table.rows + table.rows[::10]),
    ),
    Fault(
        name="doubled_file", description="The rows of the day come twice, one copy after the other.",
        of_class=FaultClass.DUPLICATION, severity=Severity.CRITICAL, expected=Ending.RAW,
        change=lambda table, _: with_rows(table, table.rows * 2),
    ),
    Fault(
        name="one_row_twice", description="One row is delivered twice.",
        of_class=FaultClass.DUPLICATION, severity=Severity.MINOR, expected=Ending.RAW,
        change=lambda table, _: with_rows(table, (*table.rows, table.rows[41])),
    ),
    Fault(
        name="shifted_dates", description="Yesterday's rows arrive under today's name.",
        of_class=FaultClass.DUPLICATION, severity=Severity.CRITICAL, expected=Ending.RAW,
        change=lambda _, yesterday: yesterday,
    ),
    Fault(
        name="yesterdays_rows_too", description="The file holds yesterday's rows beside today's.",
        of_class=FaultClass.DUPLICATION, severity=Severity.CRITICAL, expected=Ending.RAW,
        change=lambda table, yesterday: with_rows(table, table.rows + yesterday.rows),
    ),
    Fault(
        name="doubled_weather", description="The observations of the day come twice.",
        of_class=FaultClass.DUPLICATION, severity=Severity.CRITICAL, expected=Ending.RAW, feed="observations",
        change=lambda table, _: with_rows(table, table.rows * 2),
    ),
)  # fmt: skip

TIMING = (
    Fault(
        name="not_delivered",
        description="The file does not arrive at all. A late one is the same until it comes, which is the correction.",
        of_class=FaultClass.TIMING, severity=Severity.CRITICAL, expected=Ending.REFUSED, is_delivered=False,
    ),
    Fault(
        name="weather_not_delivered", description="The observations do not arrive at all.",
        of_class=FaultClass.TIMING, severity=Severity.CRITICAL, expected=Ending.REFUSED, feed="observations",
        is_delivered=False,
    ),
    Fault(
        name="delivered_twice", description="The same file is delivered again, after it was published.",
        of_class=FaultClass.TIMING, severity=Severity.NONE, expected=Ending.ACCEPTED, deliveries=2,
    ),
    Fault(
        name="exported_too_early",
        description="The day is exported at two in the afternoon: all flights, and what became of them until then.",
        of_class=FaultClass.TIMING, severity=Severity.CRITICAL, expected=Ending.WARNED, change=edited(_unfinished),
        unrevealable="A flight that has not departed yet reads as one that was cancelled, and the blizzard of February "
        "cancelled as many. Readers are warned; only a mark that is written after the day tells.",
    ),
)  # fmt: skip
