"""Faults of what values say, each of which could be right by itself: values, keys, distributions."""

from __future__ import annotations

import random

from interlock.example.faults.declaration import (
    ACCEPTED,
    CRITICAL,
    DELAYS,
    LATER,
    MAJOR,
    MINOR,
    NULL,
    RAW,
    WARNED,
    WEATHER,
    Change,
    FaultClass,
    Row,
    declared,
    edited,
    hours_later,
    scaled,
    values,
    with_rows,
    without,
)
from interlock.example.source import Table

V, K, D = FaultClass.VALUES, FaultClass.KEYS, FaultClass.DISTRIBUTION
SEED = 20130101


def _warmer(value: str) -> str:
    return f"{float(value) + 10:.2f}"


def _later(row: Row, minutes: int) -> Row:
    """A flight that left and arrived later than it did; its clocks and its delays agree."""
    for clock, delay in (("dep_time", "dep_delay"), ("arr_time", "arr_delay")):
        if row[delay] != NULL:
            hour, minute = divmod(int(row[clock]), 100)
            total = (hour * 60 + minute + minutes) % 1440
            row |= {clock: str(total // 60 * 100 + total % 60 or 2400), delay: str(int(row[delay]) + minutes)}
    return row


def _spread(row: Row, _: int) -> Row:
    """Delays twice as far from their usual few minutes; clocks agree where the flight departed."""
    return row if row["dep_delay"] == NULL else _later(row, max(int(row["dep_delay"]), -15))


def _noisy(table: Table, _: Table) -> Table:
    dice = random.Random(SEED)  # noqa: S311  (noise, not a secret)
    place = table.columns.index("distance")
    return with_rows(
        table,
        ((*row[:place], str(round(int(row[place]) * dice.uniform(0.8, 1.2))), *row[place + 1 :]) for row in table.rows),
    )


def _frozen_sensor(table: Table, _: Table) -> Table:
    """Each station repeats its first reading all day."""
    kept = [table.columns.index(name) for name in ("temp", "dewp", "humid", "wind_dir", "wind_speed", "pressure")]
    first: dict[str, tuple[str, ...]] = {}
    rows = []
    for row in table.rows:
        read = first.setdefault(row[0], row)
        rows.append(tuple(read[place] if place in kept else value for place, value in enumerate(row)))
    return with_rows(table, rows)


def _unlisted(value: str) -> str:
    """A registration of the right form that nobody has: its fifth sign is the letter O, which none contains."""
    return f"{value[:4]}O{value[5:]}"


def _colliding(table: Table, _: Table) -> Table:
    number, day = table.columns.index("flight"), list(table.rows)
    carrier, origin = table.columns.index("carrier"), table.columns.index("origin")
    first = day[0]
    for place, row in enumerate(day[1:], 1):
        if (row[carrier], row[origin]) == (first[carrier], first[origin]):
            day[place] = (*row[:number], first[number], *row[number + 1 :])
            break
    return with_rows(table, day)


def _replaced(column: str, was: str, now: str) -> Change:
    return values((column,), lambda value: now if value == was else value)


def _next_day(row: Row, _: int) -> Row:
    return row | {"day": str(int(row["day"]) + 1)}


VALUES = (
    declared(
        "frozen_delay",
        V,
        CRITICAL,
        RAW,
        values(("dep_delay",), lambda _: "5"),
        "Every flight that departed was five minutes late.",
    ),
    declared(
        "frozen_distance",
        V,
        CRITICAL,
        RAW,
        values(("distance",), lambda _: "1040"),
        "Every distance is 1,040 miles, the mean of the year.",
    ),
    declared(
        "frozen_sensors",
        V,
        CRITICAL,
        RAW,
        _frozen_sensor,
        "Every station repeats its first reading all day.",
        feed=WEATHER,
    ),
    declared("carrier_renamed", V, CRITICAL, RAW, _replaced("carrier", "B6", "JB"), "A large carrier has a new code."),
    declared(
        "new_carrier",
        V,
        MAJOR,
        LATER,
        values(("carrier",), lambda _: "ZZ", every=150),
        "A few flights are of a carrier that nobody knows.",
    ),
    declared(
        "new_origin",
        V,
        MAJOR,
        RAW,
        values(("origin",), lambda _: "HPN", every=100),
        "A few flights leave from an airport outside the contract.",
    ),
    declared("carrier_missing", V, CRITICAL, RAW, without("carrier", "UA"), "A large carrier is missing."),
    declared(
        "middling_carrier_missing",
        V,
        MAJOR,
        RAW,
        without("carrier", "VX"),
        "A carrier with one flight in seventy is missing.",
    ),
    declared(
        "small_carrier_missing",
        V,
        MINOR,
        ACCEPTED,
        without("carrier", "HA"),
        "The carrier with one flight a day is missing.",
        why="It does not fly every day anyway: of the odd months it misses ten days.",
    ),
    declared(
        "airport_missing",
        V,
        CRITICAL,
        RAW,
        without("origin", "LGA"),
        "The flights of one of the three airports are missing.",
    ),
    declared(
        "weather_airport_missing",
        V,
        CRITICAL,
        RAW,
        without("origin", "LGA"),
        "The observations of one airport are missing.",
        feed=WEATHER,
    ),
    declared(
        "sign_flipped",
        V,
        CRITICAL,
        RAW,
        values(DELAYS, lambda value: str(-int(value))),
        "Late is early and early is late.",
    ),
    declared("off_by_one_day", V, CRITICAL, RAW, edited(_next_day), "The day in every row is the one after."),
    declared(
        "hours_of_the_day_before",
        V,
        CRITICAL,
        LATER,
        values(("time_hour",), hours_later(-24)),
        "The UTC hour is that of the day before.",
    ),
)

KEYS = (
    declared(
        "unlisted_aircraft",
        K,
        MAJOR,
        LATER,
        values(("tailnum",), _unlisted),
        "Tail numbers are well formed and in no registry.",
    ),
    declared(
        "unlisted_destinations",
        K,
        MAJOR,
        RAW,
        values(("dest",), lambda _: "ZZZ", every=5),
        "A fifth of the destinations is no airport.",
    ),
    declared(
        "unlisted_destination",
        K,
        MINOR,
        WARNED,
        values(("dest",), lambda _: "ZZZ", every=2000),
        "The first destination is no airport.",
        why="The list of airports lacks four real destinations, up to 3.9 % of a day: that a reference breaks is a "
        "warning on every day.",
    ),
    declared("colliding_keys", K, MINOR, RAW, _colliding, "Two different flights have the same key."),
    declared(
        "lower_case_carriers", K, CRITICAL, RAW, values(("carrier",), str.lower), "Codes of carriers are in lower case."
    ),
    declared(
        "padded_carriers",
        K,
        CRITICAL,
        RAW,
        values(("carrier",), lambda value: f"{value} "),
        "Codes of carriers have a blank behind them.",
    ),
    declared("lower_case_aircraft", K, MAJOR, RAW, values(("tailnum",), str.lower), "Tail numbers are in lower case."),
)

DISTRIBUTION = (
    declared(
        "delays_shifted",
        D,
        MAJOR,
        ACCEPTED,
        edited(lambda row, _: _later(row, 12)),
        "Every flight is twelve minutes later, in clocks and delays alike.",
        why="Clocks, delays and hours agree, and storms move the median of a day by up to 60 minutes: it is a bad day "
        "like others.",
    ),
    declared(
        "delays_spread",
        D,
        MAJOR,
        ACCEPTED,
        edited(_spread),
        "Departure delays are twice what they were, and arrivals as much later; clocks agree.",
        why="As for a shift: it reads as a day of storms.",
    ),
    declared("distances_shifted", D, MAJOR, RAW, values(("distance",), scaled(1.2)), "Distances are a fifth too long."),
    declared(
        "distances_slightly_shifted",
        D,
        MINOR,
        RAW,
        values(("distance",), scaled(1.03)),
        "Distances are 3 % too long.",
    ),
    declared(
        "distances_scattered", D, MAJOR, RAW, _noisy, "Distances are up to a fifth too long or too short, row by row."
    ),
    declared(
        "warmer_sensors",
        D,
        MAJOR,
        RAW,
        values(("temp",), _warmer),
        "Temperatures are ten degrees too high.",
        feed=WEATHER,
    ),
    declared(
        "temperatures_spread",
        D,
        MAJOR,
        RAW,
        values(("temp",), lambda value: f"{2 * float(value) - 55:.2f}"),
        "Temperatures are twice as far from 55 degrees.",
        feed=WEATHER,
    ),
    declared(
        "slightly_warmer_sensors",
        D,
        MINOR,
        ACCEPTED,
        values(("temp",), lambda value: f"{float(value) + 1.8:.2f}"),
        "Temperatures are one degree Celsius too high.",
        feed=WEATHER,
        why="Every reading remains one that the station could have made.",
    ),
)
