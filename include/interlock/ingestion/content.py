"""The account of a delivery's bytes, kept while they stream past: hash, size, and what no text may hold.

Everything is checked here on whole chunks, at the speed of memory, because COPY reports a bad byte
without saying what to do about it, and a row-by-row look costs more than the load itself. The hash is that
of the *decompressed* content, so that the same data delivered plain and compressed is the same delivery.
"""

from __future__ import annotations

import codecs
import hashlib
import re
from typing import NoReturn

from interlock.ingestion.errors import BrokenEncoding, EndMarker, NulByte, UnreadableRow

END_MARKER = b"\\."
END_MARKER_LINE = re.compile(rb"[\r\n]\\\.(?=[\r\n])")
# The database holds a row in memory until it ends. Without this, a small gzip file that never ends a line fills it.
LONGEST_LINE = 64 << 20
OTHER_ENCODINGS = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}


class Content:
    """Hash, bytes and lines of what was read so far; `add` raises DeliveryRefused for what is no UTF-8 text."""

    def __init__(self, file: str) -> None:
        self.size = 0
        self._file = file
        self._hash = hashlib.sha256()
        self._lines = 0
        self._since_line_end = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._is_inside_character = False
        self._last = b"\n"
        self._is_complete = False

    @property
    def sha256(self) -> str:
        """The hash of all that was read, in hexadecimal."""
        return self._hash.hexdigest()

    def add(self, chunk: bytes) -> None:
        """Account for the next chunk, in order."""
        if self.size == 0:
            self._refuse_other_encodings(chunk)
        self._hash.update(chunk)
        if b"\0" in chunk:
            self._raise_nul(chunk)
        if self._is_inside_character or not chunk.isascii():
            self._decode(chunk)
        self._refuse_end_marker(chunk)
        self._refuse_endless_line(chunk)
        self._lines += self._line_ends(chunk)
        self._last = (self._last + chunk)[-3:]
        self.size += len(chunk)

    def end(self) -> None:
        """Say that there is no more: a character or a marker that was cut off at the end is found here."""
        if self._is_inside_character:
            self._decode(b"", final=True)
        if END_MARKER_LINE.search(self._last + b"\n"):
            self._raise_end_marker(self._lines + 1)

        self._is_complete = True

    def is_cut_after(self, line: int) -> bool:
        """Whether that line is the last one and lacks its line end, now that all was read."""
        return self._is_complete and line == self._lines + 1 and not self._last.endswith((b"\n", b"\r"))

    def _line_of(self, chunk: bytes, position: int) -> int:
        return self._lines + self._line_ends(chunk[:position]) + 1

    def _line_ends(self, part: bytes) -> int:
        """The lines that end in the next part, whether with LF, CR LF or CR alone; a CR LF may lie across its front."""
        is_split = self._last.endswith(b"\r") and part.startswith(b"\n")
        lone = part.count(b"\r") - part.count(b"\r\n") if b"\r" in part else 0
        return part.count(b"\n") + lone - is_split

    def _raise_nul(self, chunk: bytes) -> NoReturn:
        line = self._line_of(chunk, chunk.index(0))
        if self.size == 0 and len(chunk) >= 8 and 0 in (sum(chunk[0:8:2]), sum(chunk[1:8:2])):
            raise BrokenEncoding(
                self._file,
                "it is written in UTF-16 or UTF-32, to judge by its first bytes, not in UTF-8.",
                fix="Have the producer export the file as UTF-8 and deliver it again.",
                line=line,
            )
        raise NulByte(
            self._file,
            f"line {line} holds a NUL byte (0x00), which no text can.",
            fix="The file is damaged, or is no text. Have the producer deliver the text again.",
            line=line,
        )

    def _refuse_other_encodings(self, chunk: bytes) -> None:
        for mark, name in OTHER_ENCODINGS.items():
            if chunk.startswith(mark):
                raise BrokenEncoding(
                    self._file,
                    f"it is written in {name} (it begins with {mark.hex(' ')}), not in UTF-8.",
                    fix="Have the producer export the file as UTF-8 and deliver it again.",
                    line=1,
                )

    def _decode(self, chunk: bytes, *, final: bool = False) -> None:
        try:
            self._decoder.decode(chunk, final)
        except UnicodeDecodeError as error:
            before = len(error.object) - len(chunk)  # bytes of a character that began in the chunk before
            line = self._line_of(chunk, max(0, error.start - before))
            found = error.object[error.start : error.start + 4]
            raise BrokenEncoding(
                self._file,
                f"line {line} is not UTF-8: it holds the byte 0x{found[:1].hex()} where no character has it.",
                fix="It may be Latin-1 or Windows-1252. Have the producer export it as UTF-8 and deliver it again.",
                line=line,
                bytes=found.hex(" "),
            ) from None
        self._is_inside_character = bool(self._decoder.getstate()[0])

    def _refuse_end_marker(self, chunk: bytes) -> None:
        text = self._last + chunk
        if END_MARKER in text:
            found = END_MARKER_LINE.search(text)
            if found:
                self._raise_end_marker(self._line_of(chunk, found.end() - len(self._last)))

    def _refuse_endless_line(self, chunk: bytes) -> None:
        end = chunk.rfind(b"\n")
        end = end if end >= 0 else chunk.rfind(b"\r")
        self._since_line_end = len(chunk) - end - 1 + (self._since_line_end if end < 0 else 0)
        if self._since_line_end > LONGEST_LINE:
            line = self._lines + self._line_ends(chunk) + 1
            raise UnreadableRow(
                self._file,
                f"line {line} is longer than {LONGEST_LINE:,} bytes: no row of a table is.",
                fix="The file is damaged, or is no CSV. Have the producer end every row with a line end.",
                line=line,
            )

    def _raise_end_marker(self, line: int) -> NoReturn:
        raise EndMarker(
            self._file,
            f"line {line} is only \\. which PostgreSQL may take as the end of the data, dropping all rows after it.",
            fix="Have the producer leave the line out, or quote the value, and deliver the file again.",
            line=line,
        )
