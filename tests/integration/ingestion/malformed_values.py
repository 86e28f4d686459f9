"""Kinds of files whose lines can be read: headers that say something else, and values against their types.

What a type takes is PostgreSQL's to say, since the models cast with it: a kind that is loaded and breaks no clause
is written down here as well, so that nobody has to guess.
"""

from __future__ import annotations

from tests.integration.ingestion.malformed_files import Day, Kind, Loaded, Refused, kept, value

from interlock.ingestion import errors

DRIFTED = errors.ColumnsDrifted
COLUMNS = [
    "year",
    "month",
    "day",
    "dep_time",
    "sched_dep_time",
    "dep_delay",
    "arr_time",
    "sched_arr_time",
    "arr_delay",
    "carrier",
    "flight",
    "tailnum",
    "origin",
    "dest",
    "air_time",
    "distance",
    "hour",
    "minute",
    "time_hour",
]
HEADER_AS_ROW = {(1, name): name for name in COLUMNS}
BROKEN_BY_HEADER = (
    *("*.type", "carrier.pattern", "tailnum.pattern", "dest.pattern"),
    *("origin.quality.origin_is_known", "time_hour.quality.full_hour_in_utc"),
)


def reordered(day: Day) -> bytes:
    """The same table, its columns from right to left."""
    return "".join(",".join(reversed(line)) + "\n" for line in (day.columns, *day.rows)).encode()


def renamed(name: str, to: str) -> Kind:
    """One column under another name, with the values that it had."""
    return Kind(
        lambda day: day.headed(lambda names: [to if known == name else known for known in names]),
        kept(f'"{name}" is missing and "{to}" is new.*renamed'),
    )


def without(day: Day, name: str) -> bytes:
    """The table without one column."""
    place = day.columns.index(name)
    return "".join(
        ",".join(item for at, item in enumerate(line) if at != place) + "\n" for line in (day.columns, *day.rows)
    ).encode()


HEADERS = {
    "columns in another order": Kind(reordered, Loaded()),
    "a header in quotes": Kind(lambda day: day.headed(lambda names: [f'"{name}"' for name in names]), Loaded()),
    "a header and nothing like it below": Kind(
        lambda day: day.raw.split(b"\n", 1)[0] + b"\n1,2\n", Refused(errors.RaggedRow, "line 2 has fewer", 2)
    ),
    "no header": Kind(lambda day: day.raw.split(b"\n", 1)[1], Refused(errors.DuplicateHeader, "more than once")),
    "a column named twice": Kind(
        lambda day: day.headed(lambda names: [*names[:-1], "origin"]), Refused(errors.DuplicateHeader, '"origin"')
    ),
    "a column missing": Kind(lambda day: without(day, "dest"), Refused(DRIFTED, 'column "dest" missing')),
    "a column too many": Kind(lambda day: day.ended(",x\n").encode(), kept('column "x" not in the contract')),
    "a column renamed": renamed("carrier", "airline"),
    "a column in capitals": renamed("origin", "ORIGIN"),
    "a column padded on the left": renamed("origin", " origin"),
    "a column padded on the right": renamed("origin", "origin "),
    "a column with a hyphen": renamed("time_hour", "time-hour"),
    "a column with a Cyrillic letter": renamed("dep_time", "d\u0435p_time"),
    "two columns renamed": Kind(
        lambda day: day.headed(lambda names: ["y", "m", *names[2:]]),
        Refused(DRIFTED, '"year", "month" missing; columns "y", "m" not in the contract'),
    ),
    "a column without a name": Kind(
        lambda day: day.headed(lambda names: ["", *names[1:]]), Refused(errors.BrokenHeader, "column 1 without a name")
    ),
    "a column named with nothing in quotes": Kind(
        lambda day: day.headed(lambda names: [*names[:-1], '""']),
        Refused(errors.BrokenHeader, "column 19 without a name"),
    ),
    "half a quote in the header": Kind(
        lambda day: day.headed(lambda names: ['"year', *names[1:]]),
        Refused(errors.BrokenHeader, "cannot be read as a header"),
    ),
    "an escape sequence in a name": Kind(
        lambda day: day.headed(lambda names: [*names[:-1], "\x1b[31mtime\x07"]),
        kept(r"\\x1b\[31mtime\\x07"),
    ),
    "a line end in a name": Kind(
        lambda day: day.headed(lambda names: [*names[:-1], '"time\nhour"']), kept(r"time\\nhour")
    ),
    "50,000 columns too many": Kind(
        lambda day: day.headed(lambda names: [*names, *(f"c{number}" for number in range(50_000))]),
        kept('"c19" and 49,980 more not in the contract'),
    ),
    "a million commas": Kind(
        lambda day: b"," * 1_000_000 + b"\n" + day.raw, Refused(errors.BrokenHeader, "column 1 without a name")
    ),
    "100,000 columns of one name": Kind(
        lambda day: b",".join([b"a"] * 100_000) + b"\n" + day.raw, Refused(errors.DuplicateHeader, '"a" more than once')
    ),
    "a header that never ends": Kind(
        lambda day: b"x" * 1_100_000, Refused(errors.BrokenHeader, "no header ends within its first")
    ),
    "a name of 200,000 letters": Kind(
        lambda day: day.headed(lambda names: [*names[:-1], "x" * 200_000]), Refused(errors.BrokenHeader, "field limit")
    ),
}

VALUES = {
    "the header once more": Kind(lambda day: day.line(3, day.lines[0]), Loaded(HEADER_AS_ROW, BROKEN_BY_HEADER)),
    "an integer too large for its type": value("2147483648", "dep_delay", "type"),
    "an integer of 25 digits": value("9" * 25, "dep_delay", "type"),
    "not a number": value("NaN", "air_time", "type"),
    "infinity": value("Infinity", "air_time", "type"),
    "a decimal comma": value('"11,5"', "dep_delay", "type"),
    "a decimal point in an integer": value("11.0", "dep_delay", "type"),
    "a thousands separator": value('"1,400"', "distance", "type"),
    "a thousands apostrophe": value("1'400", "distance", "type"),
    "an exponent": value("1e3", "distance", "type"),
    "digits of another script": value("\uff11\uff12", "minute", "type"),
    "a true minus sign": value("\u22124", "dep_delay", "type"),
    "a minus sign after the number": value("4-", "dep_delay", "type"),
    "a unit after the number": value("227 min", "air_time", "type"),
    "no digits": value("unknown", "distance", "type"),
    "a lower-case na": value("na", "dep_delay", "type"),
    "the word null": value("null", "dep_delay", "type"),
    "an error of a spreadsheet": value("#N/A", "dep_delay", "type"),
    "a number out of its range": value("99999", "dep_delay", "range"),
    "a sentinel for nothing": value("-999", "dep_delay", "range"),
    "a time of day for a number": value("05:17", "dep_time", "type"),
    "an hour of 25": value("2500", "dep_time", "range"),
    "a sign before the number": value("+11", "dep_delay"),
    "a space before the number": value(" 11", "dep_delay"),
    "zeros before the number": value("0011", "dep_delay"),
    "a hexadecimal number": value("0x0B", "dep_delay"),
    "a date as Americans write it": value("01/05/2013 10:00", "time_hour", "type", "quality.full_hour_in_utc"),
    "a date with points": value("05.01.2013 10:00", "time_hour", "type", "quality.full_hour_in_utc"),
    "the 30th of February": value("2013-02-30T10:00:00Z", "time_hour", "type"),
    "a 13th month": value("2013-13-05T10:00:00Z", "time_hour", "type"),
    "24 o'clock": value("2013-01-05T24:00:00Z", "time_hour"),
    "25 o'clock": value("2013-01-05T25:00:00Z", "time_hour", "type"),
    "a time without its zone": value("2013-01-05T10:00:00", "time_hour", "type", "quality.full_hour_in_utc"),
    "seconds since 1970": value("1357380000", "time_hour", "type", "quality.full_hour_in_utc"),
    "a word that stands for a time": value("now", "time_hour", "type", "quality.full_hour_in_utc"),
    "the end of time": value("infinity", "time_hour", "type", "quality.full_hour_in_utc"),
    "nothing": Kind(lambda day: day.put("tailnum", ""), Loaded({(1, "tailnum"): None})),
    "nothing in quotes": value('""', "tailnum", reads=""),
    "NA": value("NA", "tailnum"),
    "nothing where a value is required": Kind(
        lambda day: day.put("distance", ""), Loaded({(1, "distance"): None}, ("distance.required",))
    ),
    "NA where a value is required": value("NA", "distance", "required"),
    "spaces where a value is required": value("   ", "distance", "type"),
    "control characters": value("N1\x01\x1f", "tailnum", "pattern"),
    "a tab": value("N1\t", "tailnum", "pattern"),
    "an emoji": value("N🛩", "tailnum", "pattern"),
    "a right-to-left mark": value("ORD\u200f", "dest", "pattern"),
    "a space of no width": value("U\u200bA", "carrier", "pattern"),
    "a space that does not break": value("N1\u00a0", "tailnum", "pattern"),
    "a letter and its accent apart": value("e\u0301A", "carrier", "pattern"),
    "a lower-case code": value("ord", "dest", "pattern"),
    "a code of another place": value("XXX", "origin", "quality.origin_is_known"),
    "a formula": value("=1+1", "tailnum", "pattern"),
    "a statement in SQL": value("'; drop table flights; --", "tailnum", "pattern"),
}
