"""The content of a delivery in chunks, whether it lies there plain or as gzip.

A name and the first bytes must agree: a file that is compressed under a plain name was made by somebody who
did not know, and what else they did not know is not guessed at.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Generator
from contextlib import nullcontext
from typing import TYPE_CHECKING

from interlock.ingestion.errors import BrokenCompression, EmptyFile
from interlock.ingestion.sources import CHUNK_BYTES

if TYPE_CHECKING:
    from typing import BinaryIO

SUFFIX = ".gz"
MAGIC = b"\x1f\x8b"
NAME_FIX = "Have the producer deliver it again with a name that fits: .gz at its end for gzip, and only then."


def content_chunks(file: str, stream: BinaryIO) -> Generator[bytes]:
    """The decompressed content, from front to end, `CHUNK_BYTES` at a time.

    Raises BrokenCompression, and EmptyFile where there are not even the bytes of an empty gzip file.
    """
    is_compressed = stream.read(len(MAGIC)) == MAGIC
    stream.seek(0)
    if is_compressed and not file.endswith(SUFFIX):
        raise BrokenCompression(file, "it is compressed with gzip, but its name does not say so.", fix=NAME_FIX)
    if not is_compressed and file.endswith(SUFFIX):
        if not stream.read(1):
            raise EmptyFile(file, "it is empty: zero bytes, not even a compressed header.")
        raise BrokenCompression(file, "its name ends in .gz, but it is not a gzip file.", fix=NAME_FIX)
    with gzip.open(stream) if is_compressed else nullcontext(stream) as expanded:
        while True:
            try:
                chunk = expanded.read(CHUNK_BYTES)
            except EOFError:
                raise BrokenCompression(file, "the gzip file ends too early: it was cut off.") from None
            except (gzip.BadGzipFile, zlib.error) as error:
                raise BrokenCompression(file, f"the gzip file is damaged: {error}.") from None
            if not chunk:
                return
            yield bytes(chunk)
