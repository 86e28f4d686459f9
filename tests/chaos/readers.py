"""Consumers that look all the time, each in its manner, and say what they saw that nobody may see.

    short       one statement, again and again
    idle        a transaction that reads, idles and reads again, and is in nobody's way
    repeatable  a transaction whose snapshot must not move, whatever is published meanwhile

A database that cannot be asked is no finding: to its consumers that reads as *not safe*.

PostgreSQL does not notice, for a *prepared* statement inside an open READ COMMITTED transaction that has locked all of
its tables before, that a partition was attached since: it runs the old plan with the new snapshot, in which the rows
are nowhere. So the idle reader repeats each look as a prepared statement, which must see the same or be refused with
SQLSTATE 40001, upon which the transaction is begun again.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Any, TextIO

import psycopg
from tests.chaos.checksums import EMPTY, Content, Known, Table, contents_of, one_statement, parameters, tables

ROOT = Path(__file__).resolve().parents[2]
# A look is checksums of all that is published of a day: every 0.12 s, looking cost more than all the runs.
POLL_SECONDS, IDLE_SECONDS, SNAPSHOT_SECONDS = 0.5, 1.2, 2.0
BARRIER_SECONDS = 60


class Manner(StrEnum):
    """How a reader reads."""

    SHORT = "short"
    IDLE = "idle"
    REPEATABLE = "repeatable"


class Reader:
    """One reader's process, and what it has written down so far."""

    def __init__(self, manner: Manner, folder: Path) -> None:
        self.manner = manner
        self._record = folder / f"reader_{manner}.jsonl"
        self._offset = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.readers", manner, str(folder)], cwd=ROOT, stdin=subprocess.PIPE
        )

    def tell(self, word: str, value: str) -> None:
        """Send a command."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # that it died is found where its answer is waited for
            self._process.stdin.write(f"{word} {value}\n".encode())
            self._process.stdin.flush()

    def notes(self) -> list[dict[str, Any]]:
        """What it wrote down since it was asked last."""
        if not self._record.exists():
            return []
        with self._record.open() as file:
            file.seek(self._offset)
            text = file.read()
        whole = text[: text.rfind("\n") + 1]
        self._offset += len(whole.encode())
        return [json.loads(line) for line in whole.splitlines()]

    @property
    def is_gone(self) -> bool:
        """Whether it died, which none of them may."""
        return self._process.poll() is not None

    def stop(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait(20)


class Pool:
    """One reader of each manner. Everything that they are told and that they saw goes through here."""

    def __init__(self, folder: Path, known: Known, url: str) -> None:
        (folder / "known.json").write_text(json.dumps(known))
        (folder / "reader.url").write_text(url)
        self.readers = [Reader(manner, folder) for manner in Manner]
        self.polls = 0
        self._marks = 0

    def look_at(self, day: str) -> list[dict[str, Any]]:
        """Let all of them look at this day from now on, in new transactions; what they saw until then."""
        found = self.collected()
        for reader in self.readers:
            reader.tell("day", day)
        return found + self.collected()

    def collected(self) -> list[dict[str, Any]]:
        """What they saw up to a look that each of them takes after this call."""
        self._marks += 1
        found: list[dict[str, Any]] = []
        for reader in self.readers:
            reader.tell("mark", str(self._marks))
        for reader in self.readers:
            found += self._until_marked(reader)
        return found

    def _until_marked(self, reader: Reader) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        deadline = time.monotonic() + BARRIER_SECONDS
        while time.monotonic() < deadline:
            for note in reader.notes():
                if note.get("mark") == str(self._marks):
                    self.polls += note["polls"]
                    return found
                found.append({**note, "manner": reader.manner})
            if reader.is_gone:
                break
            time.sleep(0.01)
        return [*found, {"manner": reader.manner, "violation": "the reader does not answer: something holds it up"}]


@contextmanager
def pool(folder: Path, known: Known, url: str) -> Iterator[Pool]:
    """Readers for the length of a block."""
    made = Pool(folder, known, url)
    try:
        yield made
    finally:
        for reader in made.readers:
            reader.stop()


class _Look:
    """A reader's own life: what it looks at, what it saw last, and what it writes down."""

    def __init__(self, manner: Manner, folder: Path, record: TextIO) -> None:
        self.manner = manner
        self.day = ""
        self.url = folder / "reader.url"
        self.known: Known = json.loads((folder / "known.json").read_text())
        self.tables = tables()
        self._query = one_statement(self.tables).encode()
        self._record = record
        self._last: dict[str, Any] = {}
        self._polls = 0
        self._marks: list[str] = []

    def look(self, connection: psycopg.Connection[Any]) -> list[tuple[str, Content, bool]]:
        """One look at everything of the day; what may not be seen is written down, and what changed."""
        rows = self._asked(connection)
        self._polls += 1
        seen: dict[str, set[str]] = {}
        for table, (dataset, count, checksum, answer) in zip(self.tables, rows, strict=True):
            seen[dataset] = self._judge(table, (count, checksum), answer)
        for table in self.tables:
            for upstream in table.reads:
                if seen[table.dataset] and seen[upstream] and not seen[table.dataset] & seen[upstream]:
                    self.write(
                        violation=f"{table.dataset} {self.day} is seen as {seen[table.dataset]} together with"
                        f" {upstream} as {seen[upstream]}"
                    )
        return [(dataset, (count, checksum), bool(answer["safe"])) for dataset, count, checksum, answer in rows]

    def look_prepared(self, connection: psycopg.Connection[Any]) -> None:
        """The same look as a prepared statement: it must not miss what was published since the transaction began."""
        missed = [row[0] for row in self._asked(connection, prepare=True) if row[3]["safe"] and not row[1]]
        if missed:
            self.write(violation=f"a prepared statement in an open transaction missed {missed} on {self.day}")

    def _asked(self, connection: psycopg.Connection[Any], *, prepare: bool | None = None) -> list[Any]:
        if prepare is None and self.manner is Manner.IDLE:
            prepare = False
        return connection.execute(self._query, parameters(self.day), prepare=prepare).fetchall()

    def _judge(self, table: Table, found: Content, answer: dict[str, Any]) -> set[str]:
        partition = table.partition(self.day)
        names = contents_of(self.known, table.dataset, partition, found)
        if found != EMPTY and not names:
            self.write(
                violation=f"{table.dataset} {partition} shows {found[0]} rows of no known content", answer=answer
            )
        if answer["safe"] != (found != EMPTY):
            said = "safe" if answer["safe"] else f"not safe ({answer['state']})"
            self.write(violation=f"{table.dataset} {partition} is called {said} with {found[0]} rows visible")
        now = {
            "dataset": table.dataset, "partition": partition, "contents": sorted(names), "rows": found[0],
            "safe": answer["safe"], "version": answer["version"], "verdict": answer["verdict_id"],
        }  # fmt: skip
        if self._last.get(table.dataset) != now:
            self._last[table.dataset] = now
            self.write(saw=now)
        return names

    def write(self, **note: Any) -> None:
        """Write a note down, with the time."""
        self._record.write(json.dumps({"at": time.time(), **note}) + "\n")
        self._record.flush()

    def answer(self) -> None:
        """Tell whoever asked for a look that it was taken."""
        for mark in self._marks:
            self.write(mark=mark, polls=self._polls)
            self._polls = 0
        self._marks = []

    def pause(self, seconds: float) -> bool:
        """Wait, unless told something; whether the day has changed. Ends the process when nobody is left to tell."""
        if not select.select([0], [], [], seconds)[0]:
            return False
        said = os.read(0, 65536).decode()
        if not said:
            raise SystemExit
        changed = False
        for line in said.splitlines():
            word, value = line.split(" ", 1)
            if word == "mark":
                self._marks.append(value)
            else:
                changed, self.day, self._last = True, value, {}
        return changed

    def is_asked(self) -> bool:
        """Whether somebody waits for a look that is taken from now on."""
        return bool(self._marks)


def _read(life: _Look, connection: psycopg.Connection[Any]) -> None:
    """One turn of reading in the reader's manner."""
    if life.manner is Manner.SHORT:
        life.look(connection)
        life.answer()
        life.pause(POLL_SECONDS)
        return
    isolation = "repeatable read" if life.manner is Manner.REPEATABLE else "read committed"
    connection.execute(f"begin isolation level {isolation}".encode())
    first = life.look(connection)
    life.answer()
    if life.manner is Manner.IDLE:
        life.look_prepared(connection)
    deadline = time.monotonic() + (SNAPSHOT_SECONDS if life.manner is Manner.REPEATABLE else IDLE_SECONDS)
    while time.monotonic() < deadline:
        if life.pause(POLL_SECONDS if life.manner is Manner.REPEATABLE else IDLE_SECONDS) or life.is_asked():
            break
        if life.manner is Manner.REPEATABLE and (again := life.look(connection)) != first:
            life.write(violation=f"a snapshot moved on {life.day}: {first} became {again}")
    if life.manner is Manner.IDLE:
        life.look(connection)
        life.look_prepared(connection)
    connection.execute(b"commit")


def _live(manner: Manner, folder: Path) -> None:
    with (folder / f"reader_{manner}.jsonl").open("a") as record:
        life = _Look(manner, folder, record)
        while not life.day:
            life.answer()
            life.pause(1)
        while True:
            try:
                with psycopg.connect(life.url.read_text(), autocommit=True, connect_timeout=5) as connection:
                    while True:
                        _read(life, connection)
            except psycopg.errors.SerializationFailure:  # to be begun again, as every reader of this kind has to
                life.write(begun_again=True)
            except psycopg.OperationalError as error:
                life.write(not_answered=str(error).strip()[:200])
                life.pause(0.1)
            except psycopg.errors.UndefinedTable:  # nothing was registered yet, so there is nothing to be seen
                life.answer()
                life.pause(0.1)


def main(arguments: Sequence[str]) -> None:
    """Read until nobody listens."""
    _live(Manner(arguments[0]), Path(arguments[1]))


if __name__ == "__main__":
    main(sys.argv[1:])
