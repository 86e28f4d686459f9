"""The example's producer: writes daily files and reference snapshots to the landing folder, as an airline would.

A file is written under another name and then moved, its completion mark comes after it, and the mark of an
earlier delivery is taken away first: so nobody who looks in between sees a file that is half there, or a new
file under an old mark. What lies there already as it should be is not touched. A correction is the same
delivery without the fault.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict

from interlock.errors import UsageError
from interlock.example import source
from interlock.example.faults import Fault, fault_named
from interlock.settings import settings

FEEDS = (*source.DAILY, *source.SNAPSHOTS)
MARK = ".done"
RECALL = ".recalled"
SUFFIXES = (".csv", ".csv.gz")


class Delivered(BaseModel):
    """One file of a delivery, and whether it was written or lay there already; no file where none was sent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    feed: str
    day: date
    file: str | None
    rows: int
    is_new: bool


class Order(BaseModel):
    """What to deliver: days, feeds (all of them unless named), and the fault that one of the days has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first: date
    last: date
    feeds: tuple[str, ...] = ()
    fault: str | None = None
    on: date | None = None
    is_compressed: bool = False
    landing: str | None = None


def deliver(order: Order) -> Iterator[Delivered]:
    """Write what was ordered: the reference snapshots, dated with the year's first day, then the daily feeds."""
    _check(order)
    landing = Folder(order.landing or settings().landing)
    feeds = order.feeds or FEEDS
    fault = fault_named(order.fault) if order.fault else None
    faulty = _faulty_feed(fault, feeds) if fault else None
    for feed in (feed for feed in source.SNAPSHOTS if feed in feeds):
        table = source.snapshot_of(feed)
        yield _put(landing, feed, source.FIRST, table, None, order.is_compressed)
        if fault and feed == faulty and order.on:  # a later snapshot, beside the one that was right
            yield _put(landing, feed, order.on, table, fault, order.is_compressed)
    for number in range((order.last - order.first).days + 1):
        day = order.first + timedelta(days=number)
        for feed in (feed for feed in source.DAILY if feed in feeds):
            table = source.day_of(feed, day)
            if table.rows:
                is_bad = feed == faulty and day == order.on
                yield _put(landing, feed, day, table, fault if is_bad else None, order.is_compressed)
            else:  # the weather of the year's last day: a station that reports nothing sends no file
                yield Delivered(feed=feed, day=day, file=None, rows=0, is_new=False)


def delivery(feed: str, day: date, fault: Fault) -> tuple[bytes, bytes | None]:
    """What a fault makes of one delivery: the file as it arrives, not compressed, and its completion mark, if any."""
    table = source.snapshot_of(feed) if feed in source.SNAPSHOTS else source.day_of(feed, day)
    yesterday = table if feed in source.SNAPSHOTS else _day_before(feed, day)
    table, export = fault.change(table, yesterday), fault.export

    def written(sent: source.Table) -> bytes:
        return sent.content(separator=export.separator, encoding=export.encoding, has_header=export.has_header)

    content = written(table)
    mark = _mark(len(table.rows), content) if export.is_marked else None
    if export.share_of_rows_that_arrive < 1:
        kept = int(len(table.rows) * export.share_of_rows_that_arrive)
        content = written(table.model_copy(update={"rows": table.rows[:kept]}))
    return content, mark


def recall(order: Order, reason: str) -> Iterator[str]:
    """Take back what lies there of some days: a mark beside each file. Of the flights, unless feeds are named."""
    _check(order)
    landing = Folder(order.landing or settings().landing)
    for number in range((order.last - order.first).days + 1):
        day = order.first + timedelta(days=number)
        for feed in order.feeds or tuple(source.DAILY)[:1]:
            for suffix in SUFFIXES:
                file = f"{feed}/{feed}_{day.isoformat()}{suffix}"
                if landing.holds(file):
                    landing.put(file + RECALL, reason.encode())
                    yield file


class Folder:
    """The landing root, through fsspec, as the producer writes to it."""

    def __init__(self, url: str) -> None:
        from fsspec.core import url_to_fs

        self._files, root = url_to_fs(url)
        self._root = root.rstrip("/")

    def has(self, file: str, content: bytes) -> bool:
        """Whether this very content lies there."""
        path = self._path(file)
        try:
            return bool(self._files.size(path) == len(content) and self._files.cat_file(path) == content)
        except FileNotFoundError:
            return False

    def holds(self, file: str) -> bool:
        """Whether a file lies there."""
        return bool(self._files.exists(self._path(file)))

    def put(self, file: str, content: bytes) -> None:
        """Write a file so that it appears whole."""
        path = self._path(file)
        self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
        self._files.pipe_file(path + ".part", content)
        self._files.mv(path + ".part", path)

    def remove(self, file: str) -> None:
        """Take a file away, if it is there."""
        if self.holds(file):
            self._files.rm_file(self._path(file))

    def _path(self, file: str) -> Any:
        return f"{self._root}/{file}"


def _put(
    landing: Folder, feed: str, day: date, table: source.Table, fault: Fault | None, is_compressed: bool
) -> Delivered:
    wanted, other = SUFFIXES[::-1] if is_compressed else SUFFIXES
    stem = f"{feed}/{feed}_{day.isoformat()}"
    for left_over in (stem + other, stem + other + MARK):
        landing.remove(left_over)
    if fault and not fault.is_delivered:
        landing.remove(stem + wanted)
        landing.remove(stem + wanted + MARK)
        return Delivered(feed=feed, day=day, file=None, rows=0, is_new=False)
    content = table.content()
    content, mark = delivery(feed, day, fault) if fault else (content, _mark(len(table.rows), content))
    sent = gzip.compress(content, mtime=0) if is_compressed else content
    if fault and fault.export.share_that_arrives < 1:
        sent = _cut(sent, fault.export.share_that_arrives)
    is_new = not (landing.has(stem + wanted, sent) and (mark is None or landing.has(stem + wanted + MARK, mark)))
    landing.remove(stem + wanted + RECALL)
    if is_new or mark is None:
        landing.remove(stem + wanted + MARK)
    if is_new:
        landing.put(stem + wanted, sent)
        if mark is not None:
            landing.put(stem + wanted + MARK, mark)
    return Delivered(feed=feed, day=day, file=stem + wanted, rows=len(table.rows), is_new=is_new)


def _mark(rows: int, content: bytes) -> bytes:
    return json.dumps({"rows": rows, "sha256": hashlib.sha256(content).hexdigest()}).encode()


def _faulty_feed(fault: Fault, feeds: Sequence[str]) -> str | None:
    """The feed that the fault was made for; where it is not delivered, the first daily one."""
    return fault.feed if fault.feed in feeds else next((feed for feed in feeds if feed in source.DAILY), None)


def _cut(content: bytes, share: float) -> bytes:
    """The first part of a content; never so that it ends with a whole row."""
    cut = content[: int(len(content) * share)]
    return cut[:-2] if cut.endswith(b"\n") else cut


def _day_before(feed: str, day: date) -> source.Table:
    """The first day of the year has none, and gets the day after it."""
    return source.day_of(feed, day + timedelta(days=-1 if day > source.FIRST else 1))


def _check(order: Order) -> None:
    unknown = [feed for feed in order.feeds if feed not in FEEDS]
    if unknown:
        raise UsageError(f"There is no feed {unknown[0]!r}.", fix=f"The example's feeds are {', '.join(FEEDS)}.")
    if order.last < order.first:
        raise UsageError(f"--to {order.last} is before --from {order.first}.", fix="Give the earlier day as --from.")
    if order.first < source.FIRST or order.last > source.LAST:
        raise UsageError("The example's data is of 2013 alone.", fix=f"Give days from {source.FIRST} to {source.LAST}.")
    if (order.fault is None) != (order.on is None):
        raise UsageError(
            "A fault needs its day, and a day its fault.", fix="Give both --fault NAME and --on DAY, or neither."
        )
    if order.fault is not None and order.on is not None:
        fault = fault_named(order.fault)
        if not order.first <= order.on <= order.last:
            raise UsageError(
                f"--on {order.on} is not among the days that are delivered.", fix="Give a day from --from to --to."
            )
        if order.feeds and not {*source.DAILY, fault.feed} & set(order.feeds):
            raise UsageError(
                f"The fault {fault.name!r} is one of {fault.feed}, which is not among the feeds that are delivered.",
                fix=f"Name {fault.feed} with --feed.",
            )
