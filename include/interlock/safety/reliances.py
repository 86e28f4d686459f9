"""Reliances: who was told what, and which version it was, so that a recall knows whom to tell.

Whoever answers "is it safe?", hands out rows or gives a metric's value notes it here. Noting must cost the asker
nothing, so a `Recorder` takes a note in microseconds and in bounded memory, adds up what is alike within a minute, and
writes it from a thread of its own about once a second. What it cannot keep it drops and counts: such a gap is part of
the record, and every recall shows it. Of a process that is killed, the notes of its last second are lost.

The database holds one row for each minute and each who, what and version, however often they asked. Whoever asks the
database itself is noted there, under the login that asked (`interlock.check`, `interlock.rely`).
"""

from __future__ import annotations

import atexit
import json
import logging
import math
import os
import socket
import threading
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from interlock.clock import real_now
from interlock.db.connection import Role, connect
from interlock.db.failures import failure_of
from interlock.errors import TransientFailure

if TYPE_CHECKING:
    from interlock.safety.answer import Answer

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 1.0
WAIT_SECONDS = 5.0  # after a flush that failed, before the next
CLOSE_SECONDS = 5.0
CAPACITY = 20_000  # different notes that wait to be written
BATCH = 2_000  # of them in one statement
TEXT_LENGTH = 120


class Kind(StrEnum):
    """What was relied on: an answer, rows, or a metric's value."""

    CHECK = "check"
    READ = "read"
    METRIC = "metric"


class Via(StrEnum):
    """By which way. The last three name logins of the database, so no `Recorder` may write them."""

    API = "api"
    CLIENT = "client"
    AIRFLOW = "airflow"
    CLI = "cli"
    SQL = "sql"
    DBT = "dbt"


class Reliance(NamedTuple):
    """One thing that somebody was told. `consumer` is the registered one (a dbt exposure) that it was for.

    Without a partition it was about the dataset's window, which ends with `newest`; or about several partitions, each
    with the version that was given out (`versions`). `about` says what a metric's value is of. `at` is real time. It is
    a tuple because a thousand are made in a second.
    """

    who: str
    via: Via
    kind: Kind
    dataset: str
    partition: str | None
    version: int | None
    safe: bool
    at: datetime
    consumer: str | None = None
    metric: str | None = None
    value: float | None = None
    about: str | None = None
    newest: date | None = None
    versions: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Asker:
    """Who relies on what they are told: their login, by which way, and for which registered consumer.

    Makes the notes of the usual cases: `recorder.note(Asker("ada", Via.API).checked(answer))`.
    """

    who: str
    via: Via
    consumer: str | None = None

    def checked(self, answer: Answer) -> Reliance:
        """That they were given this answer, whatever it says: only a safe one can be relied on."""
        newest = answer.freshness.last_partition if answer.partition is None else None
        return Reliance(
            self.who, self.via, Kind.CHECK, answer.dataset, answer.partition, answer.version, answer.safe, real_now(),
            self.consumer, newest=newest,
        )  # fmt: skip

    def read(self, dataset: str, versions: Mapping[str, int]) -> Reliance:
        """That they were given the rows of these partitions, all of them safe, in these versions."""
        return self._stood_on(Kind.READ, dataset, versions)

    def given(
        self, metric: str, value: float | None, about: str, versions: Mapping[str, Mapping[str, int]]
    ) -> list[Reliance]:
        """That they were given a metric's value, which rests on these versions by dataset and partition."""
        return [
            self._stood_on(Kind.METRIC, dataset, of_dataset)._replace(metric=metric, value=value, about=about)
            for dataset, of_dataset in versions.items()
            if of_dataset
        ]

    def _stood_on(self, kind: Kind, dataset: str, versions: Mapping[str, int]) -> Reliance:
        told = Reliance(self.who, self.via, kind, dataset, None, None, True, real_now(), self.consumer)
        if len(versions) == 1:
            ((partition, version),) = versions.items()
            return told._replace(partition=partition, version=version)
        return told._replace(versions=tuple(sorted(versions.items())))


def note_own(metric: str, value: float | None, about: str, versions: Mapping[str, Mapping[str, int]]) -> None:
    """Note a metric's value that this command line was given, under its own login of the database. Never raises."""
    try:
        with connect(Role.CONSUMER) as connection:
            connection.execute("set local synchronous_commit = off")
            for dataset, of_dataset in versions.items():
                connection.execute(
                    "select interlock.rely('metric', %s, %s, null, %s, %s, %s, 'cli')",
                    [dataset, json.dumps(of_dataset), metric, value, about[:TEXT_LENGTH]],
                )
    except Exception:
        logger.debug("a metric's value could not be noted as relied on", exc_info=True)


class Tally(NamedTuple):
    """How often within which time."""

    first_at: datetime
    last_at: datetime
    times: int

    def with_(self, other: Tally) -> Tally:
        """Both together."""
        first, last = min(self.first_at, other.first_at), max(self.last_at, other.last_at)
        return Tally(first, last, self.times + other.times)


class Recorder:
    """Takes the notes of this process and writes them beside its work, from the first note on."""

    def __init__(self, capacity: int = CAPACITY, flush_seconds: float = FLUSH_SECONDS) -> None:
        self._capacity = capacity
        self._flush_seconds = flush_seconds
        self._begin()
        _recorders.add(self)

    def _begin(self) -> None:
        """Without notes, locks or a thread: also in the child of a fork, which writes nothing of its parent's."""
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._waiting: dict[Reliance, Tally] = {}
        self._gap: Tally | None = None
        self._is_failing = False

    def note(self, reliance: Reliance) -> None:
        """Take a note. Never waits for the database and never raises: what cannot be kept becomes a gap."""
        try:
            minute = reliance.at.replace(second=0, microsecond=0)
            self._take(reliance._replace(at=minute), Tally(reliance.at, reliance.at, 1))
            self._see_to_writing()
        except Exception:
            logger.warning("a note of who relied on what could not be taken", exc_info=True)

    def flush(self) -> bool:
        """Write what waits; whether all of it is written. Waits for the database, and never raises."""
        with self._writing:
            with self._lock:
                waiting, self._waiting = self._waiting, {}
            try:
                self._write(waiting)
            except Exception as error:
                self._keep(waiting, error)
                return False
            self._is_failing = False
            return True

    def close(self) -> None:
        """Write what is left and end the thread. May be called again; a later note begins another thread."""
        self._stop.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(CLOSE_SECONDS)
        self._thread, self._stop = None, threading.Event()
        self.flush()

    def _take(self, note: Reliance, tally: Tally) -> None:
        with self._lock:
            known = self._waiting.get(note)
            if known is not None or len(self._waiting) < self._capacity:
                self._waiting[note] = tally if known is None else known.with_(tally)
            else:
                self._drop(tally)

    def _see_to_writing(self) -> None:
        if self._thread is not None:
            return
        with self._lock:
            if self._thread is None:
                target, its_stop = weakref.ref(self), self._stop
                self._thread = threading.Thread(
                    target=_write_on, args=(target, its_stop), name="interlock-reliances", daemon=True
                )
                self._thread.start()

    def _write(self, waiting: dict[Reliance, Tally]) -> None:
        """Write in batches, and take each out of `waiting` once it is written: what raises leaves the rest in it."""
        if not waiting and self._gap is None:
            return
        import psycopg

        with connect(Role.OPERATOR, autocommit=True) as connection:
            while waiting:
                batch = list(waiting)[:BATCH]
                notes = json.dumps([_document(note, waiting[note]) for note in batch])
                try:
                    connection.execute("select interlock.record_reliances(%s)", [notes])
                except psycopg.Error as error:
                    if error.sqlstate is None or isinstance(failure_of(error), TransientFailure):
                        raise
                    # They would be refused for ever, and everything behind them would wait.
                    logger.warning("%d notes of who relied on what were refused", len(batch), exc_info=True)
                    with self._lock:
                        for note in batch:
                            self._drop(waiting[note])
                for note in batch:
                    del waiting[note]
            gap = self._gap
            if gap is not None:
                name = f"{socket.gethostname()} {os.getpid()}"
                connection.execute("select interlock.record_reliance_gap(%s, %s, %s, %s)", [name, *gap])
                with self._lock:
                    grown = self._gap.times - gap.times if self._gap else 0
                    self._gap = self._gap._replace(times=grown) if self._gap and grown else None

    def _keep(self, waiting: dict[Reliance, Tally], error: Exception) -> None:
        """Take back what was not written; what came meanwhile and finds no room is dropped, and counted."""
        for note, tally in waiting.items():
            self._take(note, tally)
        if not self._is_failing:
            self._is_failing = True
            said = str(error).splitlines() or [type(error).__name__]
            logger.warning("who relied on what cannot be written, and is kept for now: %s", said[0])

    def _drop(self, tally: Tally) -> None:
        """Count what is lost. The caller holds the lock."""
        self._gap = tally if self._gap is None else self._gap.with_(tally)


def _write_on(of: weakref.ref[Recorder], stop: threading.Event) -> None:
    """What the thread does, until its recorder is closed or forgotten."""
    seconds = FLUSH_SECONDS
    while not stop.wait(seconds):
        recorder = of()
        if recorder is None:
            return
        seconds = recorder._flush_seconds if recorder.flush() else WAIT_SECONDS
        del recorder


def _plain(text: str | None) -> str | None:
    return None if text is None else text.replace("\0", "")[:TEXT_LENGTH]


def _document(note: Reliance, tally: Tally) -> dict[str, Any]:
    """One row as `interlock.record_reliances` takes it, in words that a database takes."""
    said = note._asdict() | {"newest": note.newest and note.newest.isoformat()}
    said |= {name: _plain(said[name]) for name in ("consumer", "metric", "about")}
    del said["at"]
    return said | {
        "who": _plain(note.who) or "nobody",
        "value": note.value if note.value is not None and math.isfinite(note.value) else None,
        "partitions": [partition for partition, _ in note.versions] or None,
        "versions": [version for _, version in note.versions] or None,
        "first_at": tally.first_at.isoformat(),
        "last_at": tally.last_at.isoformat(),
        "count": tally.times,
    }


_recorders: weakref.WeakSet[Recorder] = weakref.WeakSet()


def _each(of: Iterable[Recorder], what: str) -> None:
    for recorder in list(of):
        getattr(recorder, what)()


os.register_at_fork(after_in_child=lambda: _each(_recorders, "_begin"))
atexit.register(_each, _recorders, "close")
