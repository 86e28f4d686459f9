"""Who reads whom, which partitions of it, and what stands on it: from dbt's manifest and contracts, never by hand.

Models that carry no contract (ephemeral steps, the time spine) are looked through, so that an edge
always joins two datasets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from interlock.contracts.loading import checks_of
from interlock.errors import PermanentFailure
from interlock.transform.project import manifest

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

    from interlock.contracts.model import Catalog, Contract

DBT_PACKAGES = ("dbt", "dbt_postgres")


class Edge(BaseModel):
    """One dataset read by another, with the partition mapping and whether a new version reopens the reader."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    upstream: str
    downstream: str
    mapping: str
    lookback: int = 0
    reopens: bool = True


class Dependent(BaseModel):
    """What stands on datasets without being one: a consumer (what dbt calls an exposure) or a metric."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["consumer", "metric"]
    name: str
    owner: str | None = None
    contact: str | None = None
    datasets: tuple[str, ...]


class Lineage:
    """The edges between the datasets of a catalog, the order to build them in, and the digest of their code."""

    def __init__(self, catalog: Catalog, parsed: Manifest | None = None) -> None:
        self._manifest = parsed or manifest()
        self._nodes = {
            node.name: unique_id
            for unique_id, node in (*self._manifest.nodes.items(), *self._manifest.sources.items())
            if node.resource_type in ("model", "source") and node.name in catalog
        }
        self.edges = tuple(self._edges(catalog))
        self._upstream: dict[str, list[Edge]] = {name: [] for name in self._nodes}
        for edge in self.edges:
            self._upstream[edge.downstream].append(edge)
        self._code_versions: dict[str, str] = {}
        try:
            inputs = {name: [edge.upstream for edge in into] for name, into in self._upstream.items()}
            self.order = tuple(TopologicalSorter(inputs).static_order())
        except CycleError as error:
            raise PermanentFailure(
                f"These datasets wait for each other, none can be built first: {', '.join(error.args[1])}.",
                fix="Take one of the checks that compare them with each other out of its contract.",
            ) from error

    @property
    def dependents(self) -> tuple[Dependent, ...]:
        """The consumers and the metrics of the project, with the datasets that each stands on."""
        consumers = (
            Dependent(
                kind="consumer",
                name=exposure.name,
                owner=exposure.owner.name,
                contact=_contact(exposure.owner.email),
                datasets=tuple(sorted(self._stands_on(exposure.unique_id))),
            )
            for exposure in self._manifest.exposures.values()
        )
        metrics = (
            Dependent(kind="metric", name=metric.name, datasets=tuple(sorted(self._stands_on(metric.unique_id))))
            for metric in self._manifest.metrics.values()
        )
        return (*consumers, *metrics)

    def upstream(self, dataset: str) -> tuple[Edge, ...]:
        """The edges into a dataset."""
        return tuple(self._upstream.get(dataset, ()))

    def has_model(self, dataset: str) -> bool:
        """Whether the dataset is built by dbt or is a source that dbt reads."""
        return dataset in self._nodes

    def code_version(self, dataset: str) -> str:
        """SHA-256 over the SQL that makes a dataset: its model, steps that are no datasets, and the macros called."""
        if dataset not in self._code_versions:
            nodes = [self._manifest.nodes[unique_id] for unique_id in sorted(self._code_of(dataset))]
            called = self._macros_of(macro for node in nodes for macro in node.depends_on.macros)
            digest = hashlib.sha256()
            for node in nodes:
                digest.update(node.raw_code.encode() + b"\0")
            for unique_id in sorted(called):
                digest.update(unique_id.encode() + b"\0" + self._manifest.macros[unique_id].macro_sql.encode() + b"\0")
            self._code_versions[dataset] = digest.hexdigest()
        return self._code_versions[dataset]

    def _macros_of(self, called: Iterable[str]) -> set[str]:
        """The macros that are reached from some, less those that come with dbt: a new dbt is no new model."""
        found: set[str] = set()
        pending = list(called)
        while pending:
            unique_id = pending.pop()
            macro = self._manifest.macros.get(unique_id)
            if macro is None or unique_id in found or macro.package_name in DBT_PACKAGES:
                continue
            found.add(unique_id)
            pending += macro.depends_on.macros
        return found

    def _code_of(self, dataset: str) -> set[str]:
        found: set[str] = set()
        pending = [self._nodes[dataset]]
        while pending:
            unique_id = pending.pop()
            if unique_id in found or unique_id not in self._manifest.nodes:
                continue
            found.add(unique_id)
            pending += [p for p in self._manifest.nodes[unique_id].depends_on.nodes if not self._is_dataset(p)]
        return found

    def _is_dataset(self, unique_id: str) -> bool:
        node = self._manifest.nodes.get(unique_id) or self._manifest.sources.get(unique_id)
        return node is not None and self._nodes.get(node.name) == unique_id

    def _parents(self, unique_id: str) -> set[str]:
        """Names of the datasets that a node reads, looking through whatever is none."""
        names: set[str] = set()
        for parent in self._manifest.nodes[unique_id].depends_on.nodes:
            node = self._manifest.nodes.get(parent) or self._manifest.sources.get(parent)
            if node is None:
                continue
            if parent in self._manifest.sources and not self._is_dataset(parent):
                raise PermanentFailure(
                    f"{self._manifest.nodes[unique_id].name} reads the source {node.name}, which has no contract.",
                    fix=f"Put the contract of {node.name} back, or take it out of the models that read it.",
                )
            names |= {node.name} if self._is_dataset(parent) else self._parents(parent)
        return names

    def _stands_on(self, unique_id: str) -> set[str]:
        """Names of the datasets below a consumer or a metric, through the metrics and models that are none."""
        node = self._manifest.expect(unique_id)
        if self._is_dataset(unique_id):
            return {node.name}
        return set[str]().union(*(self._stands_on(below) for below in node.depends_on_nodes))

    def _compared(self, contract: Contract) -> set[str]:
        """Datasets that a contract's checks look at: inputs too, for a gate sees only what was built or pinned."""
        named = {str(check.arguments["dataset"]) for check in checks_of(contract) if "dataset" in check.arguments}
        return (named & set(self._nodes)) - {contract.dataset}

    def _edges(self, catalog: Catalog) -> list[Edge]:
        edges = []
        for name, unique_id in self._nodes.items():
            if unique_id not in self._manifest.nodes:
                continue
            contract = catalog[name]
            declared = {item.dataset: item for item in contract.inputs}
            for upstream in sorted(self._parents(unique_id) | self._compared(contract)):
                given = declared.get(upstream)
                is_same = catalog[upstream].partition.grain is contract.partition.grain
                edges.append(
                    Edge(
                        upstream=upstream,
                        downstream=name,
                        mapping=str(given.mapping) if given else ("same" if is_same else "all"),
                        lookback=given.lookback or 0 if given else 0,
                        reopens=given.reopens if given and given.reopens is not None else is_same,
                    )
                )
        return edges


def _contact(email: str | list[str] | None) -> str | None:
    return ", ".join(email) if isinstance(email, list) else email
