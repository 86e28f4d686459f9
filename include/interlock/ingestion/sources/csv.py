"""CSV, plain or gzip: a header with names, then records, in UTF-8.

The header is read here, because columns are matched by name; the body goes to COPY as it is, without
being parsed. So a quote, a line end or a count of values is judged by the same parser that loads it, and
in one pass. A byte order mark at the very front is dropped, since it belongs to no column name.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from interlock.ingestion.content import Content
from interlock.ingestion.errors import BrokenCompression, BrokenHeader, DuplicateHeader, EmptyFile, WrongDelimiter
from interlock.ingestion.sources import CHUNK_BYTES

if TYPE_CHECKING:
    from typing import BinaryIO

PLAIN, COMPRESSED = ".csv", ".csv.gz"
SUFFIXES = (PLAIN, COMPRESSED)
GZIP_MAGIC = b"\x1f\x8b"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars"}
SAMPLE_ROWS = 200


class CsvSource:
    """One CSV file being read; see `Source` for what it promises."""

    def __init__(self, file: str, stream: BinaryIO) -> None:
        self.content = Content(file)
        self._file = file
        self._stream = stream
        first = self._next()
        if not first:
            raise EmptyFile(file, "it is empty: zero bytes, not even a header.")
        text = first.removeprefix(BYTE_ORDER_MARK)
        end = _end_of_first_record(text)
        if end is None and len(first) >= CHUNK_BYTES:
            raise BrokenHeader(file, f"no header ends within its first {CHUNK_BYTES:,} bytes.", fix=HEADER_FIX)
        header, self._rest = (text, b"") if end is None else (text[:end], text[end:])
        self.header_lines = max(1, header.count(b"\n"))
        self.columns = _column_names(file, header)

    def sample(self) -> list[list[str]]:
        """The first records, as far as they lie in the first chunk."""
        lines = self._rest.decode("utf-8", "replace").splitlines(keepends=True)[: SAMPLE_ROWS + 1]
        return [row for row in csv.reader(lines) if len(row) == len(self.columns)][:SAMPLE_ROWS]

    def records(self) -> Iterator[bytes]:
        """The body as it was delivered; the account of the content is complete when this ends."""
        if self._rest:
            yield self._rest
        while chunk := self._next():
            yield chunk

    def _next(self) -> bytes:
        try:
            chunk = self._stream.read(CHUNK_BYTES)
        except EOFError:
            raise BrokenCompression(
                self._file,
                f"the gzip file ends too early, after {self.content.size:,} bytes of content: it was cut off.",
                content_bytes=self.content.size,
            ) from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise BrokenCompression(self._file, f"the gzip file is damaged: {error}.", content_bytes=self.content.size) from None
        if chunk:
            self.content.add(chunk)
        else:
            self.content.end()
        return chunk


HEADER_FIX = "Have the producer deliver a CSV file whose first line names every column once, separated by commas."


@contextmanager
def opened(file: str, stream: BinaryIO) -> Iterator[CsvSource]:
    """Read a CSV file; `.gz` in its name says that it is compressed, and its first bytes must agree."""
    is_compressed = stream.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    stream.seek(0)
    if is_compressed and not file.endswith(COMPRESSED):
        raise BrokenCompression(file, "it is compressed with gzip, but its name does not end in .gz.", fix=NAME_FIX)
    if not is_compressed and file.endswith(COMPRESSED):
        if not stream.read(1):
            raise EmptyFile(file, "it is empty: zero bytes, not even a compressed header.")
        raise BrokenCompression(file, "its name ends in .gz, but it is not a gzip file.", fix=NAME_FIX)
    if not is_compressed:
        yield CsvSource(file, stream)
        return
    with gzip.open(stream) as expanded:
        yield CsvSource(file, cast("BinaryIO", expanded))


NAME_FIX = "Have the producer deliver it again with a name that fits: .csv for plain text, .csv.gz for gzip."


def _end_of_first_record(text: bytes) -> int | None:
    """Where the second record begins; a line end inside quotes ends nothing. None where there is no second one."""
    is_quoted = False
    for position in range(len(text)):
        byte = text[position]
        if byte == 0x22:
            is_quoted = not is_quoted
        elif not is_quoted and byte == 0x0A:
            return position + 1
        elif not is_quoted and byte == 0x0D:
            return position + 2 if text[position + 1 : position + 2] == b"\n" else position + 1
    return None


def _column_names(file: str, header: bytes) -> tuple[str, ...]:
    text = header.decode("utf-8", "replace").rstrip("\r\n")
    try:
        records = list(csv.reader([text], strict=True))
    except csv.Error as error:
        raise BrokenHeader(file, f"its first line cannot be read as a header: {error}.", fix=HEADER_FIX, header=text[:500]) from None
    names = records[0] if records else []
    if len(names) < 2:
        for delimiter, plural in OTHER_DELIMITERS.items():
            if delimiter in text:
                raise WrongDelimiter(
                    file,
                    f"its values are separated by {plural}, not by commas: the header reads as the one column {text[:80]!r}.",
                    fix="Have the producer export the file with commas and deliver it again.",
                    header=text[:500],
                )
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DuplicateHeader(
            file,
            f"its header names {_listed(repeated)} more than once, so it cannot be told which values are meant.",
            fix=HEADER_FIX,
            repeated=repeated,
        )
    if not names or "" in names:
        raise BrokenHeader(file, f"its header leaves column {names.index('') + 1 if names else 1} without a name.", fix=HEADER_FIX)
    return tuple(names)


def _listed(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
