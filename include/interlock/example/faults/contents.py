"""Faults of how values are written: nulls, formats, units."""

from __future__ import annotations

from interlock.example.faults.declaration import (
    ACCEPTED,
    ASIDE,
    CRITICAL,
    DELAYS,
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
    hours_later,
    scaled,
    values,
)

OUTCOME = ("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time")


def _celsius(value: str) -> str:
    return f"{(float(value) - 32) / 1.8:.2f}"


def _filled(columns: tuple[str, ...], word: str) -> Change:
    """A word in place of what is absent."""

    def fill(row: Row, _: int) -> Row:
        return row | {name: word for name in columns if row[name] == NULL}

    return asking_for(columns, edited(fill))


def _blanked(columns: tuple[str, ...], share: float, word: str = NULL) -> Change:
    """A word in place of what is there, in a share of the rows that have all of it, spread over the day."""

    def blank(row: Row, number: int) -> Row:
        is_hit = (number * 7919) % 100 < share * 100 and all(row[name] != NULL for name in columns)
        return row | dict.fromkeys(columns, word) if is_hit else row

    return asking_for(columns, edited(blank))


def _american(value: str) -> str:
    return f"{value[5:7]}/{value[8:10]}/{value[:4]} {value[11:16]}"


def _twelve_hours(value: str) -> str:
    hour, minute = divmod(int(value), 100)
    return str((hour - 1) % 12 * 100 + 100 + minute)


N, T, U = FaultClass.NULLS, FaultClass.TYPES, FaultClass.UNITS


def _mostly_null(row: Row, number: int) -> Row:
    return row if number % 10 < 3 else row | {"dest": NULL}


def _one(column: str, word: str) -> Change:
    return asking_for((column,), edited(lambda row, number: row | {column: word} if number == 9 else row))


NULLS = (
    declared(
        "null_burst",
        N,
        CRITICAL,
        RAW,
        asking_for(("dest",), edited(_mostly_null)),
        "Seven of ten destinations, which are always filled, are NA.",
    ),
    declared(
        "no_aircraft",
        N,
        MAJOR,
        RAW,
        _blanked(("tailnum",), 0.3),
        "Three of ten tail numbers are NA, also of flights that departed.",
    ),
    declared(
        "arrivals_unknown",
        N,
        CRITICAL,
        RAW,
        _blanked(("arr_delay", "air_time"), 0.3),
        "Three of ten arrivals are NA, delay and air time alike: they read as diverted.",
    ),
    declared("zero_for_null", N, MAJOR, RAW, _filled(DELAYS, "0"), "Absent delays are written 0."),
    declared("minus_one_for_null", N, MAJOR, RAW, _filled(OUTCOME, "-1"), "What is absent is written -1."),
    declared("nines_for_null", N, MAJOR, RAW, _filled(OUTCOME, "9999"), "What is absent is written 9999."),
    declared(
        "word_for_aircraft",
        N,
        MAJOR,
        RAW,
        _blanked(("tailnum",), 0.2, "NONE"),
        "A fifth of the tail numbers is the word NONE, which has the form of one.",
    ),
    declared(
        "one_aircraft_for_many",
        N,
        MAJOR,
        RAW,
        _blanked(("tailnum",), 0.2, "N999ZZ"),
        "A fifth of the tail numbers is N999ZZ, a placeholder of the right form.",
    ),
    declared(
        "empty_for_null",
        N,
        HARMLESS,
        ACCEPTED,
        _filled((*OUTCOME, "tailnum"), ""),
        "What is absent is written as nothing, which the contract allows.",
    ),
    declared(
        "no_temperatures", N, CRITICAL, RAW, _blanked(("temp",), 0.4), "Four of ten temperatures are NA.", feed=WEATHER
    ),
    declared(
        "zero_temperatures",
        N,
        MAJOR,
        RAW,
        _blanked(("temp",), 0.2, "0"),
        "A fifth of the temperatures is 0.",
        feed=WEATHER,
    ),
)

TYPES = (
    declared(
        "broken_encoding",
        T,
        MINOR,
        REFUSED,
        _one("tailnum", "N1É"),
        "One tail number is written in Latin-1, not in UTF-8.",
        export=Export(encoding="latin-1"),
    ),
    declared("number_overflow", T, MINOR, RAW, _one("flight", "9" * 20), "One flight number has twenty digits."),
    declared(
        "wrong_delimiter",
        T,
        CRITICAL,
        REFUSED,
        as_it_is,
        "Values are separated by semicolons.",
        export=Export(separator=";"),
    ),
    declared(
        "thousands_separator",
        T,
        CRITICAL,
        RAW,
        values(("distance",), lambda value: f'"{int(value):,}"'),
        "Distances above 999 are written with a comma.",
    ),
    declared(
        "decimal_point_in_counts",
        T,
        MAJOR,
        RAW,
        values(("distance",), lambda value: f"{value}.0"),
        "Distances are written as decimals.",
    ),
    declared(
        "decimal_comma",
        T,
        CRITICAL,
        RAW,
        values(("temp", "dewp", "humid"), lambda value: f'"{value.replace(".", ",")}"'),
        "Decimals are written with a comma, in quotes.",
        feed=WEATHER,
    ),
    declared(
        "american_dates", T, CRITICAL, RAW, values(("time_hour",), _american), "The hour is written 01/05/2013 10:00."
    ),
    declared(
        "zone_dropped",
        T,
        CRITICAL,
        RAW,
        values(("time_hour",), lambda value: value.removesuffix("Z")),
        "The hour does not say that it is UTC.",
    ),
    declared(
        "an_hour_late",
        T,
        CRITICAL,
        LATER,
        values(("time_hour",), hours_later(1)),
        "The UTC hour is one too late, as after a clock change that was missed.",
    ),
    declared(
        "local_hour_as_utc",
        T,
        CRITICAL,
        LATER,
        values(("time_hour",), hours_later(-5)),
        "New York's hour is written as if it were UTC: five hours early.",
    ),
    declared(
        "weather_an_hour_late",
        T,
        CRITICAL,
        RAW,
        values(("time_hour",), hours_later(1)),
        "The UTC hour of observations is one too late.",
        feed=WEATHER,
    ),
    declared(
        "twelve_hour_departures",
        T,
        CRITICAL,
        RAW,
        values(("dep_time", "sched_dep_time"), _twelve_hours),
        "Departures, scheduled and real, are on a twelve-hour clock.",
    ),
    declared(
        "twelve_hour_arrivals",
        T,
        CRITICAL,
        LATER,
        values(("arr_time", "sched_arr_time"), _twelve_hours),
        "Arrivals, scheduled and real, are on a twelve-hour clock.",
    ),
    declared(
        "few_malformed_aircraft",
        T,
        MINOR,
        ASIDE,
        values(("tailnum",), lambda value: f"{value[:2]}-{value[3:]}", every=80),
        "A dozen tail numbers have a hyphen in them.",
    ),
    declared(
        "impossible_clocks",
        T,
        MINOR,
        ASIDE,
        values(("arr_time",), lambda value: f"{min(int(value) // 100, 23)}75", every=100),
        "A few arrivals are 75 minutes past the hour.",
    ),
    declared(
        "padded_numbers",
        T,
        HARMLESS,
        ACCEPTED,
        values(("flight", "distance"), lambda value: value.zfill(6)),
        "Numbers are padded with zeros, and are the same numbers.",
    ),
)

UNITS = (
    declared(
        "seconds_instead_of_minutes",
        U,
        CRITICAL,
        RAW,
        values(DELAYS, scaled(60)),
        "Delays are in seconds; every row is well formed.",
    ),
    declared(
        "air_time_in_seconds", U, CRITICAL, RAW, values(("air_time",), scaled(60)), "The time in the air is in seconds."
    ),
    declared(
        "air_time_in_hours",
        U,
        CRITICAL,
        RAW,
        values(("air_time",), lambda value: str(round(int(value) / 60))),
        "The time in the air is in hours.",
    ),
    declared("kilometres", U, CRITICAL, RAW, values(("distance",), scaled(1.609344)), "Distances are in kilometres."),
    declared(
        "nautical_miles", U, CRITICAL, RAW, values(("distance",), scaled(0.868976)), "Distances are in nautical miles."
    ),
    declared(
        "celsius",
        U,
        CRITICAL,
        RAW,
        values(("temp", "dewp"), _celsius),
        "Temperature and dew point are in degrees Celsius.",
        feed=WEATHER,
    ),
    declared(
        "wind_in_km_per_hour",
        U,
        CRITICAL,
        RAW,
        values(("wind_speed", "wind_gust"), scaled(1.609344, 5)),
        "Wind and gusts are in kilometres an hour.",
        feed=WEATHER,
    ),
    declared(
        "wind_in_metres_per_second",
        U,
        CRITICAL,
        RAW,
        values(("wind_speed", "wind_gust"), scaled(0.44704, 5)),
        "Wind and gusts are in metres a second.",
        feed=WEATHER,
    ),
    declared(
        "inches_of_mercury",
        U,
        CRITICAL,
        RAW,
        values(("pressure",), scaled(0.02953, 2)),
        "Pressure is in inches of mercury.",
        feed=WEATHER,
    ),
    declared(
        "millimetres_of_rain",
        U,
        MAJOR,
        RAW,
        values(("precip",), scaled(25.4, 3)),
        "Precipitation is in millimetres.",
        feed=WEATHER,
    ),
    declared(
        "visibility_in_kilometres",
        U,
        MAJOR,
        RAW,
        values(("visib",), scaled(1.609344, 2)),
        "Visibility is in kilometres.",
        feed=WEATHER,
    ),
)
