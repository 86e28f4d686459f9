"""Kinds of deliveries whose content is fine: names, places, and completion marks."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.integration.ingestion.malformed_files import Day, Kind, Loaded, Refused, Waits, raw

from interlock.ingestion import errors

NOWHERE = Waits(errors.NotDelivered, "nothing was delivered")
DENIED = Refused(errors.PartitionDenied, "its name denies")
ROWS, HASH = 6, hashlib.sha256(b"").hexdigest()


def named(name: str, outcome: Refused | Waits | Loaded) -> Kind:
    """The good file under another name; `{day}`, `{year}`, `{month}` and `{number}` are those of its day."""
    return Kind(raw, outcome, files=lambda day: {name: day.raw})


def no_file(what: str) -> Refused:
    """What becomes of something else that lies under the name of a delivery: no waiting makes a file of it."""
    return Refused(errors.NotAFile, f"under the name of a delivery lies {what}")


def marked(mark: Callable[[Day], bytes], outcome: Refused | Waits | Loaded) -> Kind:
    """The good file with a completion mark."""
    return Kind(raw, outcome, files=lambda day: {"flights_{day}.csv": day.raw, "flights_{day}.csv.done": mark(day)})


def said(day: Day, **changes: object) -> bytes:
    """A right mark but for what is changed."""
    return json.dumps({"rows": ROWS, "sha256": hashlib.sha256(day.raw).hexdigest()} | changes).encode()


def unreadable(mark: bytes) -> Kind:
    """A mark that is none."""
    return marked(lambda day: mark, Refused(errors.MarkUnreadable, r"its completion mark .*\.done cannot be read"))


def two(day: Day) -> Mapping[str, bytes]:
    """The same day plain and compressed."""
    return {"flights_{day}.csv": day.raw, "flights_{day}.csv.gz": day.packed}


def folder(path: Path) -> None:
    """Put a folder in the place of a file."""
    path.unlink()
    path.mkdir()


def loop(path: Path) -> None:
    """Put a link in the place of a file that leads to itself."""
    path.unlink()
    path.symlink_to(path.name)


def dangling(path: Path) -> None:
    """Put a link in the place of a file that leads nowhere."""
    path.unlink()
    path.symlink_to("gone.csv")


def link(path: Path) -> None:
    """Put the file elsewhere and a link in its place."""
    path.rename(path.with_name("elsewhere.csv"))
    path.symlink_to("elsewhere.csv")


def locked(path: Path) -> None:
    """Let nobody read the file."""
    path.chmod(0)


def pipe(path: Path) -> None:
    """Put a named pipe in the place of a file: whoever opens it waits for a writer."""
    path.unlink()
    os.mkfifo(path)


def growing(path: Path) -> None:
    """Write one more row, as a producer does who is not done."""
    path.write_bytes(path.read_bytes() + path.read_bytes().splitlines(keepends=True)[-1])


def fresh(path: Path) -> None:
    """Let the file be one of this moment."""
    os.utime(path)


NAMES = {
    "another day's name": named("flights_2014-01-05.csv", NOWHERE),
    "a day that is none": named("flights_2013-02-30.csv", NOWHERE),
    "a day without hyphens": named("flights_{year}{month}{number}.csv", DENIED),
    "a day as Americans write it": named("flights_{month}-{number}-{year}.csv", DENIED),
    "a name that is no UTF-8": named("flights_{year}{month}{number}\udcff.csv", DENIED),
    "an escape sequence in a name of a file": named("flights_{year}\x1b[2J{month}{number}.csv", NOWHERE),
    "a file under its working name (.part)": named("flights_{day}.csv.part", NOWHERE),
    "a file under its working name (.tmp)": named("flights_{day}.csv.tmp", NOWHERE),
    "a hidden file": named(".flights_{day}.csv", NOWHERE),
    "a name in capitals": named("FLIGHTS_{day}.CSV", NOWHERE),
    "another suffix": named("flights_{day}.txt", NOWHERE),
    "a copy of a file manager": named("flights_{day} (1).csv", NOWHERE),
    "two files of one day": Kind(raw, Refused(errors.AmbiguousDelivery, "both claim"), files=two),
    "a folder in place of a file": Kind(raw, no_file("a folder"), lay=folder),
    "a named pipe in place of a file": Kind(raw, no_file("no file but a pipe"), lay=pipe),
    "a link that leads to itself": Kind(raw, no_file("a link that leads to itself"), lay=loop),
    "a link that leads nowhere": Kind(raw, no_file("a link that leads nowhere"), lay=dangling),
    "a link that leads to the file": Kind(raw, Loaded(), lay=link),
    "a file that nobody may read": Kind(
        raw, Refused(errors.NotReadable, "may not be read .*Permission denied"), lay=locked, is_unprivileged=True
    ),
    "a file that grows": Kind(raw, Waits(errors.NotComplete, "still being written"), lay=fresh, meanwhile=growing),
    "a file that vanishes": Kind(raw, Waits(errors.NotComplete, "then gone"), lay=fresh, meanwhile=Path.unlink),
}

MARKS = {
    "a right mark": marked(said, Loaded()),
    "a mark with other rows": marked(
        lambda day: said(day, rows=7), Refused(errors.MarkMismatch, "the mark says 7 rows .* holds 6 rows")
    ),
    "a mark with another hash": marked(
        lambda day: said(day, sha256=HASH), Refused(errors.MarkMismatch, f"the mark says 6 rows and sha256 {HASH}")
    ),
    "a mark with a hash in capitals": marked(
        lambda day: said(day).upper().replace(b"ROWS", b"rows").replace(b"SHA", b"sha"),
        Refused(errors.MarkUnreadable, "sha256: "),
    ),
    "a mark with a number of rows as text": marked(
        lambda day: said(day, rows="six"), Refused(errors.MarkUnreadable, "rows: ")
    ),
    "a mark with less than no rows": marked(lambda day: said(day, rows=-1), Refused(errors.MarkUnreadable, "rows: ")),
    "a mark with more fields": marked(
        lambda day: said(day, columns=19), Refused(errors.MarkUnreadable, "columns: Extra")
    ),
    "a mark with a NUL in a name": marked(
        lambda day: said(day, **{"a\0b": 1}), Refused(errors.MarkUnreadable, r"a\\x00b: Extra")
    ),
    "a mark without a hash": unreadable(b'{"rows": 6}'),
    "an empty mark": unreadable(b""),
    "half a mark": unreadable(b'{"rows": 6, "sha'),
    "a mark of NUL bytes": unreadable(bytes(80)),
    "a mark that is no UTF-8": unreadable(b'{"rows": 6, "sha256": "\xff"}'),
    "a mark in UTF-16": unreadable('{"rows": 6}'.encode("utf-16")),
    "a mark that is a list": unreadable(b"[6]"),
    "a mark without an end": unreadable(b"[" * 100_000),
    "a mark without its file": Kind(raw, NOWHERE, files=lambda day: {"flights_{day}.csv.done": said(day)}),
}
