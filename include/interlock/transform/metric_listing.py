"""Which canonical metrics there are, what each is made of, and how each went over time, with its safety beside it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from interlock.contracts.loading import load_contracts
from interlock.contracts.model import Catalog
from interlock.safety.answer import State
from interlock.safety.answers import ALL
from interlock.transform import metrics, semantics
from interlock.transform.metrics import MetricAnswer, PartitionSafety, Value

BY_DAY = "metric_time__day"
# The worst first: what a day is told by, of the datasets that its value rests on.
WORST = (State.UNSAFE, State.QUARANTINED, State.CHECKING, State.UNKNOWN, State.REBUILDING, State.SAFE)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MetricSummary(_Part):
    """One metric: its one definition, in words and as the SQL that computes it, and whose data it is made of."""

    metric: str
    label: str
    description: str
    type: str
    expression: str | None
    datasets: tuple[str, ...]
    domains: tuple[str, ...]
    owners: tuple[str, ...]
    dimensions: tuple[str, ...]
    sql: str


class MetricPoint(_Part):
    """The metric's value of one day; null where the day is not safe, or no value is defined."""

    partition: str
    value: Value
    safe: bool
    state: State


class MetricHistory(_Part):
    """A metric day by day, oldest first."""

    metric: str
    start: date | None
    end: date | None
    points: tuple[MetricPoint, ...]
    as_of: datetime
    valid_until: datetime | None
    clock_offset_seconds: float | None


def summaries() -> list[MetricSummary]:
    """Every metric, by name."""
    known = semantics.definitions()
    catalog = load_contracts()
    filed = {item["name"]: item for item in known.manifest["metrics"]}
    return [_summary(known.metrics[name], filed[name], catalog) for name in sorted(known.metrics)]


def summary(metric: str) -> MetricSummary:
    """One of them. Raises Unknown with all that exist."""
    definition = semantics.definition(metric)
    filed = next(item for item in semantics.definitions().manifest["metrics"] if item["name"] == metric)
    return _summary(definition, filed, load_contracts())


def history(metric: str, start: date | None = None, end: date | None = None) -> tuple[MetricHistory, MetricAnswer]:
    """A metric day by day, and the answer that it was taken from. Raises as `metrics.metric` does."""
    answer = metrics.metric(metric, (BY_DAY,), start, end)
    values = {str(row.group[BY_DAY]): row.value for row in answer.rows}
    told = MetricHistory(
        metric=metric,
        start=answer.start,
        end=answer.end,
        points=tuple(_points(answer, values)),
        as_of=answer.as_of,
        valid_until=answer.valid_until,
        clock_offset_seconds=answer.clock_offset_seconds,
    )
    return told, answer


def _points(answer: MetricAnswer, values: dict[str, Value]) -> Iterator[MetricPoint]:
    """A day is safe where every dataset is that the value rests on, those without days included."""
    whole = [part for part in answer.partitions if part.partition == ALL]
    by_day: dict[str, list[PartitionSafety]] = {}
    for part in answer.partitions:
        if part.partition != ALL:
            by_day.setdefault(part.partition, []).append(part)
    for day, own in sorted(by_day.items()):
        parts = own + whole
        safe = all(part.safe for part in parts)
        state = min((part.state for part in parts), key=WORST.index)
        yield MetricPoint(partition=day, value=values.get(day) if safe else None, safe=safe, state=state)


def _summary(definition: semantics.Definition, filed: dict[str, Any], catalog: Catalog) -> MetricSummary:
    compiled = semantics.statement(definition.name, ())
    contracts = [catalog[dataset] for dataset in compiled.datasets]
    return MetricSummary(
        metric=definition.name,
        label=definition.label,
        description=definition.description,
        type=str(filed["type"]),
        expression=(filed.get("type_params") or {}).get("expr"),
        datasets=tuple(compiled.datasets),
        domains=tuple(sorted({contract.domain for contract in contracts})),
        owners=tuple(sorted({contract.owner for contract in contracts})),
        dimensions=tuple(sorted(name for name in definition.group_by if "__" not in name)),
        sql=compiled.sql,
    )
