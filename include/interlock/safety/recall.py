"""Recall: a partition turned out bad, and somebody acted on it while it was safe. Who, on what, and when?

What was safe when is read from the record: the events that moved the pointer and the causes that were open, never from
what is so now. From there it follows the versions that each later version was built from, as they were recorded, and
whoever was told that one of these was safe. Rows that were read in SQL left no trace, because PostgreSQL cannot log
rows read: the logins that could have read them are listed as *possible readers*. Where records were dropped, that is
said.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict

from interlock.clock import real_now
from interlock.db.connection import Role, connect, statement
from interlock.db.failures import translated
from interlock.errors import Unknown, UsageError
from interlock.safety.answers import require_partition
from interlock.safety.reliances import Kind, Via

if TYPE_CHECKING:
    from interlock.db.connection import Connection


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Ended(_Part):
    """What ended it: the code and the words of a cause, or that another version took its place."""

    code: str
    message: str


class Stand(_Part):
    """From when to when a version was served and safe; `until` is null while it is."""

    version: int
    since: datetime
    until: datetime | None
    ended_by: Ended | None


class Relied(_Part):
    """Somebody who was told, in one way about one dataset: how often, when, and which versions of which partitions.

    `who` is a login of the database where it was asked directly (`cli`, `sql`, `dbt`), else whom the API had logged in.
    """

    who: str
    via: Via
    consumer: str | None
    owner: str | None
    contact: str | None
    kind: Kind
    dataset: str
    domain: str
    metric: str | None
    value: float | None
    about: str | None
    first_at: datetime
    last_at: datetime
    times: int
    partitions: tuple[str, ...]
    versions: tuple[int, ...]


class Built(_Part):
    """A version that was built from it, or it itself; by which run, from and until when it was safe (null: never)."""

    dataset: str
    partition: str
    version: int
    path: tuple[str, ...]
    domain: str
    layer: str
    run_id: int
    actor: str
    built_at: datetime
    since: datetime | None
    until: datetime | None
    stands: bool


class PossibleReader(_Part):
    """A login that could have read the rows in SQL. `is_shared`: one of the platform's own, which several people may
    use.
    """

    login: str
    is_gone: bool
    is_shared: bool
    datasets: tuple[str, ...]


class Registered(_Part):
    """A consumer (a dbt exposure) or a metric that stands on the datasets."""

    kind: str
    name: str
    owner: str | None
    contact: str | None
    datasets: tuple[str, ...]


class Gap(_Part):
    """A time in which records were dropped, and where."""

    recorder: str
    first_at: datetime
    last_at: datetime
    count: int


class Told(_Part):
    """Somebody who was told of it before; `sent_at` is null while the message waits."""

    recipient: str
    created_at: datetime
    sent_at: datetime | None


class Fallen(_Part):
    """A version that was safe and is not any more: what rested on it."""

    version: int
    stood: tuple[Stand, ...]
    ended_at: datetime
    ended_by: Ended
    relied: tuple[Relied, ...]
    built: tuple[Built, ...]
    registered: tuple[Registered, ...]
    possible_readers: tuple[PossibleReader, ...]
    gaps: tuple[Gap, ...]
    told: tuple[Told, ...]


class Recall(_Part):
    """Every version of a partition that was safe once and is not any more, the newest first.

    `stands` is the version that is safe now. `hidden` counts what lies in domains that the asker has no right to see.
    """

    dataset: str
    domain: str
    partition: str
    since: datetime | None
    stands: Stand | None
    fallen: tuple[Fallen, ...]
    hidden: int = 0
    as_of: datetime

    def within(self, domains: Sequence[str]) -> Self:
        """The same without what belongs to other domains than these; `*` are all."""
        if "*" in domains:
            return self
        fallen = [
            item.model_copy(
                update={
                    "relied": tuple(one for one in item.relied if one.domain in domains),
                    "built": tuple(one for one in item.built if one.domain in domains),
                }
            )
            for item in self.fallen
        ]
        left = sum(len(item.relied) + len(item.built) for item in fallen)
        hidden = sum(len(item.relied) + len(item.built) for item in self.fallen) - left
        return self.model_copy(update={"fallen": tuple(fallen), "hidden": hidden})


def recall(dataset: str, partition: str, *, version: int | None = None, since: datetime | None = None) -> Recall:
    """What rested on the versions of a partition that were safe and are not any more; of one `version`, or of all.

    With `since` only what was relied on from then on. Raises UsageError for what does not exist.
    """
    require_partition(partition)
    with translated(), connect(Role.AUDITOR) as connection:
        connection.execute("set transaction isolation level repeatable read, read only")
        domain = _domain(connection, dataset)
        of = {"dataset": dataset, "partition": partition}
        stood = _rows(connection, Stand, "stood", of)
        stands = next((stand for stand in stood if stand.until is None), None)
        numbers = sorted({stand.version for stand in stood} - {stands.version if stands else 0}, reverse=True)
        if version is not None:
            if version not in {stand.version for stand in stood}:
                raise UsageError(
                    f"{dataset} partition {partition} was never safe in version {version}.",
                    fix=f"It was in: {', '.join(map(str, sorted({s.version for s in stood}))) or 'no version'}.",
                )
            numbers = [number for number in numbers if number == version]
        fallen = [
            _fallen(connection, of, tuple(stand for stand in stood if stand.version == number), since)
            for number in numbers
        ]
        return Recall(
            dataset=dataset, domain=domain, partition=partition, since=since, stands=stands,
            fallen=tuple(fallen), as_of=real_now(),
        )  # fmt: skip


def consumers(domains: Sequence[str] | None = None, datasets: Sequence[str] | None = None) -> list[Registered]:
    """The registered consumers by name, with what each stands on in these domains and datasets; None are all."""
    asked = {"domains": list(domains) if domains else None, "datasets": list(datasets) if datasets else None}
    with translated(), connect(Role.AUDITOR, autocommit=True) as connection:
        return [one for one in _rows(connection, Registered, "consumers", asked) if one.kind == "consumer"]


def _fallen(connection: Connection, of: dict[str, Any], stood: tuple[Stand, ...], since: datetime | None) -> Fallen:
    version, last = stood[0].version, stood[-1]
    if last.until is None or last.ended_by is None:
        raise LookupError(f"version {version} still stands")
    about = of | {"version": version, "since": since}
    built = _rows(connection, Built, "built", about)
    were_safe = [item for item in built if item.since is not None]
    span = {
        "since": max(filter(None, [min(item.since for item in were_safe if item.since), since])),
        "until": max(item.until if item.until and not item.stands else real_now() for item in were_safe),
        "datasets": sorted({item.dataset for item in were_safe}),
    }
    return Fallen(
        version=version,
        stood=stood,
        ended_at=last.until,
        ended_by=last.ended_by,
        relied=_rows(connection, Relied, "relied", about),
        built=built,
        registered=_rows(connection, Registered, "consumers", span | {"domains": None}),
        possible_readers=_rows(connection, PossibleReader, "readers", span),
        gaps=_rows(connection, Gap, "gaps", span),
        told=_rows(connection, Told, "told", about | {"ended_at": last.until}),
    )


Row = TypeVar("Row", bound=BaseModel)


def _rows(connection: Connection, shape: type[Row], file: str, values: dict[str, Any]) -> tuple[Row, ...]:
    from psycopg.rows import dict_row

    with connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(statement(f"safety/recall_{file}.sql").encode(), values)
        return tuple(shape.model_validate(row) for row in cursor)


def _domain(connection: Connection, dataset: str) -> str:
    import difflib

    domains = dict(connection.execute("select name, domain from interlock.dataset").fetchall())
    if dataset in domains:
        return str(domains[dataset])
    near = difflib.get_close_matches(dataset, domains, n=3, cutoff=0.5)
    raise Unknown(
        f"There is no dataset {dataset!r}.",
        fix=f"Did you mean {' or '.join(near)}?" if near else "`interlock status` lists the datasets.",
    )
