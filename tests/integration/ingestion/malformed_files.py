"""What producers send instead of a file: every kind as bytes made from a real day, and what has to become of it.

A declaration is a name, the bytes as a function of the day, and one outcome. `Refused`: the error, a piece of its
message and, where it is told, the line. `Waits`: nobody is accused, since waiting may help. `Loaded`: legal, if odd;
the rows are in raw exactly as written, and the raw gate names the clauses that they break, or none.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from interlock.ingestion import errors

MIB = 1 << 20


@dataclass(frozen=True)
class Day:
    """A few real flights of one day, as the producer writes them."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def lines(self) -> list[str]:
        """Header and rows without their line ends."""
        return [",".join(line) for line in (self.columns, *self.rows)]

    @property
    def text(self) -> str:
        """The file as it should be."""
        return self.ended("\n")

    @property
    def raw(self) -> bytes:
        """The same as bytes."""
        return self.text.encode()

    @property
    def packed(self) -> bytes:
        """The same, compressed."""
        return gzip.compress(self.raw, mtime=0)

    def ended(self, end: str) -> str:
        """The file with another line end."""
        return "".join(line + end for line in self.lines)

    def headed(self, change: Callable[[list[str]], Sequence[str]]) -> bytes:
        """The file with another header."""
        return "\n".join([",".join(change(list(self.columns))), *self.lines[1:], ""]).encode()

    def put(self, column: str, written: str | bytes) -> bytes:
        """The file with something else written in a column of its second row, which is line 3."""
        rows = [list(row) for row in self.rows]
        rows[1][self.columns.index(column)] = "@@@"
        found = "\n".join([self.lines[0], *map(",".join, rows), ""]).encode()
        return found.replace(b"@@@", written if isinstance(written, bytes) else written.encode())

    def line(self, number: int, written: str) -> bytes:
        """The file with another line in that place, the lines before it as they were."""
        lines = self.lines
        return "\n".join([*lines[: number - 1], written, *lines[number:], ""]).encode()

    def before(self, number: int, written: str) -> bytes:
        """The file with one more line before that one."""
        lines = self.lines
        return "\n".join([*lines[: number - 1], written, *lines[number - 1 :], ""]).encode()

    def across_chunks(self, written: bytes) -> bytes:
        """The file with bytes of which the first is the last of the first chunk; line 2 is that long."""
        head = f"{self.lines[0]}\n{','.join(self.rows[0][:11])},".encode()
        tail = ("," + ",".join(self.rows[0][12:]) + "\n").encode()
        return head + b"N" * (MIB - len(head) - 1) + written + tail


@dataclass(frozen=True)
class Refused:
    """The delivery is recorded against its producer, and its partition is unsafe.

    Where the contract wants it quarantined, its lines are kept.
    """

    error: type[errors.DeliveryRefused]
    says: str
    line: int | None = None
    becomes: str = "refused"


def kept(says: str) -> Refused:
    """Columns that differ in a way that the contract of the flights quarantines."""
    return Refused(errors.ColumnsDrifted, says, becomes="quarantined")


@dataclass(frozen=True)
class Waits:
    """A transient failure: nothing is recorded."""

    error: type[Exception]
    says: str


@dataclass(frozen=True)
class Loaded:
    """The rows are in raw: those of the day but for `changed` values by (row, column), and the `clauses` fail."""

    changed: Mapping[tuple[int, str], str | None] = field(default_factory=dict)
    clauses: tuple[str, ...] = ()
    times: int = 1


def value(written: str | bytes, column: str, *clauses: str, reads: str | None = None) -> Kind:
    """One value written otherwise: what raw holds then, and which clauses of the column it breaks."""
    text = written.decode() if isinstance(written, bytes) else written
    is_quoted = text.startswith('"')
    held = next(csv.reader(io.StringIO(text, newline="")))[0] if is_quoted else text
    names = tuple(f"{column}.{clause}" for clause in clauses)
    return Kind(
        lambda day: day.put(column, written), Loaded({(1, column): reads if reads is not None else held}, names)
    )


@dataclass(frozen=True)
class Kind:
    """One kind of a file. `files` lie there instead of one file where a kind is about names: `{day}` is its day."""

    content: Callable[[Day], bytes]
    outcome: Refused | Waits | Loaded
    suffix: str = ".csv"
    files: Callable[[Day], Mapping[str, bytes]] | None = None
    lay: Callable[[Path], None] | None = None
    meanwhile: Callable[[Path], None] | None = None
    is_unprivileged: bool = False


def raw(day: Day) -> bytes:
    """The file as it should be, for kinds whose fault is elsewhere."""
    return day.raw


def whole(content: bytes) -> Callable[[Day], bytes]:
    """A file that has nothing of a day in it."""
    return lambda day: content


def cut(content: Callable[[Day], bytes], size: int) -> Callable[[Day], bytes]:
    """The first bytes of a file; a negative size counts from its end."""
    return lambda day: content(day)[:size]


def packed(day: Day) -> bytes:
    """The file, compressed."""
    return day.packed


def rowless(day: Day) -> bytes:
    """The header alone."""
    return f"{day.lines[0]}\n".encode()


def line_of(day: Day, number: int) -> str:
    """One line of the file as it should be."""
    return day.lines[number - 1]
