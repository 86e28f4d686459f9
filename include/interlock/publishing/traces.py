"""Where one row of a delivery went: through raw, past or into what was set aside, and into each table made of it.

It follows the same words of the contracts that the accounts are counted by: the identity of a row here and there, what
a step drops, and which of several rows with one key is kept. So it never guesses: a row that is not where it should be,
and for which no contract names a reason, is told to be lost. What is looked at is what is served now.
"""

# ruff: noqa: S608 (composed of checked names, literals and the contracts' own expressions: see sqltext)

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from interlock.contracts.checks import CheckKind
from interlock.contracts.loading import checks_of
from interlock.contracts.model import Contract, Grain, Layer
from interlock.db.connection import Role, connect, statement
from interlock.db.failures import translated
from interlock.errors import Unknown, UsageError
from interlock.quality import evidence
from interlock.quality.deduplication import LOAD, PART, PLACE, ROW, WINNING_LOAD, WINNING_ROW, Rule
from interlock.quality.sqltext import identifier, literal

if TYPE_CHECKING:
    from interlock.contracts.checks import Check
    from interlock.contracts.model import Catalog
    from interlock.db.connection import Connection

Row = Mapping[str, Any]


class Fate(StrEnum):
    """What became of a row in one dataset."""

    DELIVERED = "delivered"
    NOT_READ = "not read"  # its load was rejected, or another one took its place
    SET_ASIDE = "set aside"
    DEDUPLICATED = "deduplicated"
    DROPPED = "dropped"
    HERE = "here"
    COUNTED = "counted"
    NOT_YET = "not yet"  # what is served was made before the row, or nothing is
    LOST = "lost"


class Station(BaseModel):
    """One dataset on the way of a row. `version` is the load in raw; `why` says more than the fate does."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    version: int | None
    fate: Fate
    why: str
    key: dict[str, Any]


class Trace(BaseModel):
    """The way of one row, from its file on. `others` are further loads of the partition."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    feed: str
    partition: str
    source_file: str
    load_id: int
    row_number: int
    others: tuple[int, ...]
    stations: tuple[Station, ...]

    @property
    def is_lost(self) -> bool:
        """Whether the row is nowhere, and nothing says why."""
        return any(station.fate is Fate.LOST for station in self.stations)


@dataclass(frozen=True)
class _Step:
    """A dataset that accounts for another one."""

    contract: Contract
    check: Check


def trace(catalog: Catalog, dataset: str, partition: str, row_number: int, load_id: int | None = None) -> Trace:
    """Follow one row of a partition's delivery, the first after the header being 1, to a dataset or, of a feed, to all.

    Without a load it is the newest one of the partition. Raises UsageError for what there is not.
    """
    if dataset not in catalog:
        raise Unknown(f"There is no dataset {dataset!r}.", fix="`interlock contract lint` lists what is declared.")
    feed, wanted = _way(catalog, dataset)
    with translated(), connect(Role.GATE, autocommit=True) as connection:
        follower = _Follower(connection, catalog, partition, wanted)
        return follower.follow(feed, row_number, load_id)


def _way(catalog: Catalog, dataset: str) -> tuple[Contract, frozenset[str]]:
    """The feed that a dataset's accounts lead back to, and the datasets between: of a feed, all that is made of it."""
    if catalog[dataset].layer is Layer.RAW:
        return catalog[dataset], frozenset(catalog)
    way, feeds, pending = {dataset}, set[str](), [dataset]
    while pending:
        for check in _accounts(catalog[pending.pop()]):
            upstream = str(check.arguments["dataset"])
            if upstream in catalog and upstream not in way:
                (feeds if catalog[upstream].layer is Layer.RAW else way).add(upstream)
                pending += [upstream]
    if len(feeds) != 1:
        told = (
            f"The rows of {', '.join(sorted(feeds))} go into {dataset}" if feeds else f"{dataset} accounts for no feed"
        )
        raise UsageError(f"{told}: it is not plain whose row is meant.", fix="Ask for a row of the feed.")
    return catalog[feeds.pop()], frozenset(way)


def _accounts(contract: Contract) -> Iterator[Check]:
    return (check for check in checks_of(contract) if check.kind is CheckKind.ACCOUNTS)


class _Follower:
    def __init__(self, connection: Connection, catalog: Catalog, partition: str, wanted: frozenset[str]) -> None:
        self._connection, self._partition = connection, partition
        self._steps: dict[str, list[_Step]] = {}
        for contract in catalog.values():
            for check in _accounts(contract) if contract.dataset in wanted else ():
                self._steps.setdefault(str(check.arguments["dataset"]), []).append(_Step(contract, check))

    def follow(self, feed: Contract, row_number: int, load_id: int | None) -> Trace:
        loads = self._rows(
            statement("publishing/traced_loads.sql"), {"dataset": feed.dataset, "partition": self._partition}
        )
        chosen = next((load for load in loads if load_id in (None, load["load_id"])), None)
        if chosen is None:
            told = f"load {load_id} is none of {feed.dataset} {self._partition}" if load_id else "nothing was loaded"
            raise UsageError(f"{feed.dataset} {self._partition}: {told}.", fix="`interlock ledger` lists the loads.")
        table = f"{identifier(f'raw_{feed.domain}')}.{identifier(feed.dataset)}"
        found = self._rows(
            "select r.*, l.partition as _partition, l.delivered_on as _delivered_on, l.sequence as _sequence"
            f" from {table} r join interlock.load l on l.load_id = r._load_id"
            " where r._load_id = %(load)s and r._row_number = %(row)s",
            {"load": chosen["load_id"], "row": row_number},
        )
        if not found:
            told = f"Load {chosen['load_id']} of {feed.dataset} {self._partition} has no row {row_number}."
            raise UsageError(told, fix="Rows are numbered from 1; the header has no number.")
        stations = list(self._through(feed, found[0], chosen))
        return Trace(
            feed=feed.dataset,
            partition=self._partition,
            source_file=chosen["source_file"],
            load_id=chosen["load_id"],
            row_number=row_number,
            others=tuple(load["load_id"] for load in loads if load is not chosen),
            stations=tuple(stations),
        )

    def _through(self, feed: Contract, row: Row, load: Row) -> Iterator[Station]:
        aside = self._rows(
            "select state, reasons, discard_reason from interlock.row_quarantine"
            " where load_id = %(load)s and row_number = %(row)s",
            {"load": row[LOAD], "row": row[ROW]},
        )
        if aside:
            why = ", ".join(aside[0]["reasons"]) + f"; {aside[0]['state']}"
            why += f": {aside[0]['discard_reason']}" if aside[0]["discard_reason"] else ""
            yield _station(feed, row[LOAD], Fate.SET_ASIDE, why, row)
        elif not load["is_served"]:
            why = "its load was rejected" if load["state"] == "rejected" else "another load took the place of its own"
            why = "its load was not judged yet" if load["state"] == "loaded" else why
            yield _station(feed, row[LOAD], Fate.NOT_READ, why, row)
        else:
            yield _station(feed, row[LOAD], Fate.DELIVERED, "", row)
            yield from self._onward(feed, row, row[LOAD])

    def _onward(self, source: Contract, row: Row, version: int) -> Iterator[Station]:
        for step in self._steps.get(source.dataset, ()):
            station, found, served = self._in(step, source, row, version)
            yield station
            if found is not None and served is not None:
                yield from self._onward(step.contract, found, served)

    def _in(self, step: _Step, source: Contract, row: Row, version: int) -> tuple[Station, Row | None, int | None]:
        """What became of a row of the source in one dataset, with the row there and the version that it is in."""
        contract, part = step.contract, "all" if step.contract.partition.grain is Grain.ALL else self._partition
        served = self._rows(
            statement("publishing/traced_version.sql"),
            {"dataset": contract.dataset, "partition": part, "input": source.dataset},
        )
        if not served:
            return _station(contract, None, Fate.NOT_YET, "nothing of it is served", {}), None, None
        here, built_from = served[0]["version"], served[0]["input_version"]
        identity = step.check.arguments["by"] or {name: name for name in contract.primary_key if name in row}
        same = (f"{identifier(ours)} is not distinct from %({theirs})s" for ours, theirs in identity.items())
        found = self._rows(f"select * from {_sealed(contract, here)} where {' and '.join(same)} limit 1", row)
        if found:
            fate = Fate.COUNTED if "counted" in step.check.arguments else Fate.HERE
            return _station(contract, here, fate, "", found[0]), found[0], here
        if built_from is None or built_from < version:
            return _station(contract, here, Fate.NOT_YET, "it was built before the row was there", {}), None, None
        return self._missing(step, source, row, here), None, None

    def _missing(self, step: _Step, source: Contract, row: Row, here: int) -> Station:
        """Why a row is not there: for a reason that the contract names, or for none."""
        relation, where = self._relation(source, row)
        for reason in step.check.arguments.get("dropped", ()):
            condition = reason["where"].replace("%", "%%").replace("${input}", f"({relation})")
            if self._rows(f"select 1 from ({relation}) as input where {where} and ({condition}\n)", row):
                return _station(step.contract, here, Fate.DROPPED, reason["reason"], {})
        given = step.check.arguments.get("deduplicated")
        if given and source.layer is Layer.RAW:
            rule = Rule.of(given, is_feed=True)
            same = " and ".join(f"input.{identifier(name)} = %({name})s" for name in rule.key)
            rivals = f"select {literal(self._partition)} as {PART}, input.* from ({relation}) as input where {same}"
            placed = self._rows(
                f"select {WINNING_LOAD}, {WINNING_ROW}, {rule.reason} as why from ({rule.ranked(rivals)}) as placed"
                f" where {LOAD} = %({LOAD})s and {ROW} = %({ROW})s and {PLACE} > 1",
                row,
            )
            if placed:
                won = f"row {placed[0][WINNING_ROW]} of load {placed[0][WINNING_LOAD]} is kept"
                return _station(step.contract, here, Fate.DEDUPLICATED, f"{won}; {placed[0]['why']}", {})
        return _station(step.contract, here, Fate.LOST, "it should be there, and no contract says why it is not", {})

    def _relation(self, source: Contract, row: Row) -> tuple[str, str]:
        """The rows of the source that its readers are given, and the condition of this one."""
        if source.layer is not Layer.RAW:
            same = " and ".join(f"input.{identifier(name)} = %({name})s" for name in source.primary_key)
            return f"select * from {_sealed(source, row['_version'])}", same
        table = f"{identifier(f'raw_{source.domain}')}.{identifier(source.dataset)}"
        rows = (
            "select r.*, l.partition as _partition, l.delivered_on as _delivered_on, l.sequence as _sequence"
            f" from {table} r join interlock.load l on l.load_id = r._load_id"
            " join interlock.served_load s on s.load_id = r._load_id"
            f" where l.partition = {literal(self._partition)} and not exists (select from interlock.quarantined_row q"
            " where q.load_id = r._load_id and q.row_number = r._row_number)"
        )
        return rows, f"input.{LOAD} = %({LOAD})s and input.{ROW} = %({ROW})s"

    def _rows(self, query: str, values: Row) -> Sequence[dict[str, Any]]:
        from psycopg.rows import dict_row

        with self._connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query.encode(), values).fetchall()


def _sealed(contract: Contract, version: int) -> str:
    return f"versions.{identifier(f'{contract.dataset}__v{version}')}"


def _station(contract: Contract, version: int | None, fate: Fate, why: str, row: Row) -> Station:
    shown = {name: row[name] for name in contract.primary_key if name in row}
    key = evidence.discretion(contract).masked(shown)
    return Station(dataset=contract.dataset, version=version, fate=fate, why=why, key=key)
