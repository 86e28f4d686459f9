"""What a layer has to build: exactly the partitions whose inputs, code or clauses differ from what is served.

A rerun of something that did not change builds nothing and judges nothing, so it can neither renew
a verdict nor disturb a reader; a changed input, model or contract rebuilds what it touches.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from interlock.contracts.loading import checks_of
from interlock.contracts.model import Grain, Layer
from interlock.db.connection import Role, statement
from interlock.pipeline.runs import Blocked

if TYPE_CHECKING:
    from interlock.pipeline.runs import Session
    from interlock.transform.lineage import Edge

Input = tuple[str, str, int | None]  # dataset, partition, version; None while this very run is building it


class Served(BaseModel):
    """What is served of one partition."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int | None
    is_safe: bool
    is_judged_by_active_clauses: bool
    code_version: str | None
    problem: str
    is_missing: bool


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
        upstream = {edge.upstream for name in self._datasets for edge in self._lineage.upstream(name)}
        self._compared = {name: self._compared_with(name) for name in self._datasets}
        self._served = self._read_served([*self._datasets, *upstream, *(n for names in self._compared.values() for n in names)])
        self._inputs = self._read_inputs(self._datasets)
        self._building: dict[str, set[str]] = defaultdict(set)
        self._blocked: dict[tuple[str, str], Blocked] = {}
        self._forced: set[tuple[str, str]] = set()

    def plan(self) -> Plan:
        """Which datasets to build for which partitions, in dependency order."""
        wanted = self._considered()
        while missing := self._half_built():
            self._forced |= missing
            wanted = self._considered()
        groups: list[Group] = []
        for names in self._agreeing():
            pins: dict[str, dict[str, int]] = defaultdict(dict)
            for name in names:
                for edge in self._lineage.upstream(name):
                    if edge.upstream not in names:
                        pins.setdefault(edge.upstream, {})
                for dataset, partition, version in wanted[name]:
                    if dataset not in names and version is not None:
                        pins[dataset][partition] = version
                for dataset in self._compared[name] - set(names) - {d for group in groups for d in group.partitions}:
                    pins[dataset] |= self._safe_versions(dataset, self._building[name])
            groups.append(
                Group(partitions={name: tuple(sorted(self._building[name])) for name in names}, pins=dict(pins))
            )
        return Plan(groups=tuple(groups), blocked=tuple(self._blocked.values()))

    def _compared_with(self, name: str) -> set[str]:
        """Other datasets that the checks of a dataset look at: its gate must find them in the workspace, inputs or not."""
        named = {check.arguments.get("dataset") for check in checks_of(self._catalog[name])}
        return {other for other in named if other in self._catalog and self._catalog[other].layer is not Layer.RAW}

    def _safe_versions(self, dataset: str, partitions: set[str]) -> dict[str, int]:
        """What may be pinned of a dataset for these partitions: what is not safe is left out, and its checks then fail."""
        return {
            partition: served.version
            for (name, partition), served in self._served.items()
            if name == dataset and served.is_safe and served.version and (partition == "all" or partition in partitions)
        }

    def _considered(self) -> dict[str, set[Input]]:
        """What has to be built, inputs first, with the inputs that each dataset wants."""
        self._building.clear()
        self._blocked.clear()
        wanted: dict[str, set[Input]] = {}
        for name in self._datasets:
            wanted[name] = set()
            for partition in self._partitions(name):
                self._consider(name, partition, wanted[name])
        return wanted

    def _half_built(self) -> set[tuple[str, str]]:
        """Partitions that a reader in this layer would miss: a name shows either a candidate or what is served, never both."""
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
        inputs: set[Input] = set()
        for edge in self._lineage.upstream(name):
            for upstream in self._mapped(edge, partition):
                found = self._input(edge.upstream, upstream)
                if isinstance(found, Blocked):
                    self._blocked[name, partition] = found.model_copy(update={"dataset": name, "partition": partition})
                    return
                inputs.add(found)
        if (name, partition) not in self._forced and self._is_unchanged(name, partition, inputs):
            return
        self._building[name].add(partition)
        wanted |= inputs

    def _mapped(self, edge: Edge, partition: str) -> list[str]:
        """The partitions of the upstream dataset that one partition of the reader is made from."""
        upstream_is_daily = self._catalog[edge.upstream].partition.grain is Grain.DAY
        if not upstream_is_daily:
            return ["all"]
        if edge.mapping == "same":
            return [partition]
        known = sorted(
            day for (dataset, day), served in self._served.items() if dataset == edge.upstream and served.is_safe
        )
        known = sorted({*known, *self._building[edge.upstream]})
        if edge.mapping == "window":
            first = str(date.fromisoformat(partition) - timedelta(days=edge.lookback))
            return sorted({partition, *(day for day in known if first <= day <= partition)})
        return known

    def _input(self, dataset: str, partition: str) -> Input | Blocked:
        if partition in self._building[dataset]:
            return (dataset, partition, None)
        if (dataset, partition) in self._blocked:
            return self._blocked[dataset, partition]
        served = self._served.get((dataset, partition))
        if served is not None and served.is_safe and served.version is not None:
            return (dataset, partition, served.version)
        is_missing = served is None or served.is_missing
        reason = "has no safe version yet" if is_missing else f"is not safe: {served.problem}" if served else ""
        return Blocked(
            dataset=dataset,
            partition=partition,
            reason=f"its input {dataset} {partition} {reason}",
            retry_helps=is_missing,
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
        """Datasets that map their daily inputs one to one build together; any other mapping builds alone, after its inputs."""
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

    def _read_served(self, datasets: list[str]) -> dict[tuple[str, str], Served]:
        rows = self._session.connection(Role.OPERATOR).execute(statement("pipeline/served.sql"), {"datasets": datasets})
        return {
            (dataset, partition): Served(
                version=version,
                is_safe=is_safe,
                is_judged_by_active_clauses=is_current,
                code_version=code,
                problem=problem,
                is_missing=is_missing,
            )
            for dataset, partition, version, is_safe, is_current, code, problem, is_missing in rows
        }

    def _read_inputs(self, datasets: list[str]) -> dict[tuple[str, str], set[Input]]:
        found: dict[tuple[str, str], set[Input]] = defaultdict(set)
        rows = self._session.connection(Role.OPERATOR).execute(
            statement("pipeline/served_inputs.sql"),
            {"datasets": datasets, "partitions": [*self._session.run.partitions, "all"]},
        )
        for dataset, partition, *input_of in rows:
            found[dataset, partition].add((input_of[0], input_of[1], input_of[2]))
        return found
