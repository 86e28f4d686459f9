"""How deliveries of each format are read: the door through which other formats come.

A format has to give three things: its columns by name before anything is loaded, the records as CSV
text for COPY in chunks of bounded size, and an account of the bytes that went through. It registers its
file name's suffix here. Nothing else in the platform knows what a file looks like.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from interlock.errors import PermanentFailure

if TYPE_CHECKING:
    from typing import BinaryIO

    from interlock.ingestion.content import Content

CHUNK_BYTES = 1 << 20


class Source(Protocol):
    """One opened delivery, read once from front to end."""

    columns: tuple[str, ...]
    header_lines: int  # what the database's own line numbers lack
    content: Content  # what was read so far; complete once `records` is exhausted

    def sample(self) -> list[list[str]]:
        """Some of the first records, to guess with; never to judge by."""
        ...

    def records(self) -> Iterator[bytes]:
        """All records as CSV in UTF-8, in the order of `columns`, in chunks of about `CHUNK_BYTES`.

        Raises DeliveryRefused for what the database would not notice or could not explain.
        """
        ...


def opened(file: str, stream: BinaryIO) -> AbstractContextManager[Source]:
    """Open a delivery by its name's suffix; `stream` are the bytes as they lie in the landing folder."""
    from interlock.ingestion.sources import csv

    if not file.endswith(csv.SUFFIXES):
        raise PermanentFailure(
            f"{file}: this format cannot be read.",
            fix=f"The landing pattern of a contract must end in one of: {', '.join(csv.SUFFIXES)}.",
        )
    return csv.opened(file, stream)
