"""What a layer has to build: exactly the partitions whose inputs, code or clauses differ from what is served.

A rerun of something that did not change builds nothing and judges nothing, so it can neither renew
a verdict nor disturb a reader; a changed input, model or contract rebuilds what it touches.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, timedelta
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from interlock.contracts.model import Grain, Layer
from interlock.pipeline import deadlines
from interlock.pipeline.hindrances import Blocked

if TYPE_CHECKING:
    from interlock.pipeline.runs import Session
    from interlock.transform.lineage import Edge

Input = tuple[str, str, int | None]  # dataset, partition, version; None while this very run is building it


class Served(BaseModel):
    """What is served of one partition, and what stands against using it (`problem`, and where that began)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    partition: str
    version: int | None
    is_safe: bool
    is_judged_by_active_clauses: bool
    code_version: str | None
    problem: str
    began_in: str
    began_at: str
    is_missing: bool
    is_lapsed: bool  # intact, as far as anybody knows; only nobody has looked for longer than its lease
    is_awaited: bool  # another run is at work on it


class Group(BaseModel):
    """Models that one dbt invocation builds: they agree on which partitions of each input they see."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    partitions: dict[str, tuple[str, ...]]
    pins: dict[str, dict[str, int]]


class Plan(BaseModel):
    """The groups to build, in order, and what cannot be built."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    groups: tuple[Group, ...]
    blocked: tuple[Blocked, ...]


class Planner:
    """Plans one layer of one run from what is served at this moment."""

    def __init__(self, session: Session, layer: Layer) -> None:
        self._session = session
        self._catalog = session.catalog
        self._lineage = session.lineage
        self._datasets = [
            name
            for name in session.lineage.order
            if self._catalog[name].layer is layer and self._catalog[name].domain == session.run.domain
        ]
        self._served = self._read_served()
        self._inputs = self._read_inputs()
        self._building: dict[str, set[str]] = defaultdict(set)
        self._blocked: dict[tuple[str, str], Blocked] = {}
        self._forced: set[tuple[str, str]] = set()
        self._paused = session.paused({name: self._partitions(name) for name in self._datasets})

    def plan(self) -> Plan:
        """Which datasets to build for which partitions, in dependency order."""
        wanted = self._considered()
        while missing := self._half_built():
            self._forced |= missing
            wanted = self._considered()
        groups = tuple(self._group(names, wanted) for names in self._agreeing())
        return Plan(groups=groups, blocked=tuple(self._blocked.values()))

    def _group(self, names: list[str], wanted: dict[str, set[Input]]) -> Group:
        pins: dict[str, dict[str, int]] = {
            edge.upstream: {} for name in names for edge in self._lineage.upstream(name) if edge.upstream not in names
        }
        for dataset, partition, version in set().union(*(wanted[name] for name in names)):
            if version is not None:
                pins[dataset][partition] = version
        return Group(partitions={name: tuple(sorted(self._building[name])) for name in names}, pins=pins)

    def _considered(self) -> dict[str, set[Input]]:
        """What has to be built, inputs first, with the inputs that each dataset wants."""
        self._building.clear()
        self._blocked = dict(self._paused)
        wanted: dict[str, set[Input]] = {}
        for name in self._datasets:
            wanted[name] = set()
            for partition in self._partitions(name):
                self._consider(name, partition, wanted[name])
        return wanted

    def _half_built(self) -> set[tuple[str, str]]:
        """Partitions that a reader in this layer would miss: a name shows a candidate or what is served, never both."""
        return {
            (edge.upstream, partition)
            for name in self._datasets
            for edge in self._lineage.upstream(name)
            if edge.mapping == "same" and self._building.get(edge.upstream)
            for partition in self._building[name] - self._building[edge.upstream]
        }

    def _partitions(self, name: str) -> tuple[str, ...]:
        return self._session.run.days if self._catalog[name].partition.grain is Grain.DAY else ("all",)

    def _consider(self, name: str, partition: str, wanted: set[Input]) -> None:
        if (name, partition) in self._paused:
            return
        inputs: set[Input] = set()
        for edge in self._lineage.upstream(name):
            for upstream in self._mapped(edge, partition):
                found = self._input(edge.upstream, upstream)
                if isinstance(found, Blocked):
                    self._blocked[name, partition] = found.holds_back(name, partition)
                    return
                inputs.add(found)
        if (name, partition) not in self._forced and self._is_unchanged(name, partition, inputs):
            return
        self._building[name].add(partition)
        wanted |= inputs

    def _mapped(self, edge: Edge, partition: str) -> Iterable[str]:
        """The partitions of the upstream dataset that one partition of the reader is made from."""
        if self._catalog[edge.upstream].partition.grain is Grain.ALL:
            return ("all",)
        if edge.mapping == "same":
            return (partition,)
        # Of a window and of `all`, what was ever served must be read: left out, it would be missing from the result.
        known = {
            day
            for (dataset, day), served in self._served.items()
            if dataset == edge.upstream and (served.version is not None if edge.reopens else served.is_safe)
        } | self._building[edge.upstream]
        if edge.mapping == "all":
            return known
        first = _earlier(partition, edge.lookback)
        return {partition, *(day for day in known if first <= day <= partition)}

    def _input(self, dataset: str, partition: str) -> Input | Blocked:
        if partition in self._building[dataset]:
            return (dataset, partition, None)
        if (dataset, partition) in self._blocked:
            return self._blocked[dataset, partition]
        served = self._served.get((dataset, partition))
        if served is None or served.is_missing:
            return self._missing(dataset, partition, is_awaited=served is not None and served.is_awaited)
        if served.is_safe:
            return (dataset, partition, served.version)
        return Blocked(
            dataset=served.began_in,
            partition=served.began_at,
            reason=f"it is not safe: {served.problem}",
            fix="Run `interlock renew`: it looks whether what is served is intact." if served.is_lapsed else "",
            retry_helps=served.is_lapsed,
        )

    def _missing(self, dataset: str, partition: str, *, is_awaited: bool) -> Blocked:
        """An input without a version is waited for until it is due, and as long as somebody is at work on it."""
        contract = self._catalog[dataset]
        is_late = deadlines.has_passed(self._session, contract, partition) and not is_awaited
        due = f"; it was due by {deadlines.due(contract, partition):%Y-%m-%d %H:%M} UTC" if is_late else " yet"
        return Blocked(
            dataset=dataset,
            partition=partition,
            reason=f"it has no safe version{due}",
            fix=f"Run {contract.domain} for {partition} first.",
            retry_helps=not is_late,
        )

    def _is_unchanged(self, name: str, partition: str, inputs: set[Input]) -> bool:
        served = self._served.get((name, partition))
        return (
            served is not None
            and served.is_safe
            and served.is_judged_by_active_clauses
            and served.code_version == self._lineage.code_version(name)
            and self._inputs.get((name, partition), set()) == inputs
        )

    def _agreeing(self) -> list[list[str]]:
        """Datasets that map daily inputs one to one build together; any other mapping builds alone, after them."""
        together: list[list[str]] = []
        is_open = False
        for name in (name for name in self._datasets if self._building[name]):
            is_plain = all(
                edge.mapping == "same" or self._catalog[edge.upstream].partition.grain is Grain.ALL
                for edge in self._lineage.upstream(name)
            )
            if is_plain and is_open:
                together[-1].append(name)
            else:
                together.append([name])
            is_open = is_plain
        return together

    def _read_served(self) -> dict[tuple[str, str], Served]:
        since: dict[str, date | None] = dict.fromkeys(self._datasets)
        days = self._session.run.days
        for edge in (edge for name in self._datasets for edge in self._lineage.upstream(name)):
            since.setdefault(edge.upstream, None)
            if self._catalog[edge.upstream].partition.grain is Grain.DAY and edge.mapping != "same":
                is_window = edge.mapping == "window" and days
                first = date.fromisoformat(_earlier(min(days), edge.lookback)) if is_window else date.min
                since[edge.upstream] = min(first, since[edge.upstream] or date.max)
        rows = self._session.rows(
            "served.sql",
            datasets=list(since), since=list(since.values()), partitions=[*days, "all"],
        )  # fmt: skip
        fields = tuple(Served.model_fields)
        return {(row[0], row[1]): Served(**dict(zip(fields, row, strict=True))) for row in rows}

    def _read_inputs(self) -> dict[tuple[str, str], set[Input]]:
        found: dict[tuple[str, str], set[Input]] = defaultdict(set)
        rows = self._session.rows(
            "served_inputs.sql", datasets=self._datasets, partitions=[*self._session.run.days, "all"]
        )
        for dataset, partition, *input_of in rows:
            found[dataset, partition].add((input_of[0], input_of[1], input_of[2]))
        return found


def _earlier(day: str, days: int) -> str:
    return (date.fromisoformat(day) - timedelta(days=days)).isoformat()
