"""The content of a delivery in chunks, whether it lies there plain or as gzip.

A name and the first bytes must agree: a file that is compressed under a plain name was made by somebody who
did not know, and what else they did not know is not guessed at.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Generator
from contextlib import nullcontext
from typing import TYPE_CHECKING, cast

from interlock.ingestion.errors import BrokenCompression, EmptyFile, TooLarge
from interlock.ingestion.sources import CHUNK_BYTES
from interlock.settings import settings

if TYPE_CHECKING:
    from typing import BinaryIO

SUFFIX = ".gz"
MAGIC = b"\x1f\x8b"
# The first bytes of what else is delivered under the name of a table; none of them can begin a text.
OTHER_KINDS = {
    b"PK\x03\x04": "a zip archive or a workbook",
    b"\xfd7zXZ\x00": "compressed with xz",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    MAGIC: "compressed with gzip twice",
}
NAME_FIX = "Have the producer deliver it again with a name that fits: .gz at its end for gzip, and only then."


def content_chunks(file: str, stream: BinaryIO) -> Generator[bytes]:
    """The decompressed content, from front to end, `CHUNK_BYTES` at a time.

    Raises BrokenCompression, EmptyFile where there are not even the bytes of an empty gzip file, and TooLarge as soon
    as there is more than a file may hold.
    """
    is_compressed = _filled(stream, len(MAGIC)) == MAGIC
    stream.seek(0)
    if is_compressed and not file.endswith(SUFFIX):
        raise BrokenCompression(file, "it is compressed with gzip, but its name does not say so.", fix=NAME_FIX)
    if not is_compressed and file.endswith(SUFFIX):
        if not stream.read(1):
            raise EmptyFile(file, "it is empty: zero bytes, not even a compressed header.")
        raise BrokenCompression(file, "its name ends in .gz, but it is not a gzip file.", fix=NAME_FIX)
    with _expanded(stream) if is_compressed else nullcontext(stream) as expanded:
        size = 0
        while chunk := _next(file, expanded, size):
            if not size:
                _refuse_other_kinds(file, chunk)
            size += len(chunk)
            require_allowed(file, size)
            yield chunk


def require_allowed(file: str, size: int) -> None:
    """Raise TooLarge where that many bytes of content are more than one file may hold."""
    largest = settings().largest_delivery_mb
    if size > largest << 20:
        raise TooLarge(
            file,
            f"its content is larger than {largest:,} MiB: no more of it was read, and nothing of it was loaded.",
            fix="Have the producer deliver it in smaller files, or raise INTERLOCK_LARGEST_DELIVERY_MB if it is right.",
        )


def _expanded(stream: BinaryIO) -> gzip.GzipFile:
    return gzip.GzipFile(fileobj=cast("BinaryIO", _Steady(stream)), mode="rb")


class _Steady:
    """A stream that gives as much as it is asked for: gzip takes fewer bytes of its own header for damage."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        return _filled(self._stream, size)


def _next(file: str, expanded: BinaryIO | gzip.GzipFile, size: int) -> bytes:
    """The next whole chunk, the rest at the end; `size` bytes came before it."""
    try:
        return _filled(expanded, CHUNK_BYTES)
    except EOFError:
        raise BrokenCompression(file, "the gzip file ends too early: it was cut off.") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        found = f"the gzip file is damaged: {error}."
        if str(error).startswith("Not a gzipped file"):
            found = (
                f"the gzip file is damaged: after {size:,} bytes or more of content comes something that is no gzip."
            )
        raise BrokenCompression(file, found, after=size) from None


def _filled(stream: BinaryIO | gzip.GzipFile, size: int) -> bytes:
    parts, missing = [], size
    while missing and (part := stream.read(missing)):
        parts.append(part)
        missing -= len(part)
    return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)


def _refuse_other_kinds(file: str, chunk: bytes) -> None:
    for magic, kind in OTHER_KINDS.items():
        if chunk.startswith(magic):
            fix = "Have the producer deliver CSV, plain or compressed once with gzip."
            raise BrokenCompression(file, f"its content is {kind}, not text.", fix=fix)
