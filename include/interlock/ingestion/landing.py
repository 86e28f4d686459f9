"""Finding deliveries: which files of a feed's landing folder are deliveries of which partition.

The landing root is an fsspec URL, so a folder and a bucket are a setting apart. A file is a delivery only
if its whole name fits the contract's pattern; everything else in the folder (`.part`, `.tmp`, marks, notes)
is not there. A day is looked up by its exact name, so that a folder with years in it costs no more than a
new one.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel, ConfigDict

from interlock.clock import real_now
from interlock.errors import PermanentFailure
from interlock.ingestion.errors import LandingUnreachable, NotAFile, NotReadable, PartitionDenied
from interlock.settings import settings

if TYPE_CHECKING:
    from typing import BinaryIO

    from interlock.contracts.model import Contract

ALL = "all"
COMPRESSION = ".gz"
# What a name says for each token. A sequence is a number; the database holds 18 digits of it.
TOKENS = {"partition": r"\d{4}-\d\d-\d\d", "delivered": r"\d{4}-\d\d-\d\d", "sequence": r"\d{1,18}"}
TOKEN = re.compile(rf"\{{({'|'.join(TOKENS)})\}}")
# Up to here a look at each name is cheaper than a listing of the whole folder.
FEW = 16
FEWEST_DIGITS_OF_A_DAY = 6
LARGEST_SMALL_FILE = 65_536
BLOCK_BYTES = 4 << 20


class Delivery(BaseModel):
    """One file of a feed, as it was when it was found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    partition: str
    delivered_on: date | None = None
    sequence: int | None = None
    file: str  # below the landing root, with forward slashes
    size: int
    modified: datetime | None = None
    etag: str | None = None
    oddity: str | None = None  # what it is, where it is no file

    @property
    def increment(self) -> tuple[date | None, int | None]:
        """What tells it from other deliveries of its partition."""
        return self.delivered_on, self.sequence

    @property
    def order(self) -> tuple[date, int, str]:
        """Its place among the deliveries of its partition, whenever it arrived."""
        return self.delivered_on or date.min, self.sequence if self.sequence is not None else -1, self.file

    @property
    def fingerprint(self) -> str:
        """What changes when the file is written again, as far as the storage can tell."""
        kind = f" {self.oddity}" if self.oddity else ""
        return f"{self.size} {self.modified.isoformat() if self.modified else ''} {self.etag or ''}{kind}"

    @property
    def age_seconds(self) -> float | None:
        """Since when the file has been as it is; None where the storage does not say."""
        return (real_now() - self.modified).total_seconds() if self.modified else None

    @property
    def is_compressed(self) -> bool:
        """Whether its size is not that of its content."""
        return self.file.endswith(COMPRESSION)


class Pattern:
    """A contract's landing pattern, such as `flights_{partition}.csv`; the same name with `.gz` fits as well."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = TOKEN.findall(text)
        self._strict = self._expression(TOKENS)
        self._loose = self._expression(dict.fromkeys(TOKENS, ".+?"))

    def names(self, partition: str) -> tuple[str, ...]:
        """The names that a partition's delivery may have, where the partition alone decides them."""
        plain = self.text.replace("{partition}", partition)
        return (plain,) if plain.endswith(COMPRESSION) else (plain, plain + COMPRESSION)

    def read(self, name: str) -> dict[str, str] | None:
        """What a name says for each token; None where it does not fit."""
        found = self._strict.fullmatch(name)
        return found.groupdict() if found else None

    def guess(self, name: str) -> dict[str, str] | None:
        """What stands in the places of the tokens, whatever it is; None where the name is another one altogether."""
        found = self._loose.fullmatch(name)
        return found.groupdict() if found else None

    def _expression(self, meanings: dict[str, str]) -> re.Pattern[str]:
        parts = TOKEN.split(self.text)  # literals at even places, tokens between them
        expression = "".join(
            f"(?P<{part}>{meanings[part]})" if place % 2 else re.escape(part) for place, part in enumerate(parts)
        )
        return re.compile(expression + ("" if self.text.endswith(COMPRESSION) else r"(?:\.gz)?"), re.ASCII)


class Landing:
    """The landing root, wherever it is; what the storage refuses is raised as LandingUnreachable."""

    def __init__(self, url: str) -> None:
        self.url = url

    @property
    def place(self) -> str:
        """The root as a person may see it: without a login."""
        return re.sub(r"//[^/@]*@", "//", self.url)

    def names(self, folder: str) -> list[str]:
        """The names in a folder, of whatever kind; none where there is no such folder."""
        with self._reachable(folder):
            self._files.invalidate_cache()
            try:
                found = self._files.ls(self._path(folder), detail=False)
            except FileNotFoundError:
                return []
        return sorted(name.rstrip("/").rsplit("/", 1)[-1] for name in found)

    def facts(self, file: str) -> dict[str, Any] | None:
        """Size, time and etag of a file as the storage tells them now; None where there is nothing of that name.

        `oddity` says what it is where it is no file: a producer who made that will not mend it by waiting.
        """
        with self._reachable(file):
            self._files.invalidate_cache()
            try:
                found = self._files.info(self._path(file))
            except FileNotFoundError:
                return _odd("a link that leads nowhere") if self._is_link(file) else None
            except OSError as error:
                if error.errno != errno.ELOOP:
                    raise
                return _odd("a link that leads to itself")
        if found["type"] != "file":
            return _odd("a folder" if found["type"] == "directory" else "no file but a pipe, a socket or a device")
        times = (found.get(key) for key in ("mtime", "LastModified", "last_modified", "updated", "created"))
        tags = (found.get(key) for key in ("ETag", "etag", "md5Hash"))
        return {
            "size": found["size"],
            "modified": _instant(next((time for time in times if time is not None), None)),
            "etag": next((str(tag) for tag in tags if tag), None),
            "oddity": None,
        }

    def delivery_of(self, known: Delivery) -> Delivery | None:
        """The same file as it is now; None where it is gone."""
        facts = self.facts(known.file)
        return known.model_copy(update=facts) if facts else None

    def small_file(self, file: str) -> bytes | None:
        """The content of a small file beside a delivery; None where there is none. Raises as `opened` does."""
        facts = self.facts(file)
        if facts and facts["oddity"]:
            raise NotAFile(file, f"it is {facts['oddity']}.")
        with self._reachable(file), self._readable(file):
            try:
                with self._files.open(self._path(file), "rb") as stream:
                    return bytes(stream.read(LARGEST_SMALL_FILE))
            except FileNotFoundError:
                return None

    @contextmanager
    def opened(self, delivery: Delivery) -> Iterator[BinaryIO]:
        """The bytes of a delivery, from front to end, in blocks of bounded size.

        Raises NotAFile and NotReadable for what no waiting makes a file that can be read.
        """
        require_file(delivery)
        path = self._path(delivery.file)
        with self._reachable(delivery.file):
            with self._readable(delivery.file):
                stream = self._files.open(path, "rb", block_size=BLOCK_BYTES)
            with stream:
                yield cast("BinaryIO", stream)

    @contextmanager
    def _readable(self, file: str) -> Iterator[None]:
        # The folder was listed, so the storage is there: it is this file that is closed.
        try:
            yield
        except PermissionError as error:
            raise NotReadable(
                file,
                f"it lies there and may not be read ({error.strerror or error}).",
                fix="Have the producer let the platform's user read what it delivers; then run the partition again.",
            ) from error

    def _is_link(self, file: str) -> bool:
        is_link = getattr(self._files, "islink", None)
        return bool(is_link and is_link(self._path(file)))

    @contextmanager
    def _reachable(self, file: str) -> Iterator[None]:
        # BadGzipFile is an OSError too, but says something about the file and is handled where it is read.
        try:
            yield
        except OSError as error:
            raise LandingUnreachable(
                f"{file} in the landing root {self.place} could not be read: {error.strerror or error}.",
                fix="See that the storage can be reached (INTERLOCK_LANDING_URL, its credentials); then run it again.",
            ) from error

    @cached_property
    def _root(self) -> tuple[Any, str]:
        from fsspec.core import url_to_fs

        try:
            files, path = url_to_fs(self.url)
        except (ValueError, ImportError) as error:
            raise PermanentFailure(
                f"The landing root {self.place} is of a kind that cannot be read here: {error}",
                fix="Correct INTERLOCK_LANDING_URL, or install the fsspec package for that storage (for example s3fs).",
            ) from error
        return files, path.rstrip("/")

    @property
    def _files(self) -> Any:
        return self._root[0]

    def _path(self, file: str) -> str:
        return f"{self._root[1]}/{file}"


def landing() -> Landing:
    """The landing root that the settings name."""
    return Landing(settings().landing)


def pending(contract: Contract, partitions: Sequence[str]) -> list[Delivery]:
    """The deliveries that lie in the landing folder for these partitions, by partition and then in their own order.

    For a dataset without days, every file of the pattern. Files whose name does not say a date where the
    pattern wants one are left out: `misnamed` names them.
    """
    root, pattern, folder = landing(), pattern_of(contract), contract.dataset
    if pattern.tokens == ["partition"] and len(partitions) <= FEW:
        names = [name for partition in partitions for name in pattern.names(partition)]
    else:
        names = root.names(folder)
    found = []
    for name in names:
        said = _said(pattern, name)
        if said is None or said["partition"] not in partitions:
            continue
        facts = root.facts(f"{folder}/{name}")
        if facts:
            found.append(Delivery(dataset=folder, file=f"{folder}/{name}", **said, **facts))
    return sorted(found, key=lambda delivery: (delivery.partition, delivery.order))


def that_count(contract: Contract, found: Sequence[Delivery]) -> list[Delivery]:
    """Those of a partition's deliveries that are to be loaded: every increment, or what is of the newest date."""
    if contract.delivery is not None and contract.delivery.mode == "increment":
        return list(found)
    # Two files of one date are a question for the producer, so both are looked at before one is taken.
    return [delivery for delivery in found if delivery.delivered_on == found[-1].delivered_on]


def modified_in(fingerprint: str | None) -> datetime | None:
    """The time of the file that a recorded fingerprint was taken of, where its storage told one."""
    told = (fingerprint or "").split(" ")[1:2]
    return datetime.fromisoformat(told[0]) if told and told[0] else None


def misnamed(contract: Contract, partition: str) -> list[str]:
    """Files that are probably deliveries of a partition, but whose name denies it: no date, or written otherwise."""
    pattern = pattern_of(contract)
    return [
        f"{contract.dataset}/{name}"
        for name in landing().names(contract.dataset)
        if (said := pattern.guess(name)) is not None
        and _said(pattern, name) is None
        and any(_is_written_otherwise(text, partition) for text in said.values())
    ]


def pattern_of(contract: Contract) -> Pattern:
    """The landing pattern of a feed's contract."""
    if contract.delivery is None:
        raise PermanentFailure(
            f"{contract.dataset} is not delivered by anybody: its contract has no `interlock.delivery`.",
            fix=f"Give it one in {contract.path}, or ask for a dataset of the layer raw.",
        )
    return Pattern(contract.delivery.landing)


def require_file(delivery: Delivery) -> None:
    """Raise NotAFile where what lies there is none: waiting for its mark, or reading it, would have no end."""
    if delivery.oddity:
        raise NotAFile(
            delivery.file,
            f"under the name of a delivery lies {delivery.oddity}.",
            fix="Have the producer put the file itself there; then run the partition again.",
        )


def require_name(contract: Contract, delivery: Delivery) -> None:
    """Raise PartitionDenied where a delivery's name does not say the partition that it is to be loaded as."""
    pattern = pattern_of(contract)
    name = delivery.file.rsplit("/", 1)[-1]
    said = _said(pattern, name)
    if said is None:
        raise PartitionDenied(
            delivery.file,
            f"its name does not say of which day it is: the contract wants {pattern.text}, with days as YYYY-MM-DD.",
            fix=f"Have the producer deliver it as {example_name(pattern, delivery.partition)}.",
        )
    if said["partition"] != delivery.partition:
        raise PartitionDenied(
            delivery.file,
            f"it was to be loaded as partition {delivery.partition}, but its name says {said['partition']}.",
            fix="Run the partition that the name says, or have the producer deliver the file under its right name.",
        )


def example_name(pattern: Pattern, partition: str) -> str:
    """A name that fits, for a message."""
    day = partition if partition != ALL else "2013-01-01"
    return TOKEN.sub(lambda token: "1" if token[1] == "sequence" else day, pattern.text)


def _said(pattern: Pattern, name: str) -> dict[str, Any] | None:
    """Partition, delivery date and sequence that a name says; None where it says none, or a day that is no date."""
    said = pattern.read(name)
    if said is None or not all(_is_day(text) for part, text in said.items() if part != "sequence"):
        return None
    return {
        "partition": said.get("partition", ALL),
        "delivered_on": date.fromisoformat(said["delivered"]) if "delivered" in said else None,
        "sequence": int(said["sequence"]) if "sequence" in said else None,
    }


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _is_written_otherwise(text: str, partition: str) -> bool:
    """Whether a text holds a day's numbers in another order or dress (20130105, 5.1.2013); any day's for `all`."""
    if partition == ALL:
        return len(re.sub(r"\D", "", text)) >= FEWEST_DIGITS_OF_A_DAY
    year, month, day = partition.split("-")
    if re.sub(r"\D", "", text) in (year + month + day, day + month + year, month + day + year):
        return True
    return sorted(int(number) for number in re.findall(r"\d+", text)) == sorted((int(year), int(month), int(day)))


def _odd(what: str) -> dict[str, Any]:
    return {"size": 0, "modified": None, "etag": None, "oddity": what}


def _instant(told: Any) -> datetime | None:
    if isinstance(told, int | float):
        return datetime.fromtimestamp(told, UTC)
    if isinstance(told, str):
        told = datetime.fromisoformat(told)
    if isinstance(told, datetime):
        return told if told.tzinfo else told.replace(tzinfo=UTC)
    return None
