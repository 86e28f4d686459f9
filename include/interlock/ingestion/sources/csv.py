"""CSV, plain or gzip: a header with names, then records, in UTF-8.

The header is read here, because columns are matched by name; the body goes to COPY as it is, without
being parsed. So a quote, a line end or a count of values is judged by the same parser that loads it, and
in one pass. A byte order mark at the very front is dropped, since it belongs to no column name.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from interlock.ingestion.content import Content
from interlock.ingestion.errors import BrokenHeader, DuplicateHeader, EmptyFile, WrongDelimiter, listed
from interlock.ingestion.sources import CHUNK_BYTES
from interlock.ingestion.sources.compression import content_chunks

if TYPE_CHECKING:
    from typing import BinaryIO

SUFFIXES = (".csv", ".csv.gz")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars"}
SAMPLE_ROWS = 200


class CsvSource:
    """One CSV file being read; see `Source` for what it promises."""

    def __init__(self, file: str, stream: BinaryIO) -> None:
        self.content = Content(file)
        self._file = file
        self._chunks = content_chunks(file, stream)
        first = self._next()
        if not first:
            raise EmptyFile(file, "it is empty: zero bytes, not even a header.")
        text = first.removeprefix(BYTE_ORDER_MARK)
        if not text:
            raise EmptyFile(file, "it is empty but for a byte order mark: not even a header.")
        end = _end_of_first_record(text)
        is_cut = len(first) >= CHUNK_BYTES and (end is None or (end == len(text) and text.endswith(b"\r")))
        if is_cut:  # where only the CR was read, its LF may come with the next chunk
            raise BrokenHeader(file, f"no header ends within its first {CHUNK_BYTES:,} bytes.", fix=HEADER_FIX)
        header, self._rest = (text, b"") if end is None else (text[:end], text[end:])
        self.header_lines = max(1, header.count(b"\n"))
        self.columns = _column_names(file, header)

    def sample(self) -> list[list[str]]:
        """The first records, as far as they lie in the first chunk."""
        lines = self._rest.decode("utf-8", "replace").splitlines(keepends=True)[: SAMPLE_ROWS + 1]
        rows = csv.reader(lines)
        sampled: list[list[str]] = []
        try:
            sampled += (row for row in rows if len(row) == len(self.columns))
        except csv.Error:  # Python's own limit of a value's size, which the database does not have
            pass
        return sampled[:SAMPLE_ROWS]

    def records(self) -> Iterator[bytes]:
        """The body as it was delivered; the account of the content is complete when this ends."""
        if self._rest:
            yield self._rest
        while chunk := self._next():
            yield chunk

    def close(self) -> None:
        """Let go of what decompression holds."""
        self._chunks.close()

    def _next(self) -> bytes:
        chunk = next(self._chunks, b"")
        if chunk:
            self.content.add(chunk)
        else:
            self.content.end()
        return chunk


HEADER_FIX = "Have the producer deliver a CSV file whose first line names every column once, separated by commas."


@contextmanager
def opened(file: str, stream: BinaryIO) -> Iterator[CsvSource]:
    """Read a CSV file as far as its header."""
    source = CsvSource(file, stream)
    try:
        yield source
    finally:
        source.close()


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
        raise BrokenHeader(
            file, f"its first line cannot be read as a header: {error}.", fix=HEADER_FIX, header=text[:500]
        ) from None
    names = records[0] if records else []
    if len(names) < 2:
        for delimiter, plural in OTHER_DELIMITERS.items():
            if delimiter in text:
                raise WrongDelimiter(
                    file,
                    f"its values are separated by {plural}, not by commas: its header is the one column {text[:80]!r}.",
                    fix="Have the producer export the file with commas and deliver it again.",
                    header=text[:500],
                )
    if not names or "" in names:
        place = names.index("") + 1 if names else 1
        raise BrokenHeader(file, f"its header leaves column {place:,} without a name.", fix=HEADER_FIX)
    repeated = sorted(name for name, times in Counter(names).items() if times > 1)
    if repeated:
        raise DuplicateHeader(
            file,
            f"its header names {listed(repeated)} more than once, so it cannot be told which values are meant.",
            fix=HEADER_FIX,
            repeated=repeated,
        )
    return tuple(names)
