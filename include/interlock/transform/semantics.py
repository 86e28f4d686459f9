"""What the canonical metrics are, and the SQL that computes them, from dbt's semantic models through MetricFlow.

Asking for a metric must not cost the start of dbt (seconds) or of MetricFlow (most of one): what can be
asked, and each statement once it was compiled, is kept under a hash of the project and its contracts, and
nothing that was kept under another hash is used.

A compiled statement reads `safe.<dataset>` alone, and of a dataset with days only the days that are asked
for. MetricFlow's own time constraint is not used for that: it widens to the grain of the answer (a month
for a month), so that more days would be read than safety was asked of, and it truncates the column, which
keeps PostgreSQL from pruning partitions.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from interlock.errors import PermanentFailure, Unknown, UsageError
from interlock.settings import settings
from interlock.transform.project import project_digest

GRAINS = ("day", "week", "month", "quarter", "year")
SCHEMA = "safe"
# dbt and MetricFlow are no places for two threads at once; to define is part of to compile.
_making = threading.RLock()


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Definition(_Kept):
    """A metric as dbt defines it. `group_by` maps what a person may write to MetricFlow's name for it."""

    name: str
    label: str
    description: str
    group_by: Mapping[str, str]


class Definitions(_Kept):
    """Everything that may be asked, by name, with the manifest (relations rewritten to `safe`) to compile it from."""

    metrics: Mapping[str, Definition]
    manifest: Mapping[str, Any]


class Statement(_Kept):
    """The SQL of one metric. `datasets` maps each dataset that it reads to its partition column, null for `all`."""

    sql: str
    datasets: Mapping[str, str | None]


Item = TypeVar("Item", bound=_Kept)


def definitions() -> Definitions:
    """The canonical metrics of the project as it is now."""
    return _kept("definitions", Definitions, _define)


def definition(metric: str) -> Definition:
    """One metric's definition; Unknown with all that exist where there is no such metric."""
    found = definitions().metrics
    if metric not in found:
        raise Unknown(f"There is no metric {metric!r}.", fix=f"Ask for one of: {', '.join(sorted(found))}.")
    return found[metric]


def statement(metric: str, group_by: tuple[str, ...]) -> Statement:
    """The SQL of a metric, grouped by dimensions in the words of its definition."""
    known = definition(metric).group_by
    for name in group_by:
        if name not in known:
            short = sorted(item for item in known if "__" not in item)
            raise UsageError(
                f"{metric} cannot be grouped by {name!r}.",
                fix=f"Group it by any of: {', '.join(short)}; a time also as `metric_time__month` and its like.",
            )
    columns = tuple(known[name] for name in group_by)
    if len(set(columns)) < len(columns):
        raise UsageError(f"{', '.join(group_by)} names one dimension twice.", fix="Name each dimension once.")
    name = hashlib.sha256(json.dumps([metric, *columns]).encode()).hexdigest()[:16]
    return _kept(name, Statement, lambda: _compile(metric, columns))


def relation(dataset: str) -> str:
    """How a dataset is named in the SQL of a statement."""
    return f'"{SCHEMA}"."{dataset}"'


def _kept(name: str, kind: type[Item], make: Callable[[], Item]) -> Item:
    """What was made from exactly these files before, or made and kept now."""
    folder = settings().state / "dbt" / f"metrics-{_digest()[:16]}"
    file = folder / f"{name}.json"
    with _making:
        try:
            return kind.model_validate_json(file.read_bytes())
        except (FileNotFoundError, ValidationError):
            made = make()
    folder.mkdir(parents=True, exist_ok=True)
    written = folder / f"{name}.{os.getpid()}"
    written.write_text(made.model_dump_json(), encoding="utf-8")
    written.replace(file)
    return made


def _digest() -> str:
    """SHA-256 over the project, the contracts (they name the partition columns) and this module."""
    digest = hashlib.sha256(project_digest().encode())
    for file in (*sorted((settings().root / "include" / "contracts").rglob("*.yaml")), Path(__file__)):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def _define() -> Definitions:
    from dbt.contracts.graph.semantic_manifest import SemanticManifest

    from interlock.transform.project import manifest

    document = json.loads(SemanticManifest(manifest())._get_pydantic_semantic_manifest().json())
    for model in document["semantic_models"]:
        node = model["node_relation"]
        node.update(schema_name=SCHEMA, database=None, relation_name=relation(node["alias"]))
    engine = _engine(document)
    metrics = {
        metric["name"]: Definition(
            name=metric["name"],
            label=metric["label"] or metric["name"],
            description=metric["description"] or "",
            group_by=_group_by(engine, metric["name"]),
        )
        for metric in document["metrics"]
    }
    return Definitions(metrics=metrics, manifest=document)


def _group_by(engine: Any, metric: str) -> dict[str, str]:
    """Short and full names of a metric's dimensions; a short name that two of them share is left out."""
    names: dict[str, str] = {}
    shared: set[str] = set()
    for dimension in engine.simple_dimensions_for_metrics([metric]):
        full = dimension.granularity_free_dunder_name
        is_time = dimension.type.value == "time"
        for grain in ("", *(GRAINS if is_time else ())):
            target = f"{full}__{grain or 'day'}" if is_time else full
            for written in {f"{stem}__{grain}" if grain else stem for stem in (dimension.name, full)}:
                if names.setdefault(written, target) != target:
                    shared.add(written)
    return {written: target for written, target in sorted(names.items()) if written not in shared}


def _compile(metric: str, columns: tuple[str, ...]) -> Statement:
    from metricflow.engine.metricflow_engine import MetricFlowQueryRequest, OutputColumnOrderMode
    from metricflow_semantics.errors.error_classes import InvalidQueryException

    manifest = definitions().manifest
    request = MetricFlowQueryRequest.create(
        metric_names=[metric],
        group_by_names=list(columns) or None,
        order_by_names=list(columns) or None,
        output_column_order_mode=OutputColumnOrderMode.INPUT_ORDER,
    )
    try:
        sql = _engine(manifest).explain(request).sql_statement.without_descriptions.sql
    except InvalidQueryException as error:
        raise UsageError(
            f"MetricFlow cannot compute {metric} by {', '.join(columns) or 'nothing'}: {error}",
            fix="Choose other dimensions.",
        ) from error
    aliases = {model["node_relation"]["alias"] for model in manifest["semantic_models"]}
    return Statement(
        sql=sql, datasets={name: _partition_column(name) for name in sorted(aliases) if relation(name) in sql}
    )


def _partition_column(dataset: str) -> str | None:
    from interlock.contracts.loading import load_contracts

    contract = load_contracts().get(dataset)
    if contract is None:
        raise PermanentFailure(
            f"A semantic model reads {dataset}, which has no contract, so nobody could say whether it is safe.",
            fix=f"Write a contract for {dataset}, or let the semantic model read a dataset that has one.",
        )
    return contract.partition.column


def _engine(document: Mapping[str, Any]) -> Any:
    from metricflow.engine.metricflow_engine import MetricFlowEngine
    from metricflow.protocols.sql_client import SqlEngine
    from metricflow.sql.render.postgres import PostgresSQLSqlPlanRenderer
    from metricflow_semantics.model.dbt_manifest_parser import parse_manifest_from_dbt_generated_manifest
    from metricflow_semantics.model.semantic_manifest_lookup import SemanticManifestLookup

    class Compiler:
        """A client that only compiles: what is executed, and as whom, is decided in `interlock.transform.metrics`."""

        sql_engine_type = SqlEngine.POSTGRES
        sql_plan_renderer = PostgresSQLSqlPlanRenderer()

    parsed = parse_manifest_from_dbt_generated_manifest(manifest_json_string=json.dumps(document))
    return MetricFlowEngine(semantic_manifest_lookup=SemanticManifestLookup(parsed), sql_client=Compiler())
