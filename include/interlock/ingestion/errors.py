"""What can be wrong with a delivery, one class each, so that nobody has to read a stack trace of COPY.

Every message begins with the file and says what was found where; every fix says who has to do what.
A delivery that is wrong (`DeliveryRefused`) stays wrong until the producer sends another: nothing of it
is loaded and the file is left as it is. What time may mend (not there yet, still being written, storage
out of reach) is transient, and is never recorded against the producer.

A refusal quotes what its producer wrote: names of columns, of files, of fields of a mark. So what is quoted is
made fit to be recorded and shown: a NUL cannot be stored, and a mark that held one kept its own refusal from
being recorded; a line end or an escape sequence would write on the operator's terminal.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from interlock.errors import PermanentFailure, TransientFailure

MOST_NAMED = 20
LONGEST_QUOTE = 100
LONGEST_MESSAGE = 4_000
DELIVER_AGAIN = (
    "Have the producer deliver the file again, whole and as the contract says; then run the partition again."
)


def shown(text: str, longest: int = LONGEST_MESSAGE) -> str:
    """A text of the producer's as it may be stored and printed: in one line, visible, and not without end."""
    cut = text if len(text) <= longest else f"{text[:longest]}… ({len(text):,} characters)"
    if cut.isprintable():
        return cut
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in cut)


def listed(names: Iterable[str]) -> str:
    """Names of columns for a message, the first of them where there are many."""
    known = list(names)
    told = ", ".join(f'"{shown(name, LONGEST_QUOTE)}"' for name in known[:MOST_NAMED])
    return told if len(known) <= MOST_NAMED else f"{told} and {len(known) - MOST_NAMED:,} more"


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, list | tuple):
        return [_shown(item) for item in value[:MOST_NAMED]] + ["…"] * (len(value) > MOST_NAMED)
    return value


class DeliveryRefused(PermanentFailure):
    """A delivery that is not what its contract promises. Nothing of it was loaded; the file is untouched."""

    def __init__(self, file: str, found: str, *, fix: str = DELIVER_AGAIN, **evidence: Any) -> None:
        super().__init__(shown(f"{file}: {found}", LONGEST_MESSAGE), fix=fix)
        self.evidence = {"file": shown(file), **{name: _shown(value) for name, value in evidence.items()}}

    @property
    def code(self) -> str:
        """The stable name of this kind of refusal."""
        return type(self).__name__


class EmptyFile(DeliveryRefused):
    """Zero bytes: not even a header. Never a valid way to say *no rows*."""


class NoRows(DeliveryRefused):
    """A header and no rows, where the contract does not accept that."""


class BrokenCompression(DeliveryRefused):
    """A gzip file that is cut off or damaged, or a name that says one thing and bytes that say another."""


class BrokenEncoding(DeliveryRefused):
    """Bytes that are not UTF-8."""


class NulByte(DeliveryRefused):
    """A NUL byte, which no text column can hold."""


class WrongDelimiter(DeliveryRefused):
    """A header that is one column, with another separator in it."""


class BrokenHeader(DeliveryRefused):
    """A first line that cannot be read as a header, or that names a column twice or not at all."""


class DuplicateHeader(BrokenHeader):
    """A header that names a column twice."""


class ColumnsDrifted(DeliveryRefused):
    """The header's columns are not the contract's: something is missing, extra or renamed."""


class RaggedRow(DeliveryRefused):
    """A row with more or fewer values than the header has columns."""


class UnterminatedQuote(DeliveryRefused):
    """A quoted value that never ends, so that the rest of the file is inside it."""


class MixedLineEnds(DeliveryRefused):
    """Lines that end in different ways, or a bare carriage return inside a value without quotes."""


class EndMarker(DeliveryRefused):
    r"""A line that is only `\.`: older servers take it as the end of the data and drop what follows, silently."""


class UnreadableRow(DeliveryRefused):
    """The database cannot read the file as CSV for a reason that has no class of its own."""


class PartitionDenied(DeliveryRefused):
    """A file whose name does not say the partition that it was asked for."""


class AmbiguousDelivery(DeliveryRefused):
    """Two files that claim to be the delivery of the same partition."""


class NotAFile(DeliveryRefused):
    """A folder, a pipe or a link that leads nowhere, under the name of a delivery."""


class NotReadable(DeliveryRefused):
    """A file whose producer lets nobody read it."""


class TooLarge(DeliveryRefused):
    """More content, decompressed, than one file may hold: a small file can unfold into one that fills the disk."""


class MarkUnreadable(DeliveryRefused):
    """A completion mark that does not say what a mark must say."""


class MarkMismatch(DeliveryRefused):
    """A completion mark that says something else than the file."""


class Recalled(DeliveryRefused):
    """Content that its producer took back, or that was quarantined: the same bytes do not bring it back."""


class NotDelivered(TransientFailure):
    """No file for the partition, where the contract expects one. Whether that is late is the caller's to decide."""


class NotComplete(TransientFailure):
    """The file is there, but its producer has not said yet that it is complete, or is still writing it."""


class LandingUnreachable(TransientFailure):
    """The landing storage could not be read."""
