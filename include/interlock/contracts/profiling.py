"""What a sample of a new feed shows: types, nulls, ranges, values, keys, and the day that it is of.

A first contract from facts is argued about; one from memory is believed. Facts of a sample are not promises of its
producer, though: whatever is found here is written down to be reviewed. Everything is computed on whole columns, on
at most `ROWS` rows, and whoever asks is told when a file had more.
"""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from importlib.util import find_spec
from itertools import combinations
from math import prod
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from interlock.contracts.physical_types import ISO_CLOCK, ISO_DAY, ISO_ZONE
from interlock.errors import UsageError

if TYPE_CHECKING:
    from pandas import DataFrame, Series

ROWS = 200_000
NULL_TOKENS = ("", "NA", "N/A", "NULL", "null", "None", "\\N", "NaN", "nan")
DAY = re.compile(r"(?<!\d)(\d{4})-?(\d{2})-?(\d{2})(?!\d)")
# A key is looked for among this many columns, so that a wide file costs no more than a narrow one.
KEY_COLUMNS = 14
FIRST_ROWS = 5_000
MOST_VALUES, ROWS_A_VALUE = 12, 30

_INTEGER = r"[+-]?(?:0|[1-9]\d{0,17})"
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?"
_TIMESTAMP = f"{ISO_DAY}[T ]{ISO_CLOCK}"
_CODE_WITH_ZEROS = r"0\d+"
_LIKE_A_KEY = re.compile(r"(^|_)(id|key|code|no|number|num|uuid)$|^(id|key|code)")


@dataclass(frozen=True)
class ColumnFacts:
    """One column as the sample shows it. `kind` is the standard's logical type, `physical` PostgreSQL's."""

    name: str
    kind: str
    physical: str
    nulls: int
    distinct: int
    low: Any = None
    high: Any = None
    longest: int = 0
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Profile:
    """A sample: its columns, its null tokens, its smallest keys, and the day in its name and how its rows tell it."""

    file: Path
    rows: int
    is_capped: bool
    columns: tuple[ColumnFacts, ...]
    tokens: tuple[str, ...]
    keys: tuple[tuple[str, ...], ...]
    day: date | None = None
    day_columns: tuple[str, ...] = ()

    def column(self, name: str) -> ColumnFacts:
        """The facts of one column."""
        return next(column for column in self.columns if column.name == name)


def profile(file: Path, rows: int = ROWS) -> Profile:
    """The facts of a CSV file, plain or gzip. Raises UsageError for a file that is no such sample."""
    if find_spec("pandas") is None:
        raise UsageError("A sample is read with pandas, which is not installed.", fix="pip install pandas")
    header = _header(file)
    frame = _frame(file, header, rows)
    is_capped = len(frame) > rows
    frame = frame.iloc[:rows]
    if frame.empty:
        raise UsageError(f"{file} has a header and no rows.", fix="Give a sample with the rows of a usual delivery.")
    tokens = tuple(token for token in NULL_TOKENS if frame.eq(token).any(axis=None))
    known = frame.mask(frame.isin(list(tokens)))
    columns = tuple(_facts(known[name]) for name in header)
    day = _day_in(file.name)
    return Profile(
        file=file,
        rows=len(frame),
        is_capped=is_capped,
        columns=columns,
        tokens=tokens,
        keys=_keys(known, columns),
        day=day,
        day_columns=_day_columns(known, columns, day) if day else (),
    )


def _header(file: Path) -> list[str]:
    with _opened(file) as stream:
        header = next(csv.reader(stream), [])
    if not [name for name in header if name.strip()]:
        raise UsageError(f"{file} is empty.", fix="Give a CSV file with a header and some rows.")
    if len(header) == 1 and (found := [mark for mark in ";\t|" if mark in header[0]]):
        fix = "Give the file with commas; deliveries are CSV with commas, too."
        raise UsageError(f"{file} seems to use {found[0]!r} between its columns.", fix=fix)
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise UsageError(f"The header of {file} repeats {', '.join(twice)}.", fix="Give each column a name of its own.")
    return header


def _frame(file: Path, header: Sequence[str], rows: int) -> DataFrame:
    import pandas as pd

    options: dict[str, Any] = {"dtype": str, "keep_default_na": False, "na_filter": False, "nrows": rows + 1}
    try:
        with _opened(file) as stream:
            frame = pd.read_csv(stream, header=0, names=list(header), index_col=False, on_bad_lines="error", **options)
    except (pd.errors.ParserError, pd.errors.ParserWarning, csv.Error) as error:
        raise UsageError(f"{file} is no well-formed CSV: {error}", fix="Mend the sample, or give another.") from error
    return frame.fillna("")


@contextmanager
def _opened(file: Path) -> Iterator[IO[str]]:
    """The text of a file, whichever way it is compressed; what keeps it from being read is told in plain words."""
    try:
        with file.open("rb") as raw:
            is_gzip = raw.read(2) == b"\x1f\x8b"
        if is_gzip:
            with gzip.open(file, "rt", encoding="utf-8-sig", newline="") as stream:
                yield stream
        else:
            with file.open(encoding="utf-8-sig", newline="") as stream:
                yield stream
    except UnicodeDecodeError as error:
        fix = "Write the sample as UTF-8; deliveries are UTF-8, too."
        raise UsageError(f"{file} is no UTF-8 text (byte {error.start}).", fix=fix) from error
    except (OSError, EOFError) as error:
        told = getattr(error, "strerror", None) or error
        raise UsageError(f"{file} cannot be read: {told}.", fix="Give a CSV file, plain or gzip.") from error


def _facts(series: Series) -> ColumnFacts:
    known = series.dropna()
    name, nulls = str(series.name), int(series.isna().sum())
    kind, physical, converted = _typed(known)
    distinct = int(known.nunique())
    facts: dict[str, Any] = {"name": name, "kind": kind, "physical": physical, "nulls": nulls, "distinct": distinct}
    if kind in ("integer", "number", "date", "timestamp") and len(known):
        low, high = converted.min(), converted.max()
        facts |= {"low": _plain(low, kind), "high": _plain(high, kind)}
    if kind == "string" and len(known):
        facts["longest"] = int(known.str.len().max())
        if distinct <= MOST_VALUES and len(known) >= ROWS_A_VALUE * distinct:
            facts["values"] = tuple(sorted(known.unique()))
    return ColumnFacts(**facts)


def _plain(value: Any, kind: str) -> Any:
    """A bound as YAML can hold it."""
    return value.item() if kind in ("integer", "number") else str(value)


def _typed(known: Series) -> tuple[str, str, Series]:
    """The narrowest type that every value has; text where there is none, and where leading zeros would be lost."""
    import pandas as pd

    if known.empty or known.str.fullmatch(_CODE_WITH_ZEROS).any():
        return "string", "text", known
    if known.str.fullmatch(_INTEGER).all():
        numbers = known.astype("int64")
        return "integer", "integer" if numbers.between(-(2**31), 2**31 - 1).all() else "bigint", numbers
    if known.str.fullmatch(_NUMBER).all():
        return "number", "double precision", known.astype("float64")
    if known.str.lower().isin(["true", "false"]).all():
        return "boolean", "boolean", known
    has_zone = known.str.fullmatch(_TIMESTAMP + ISO_ZONE).all()
    for pattern, kind, physical in (
        (ISO_DAY, "date", "date"),
        (_TIMESTAMP + ISO_ZONE, "timestamp", "timestamp with time zone"),
        (_TIMESTAMP, "timestamp", "timestamp without time zone"),
    ):
        if known.str.fullmatch(pattern).all():
            read = pd.to_datetime(known, errors="coerce", utc=bool(has_zone), format="ISO8601")
            if read.notna().all():
                return kind, physical, read.dt.date if kind == "date" else read
    return "string", "text", known


def _keys(known: DataFrame, columns: Sequence[ColumnFacts]) -> tuple[tuple[str, ...], ...]:
    """The smallest sets of columns, of at most three, that tell every row from every other; the likeliest first."""
    usable = [fact for fact in columns if fact.nulls == 0 and fact.kind != "number" and fact.distinct > 1]
    usable = sorted(usable, key=lambda fact: -fact.distinct)[:KEY_COLUMNS]
    usable = [fact for fact in columns if fact in usable]
    codes = {fact.name: known[fact.name].factorize()[0].astype("int64") for fact in usable}
    for size in (1, 2, 3):
        found = [facts for facts in combinations(usable, size) if _is_key(facts, codes, len(known))]
        if found:
            likeliest = sorted(found, key=lambda facts: -_likeness(facts))
            return tuple(tuple(fact.name for fact in facts) for facts in likeliest[:5])
    return ()


def _is_key(facts: Sequence[ColumnFacts], codes: dict[str, Any], rows: int) -> bool:
    """Whether no two rows agree in all the columns; most sets are refuted by the first few thousand rows."""
    import pandas as pd

    if prod(fact.distinct for fact in facts) < rows:
        return False
    for part in (slice(0, FIRST_ROWS), slice(0, rows)):
        combined = codes[facts[0].name][part]
        for fact in facts[1:]:
            combined = combined * fact.distinct + codes[fact.name][part]
        if pd.Series(combined).duplicated().any():
            return False
    return True


def _likeness(facts: Sequence[ColumnFacts]) -> int:
    """How much a set looks like a key: by its names, then by its text, for numbers are mostly measures."""
    named = sum(bool(_LIKE_A_KEY.search(fact.name.lower())) for fact in facts)
    return 10 * named + sum(fact.kind == "string" for fact in facts)


def _day_in(name: str) -> date | None:
    found = DAY.findall(name)
    if len(found) != 1:
        return None
    try:
        return date(*map(int, found[0]))
    except ValueError:
        return None


def _day_columns(known: DataFrame, columns: Sequence[ColumnFacts], day: date) -> tuple[str, ...]:
    """The column, or the year, month and day, that say in every row the day of the file's name."""
    kinds = {fact.name: fact.kind for fact in columns if fact.nulls == 0}
    for name, kind in kinds.items():
        if kind == "date" and known[name].eq(day.isoformat()).all():
            return (name,)
    by_part = {part: next((n for n in kinds if n.lower() == part), None) for part in ("year", "month", "day")}
    parts = [name for name in by_part.values() if name is not None]
    if len(parts) == 3:
        wanted = (day.year, day.month, day.day)
        if all(known[name].eq(str(value)).all() for name, value in zip(parts, wanted, strict=True)):
            return tuple(parts)
    for name, kind in kinds.items():
        if kind == "timestamp" and known[name].str.slice(0, 10).eq(day.isoformat()).all():
            return (name,)
    return ()
