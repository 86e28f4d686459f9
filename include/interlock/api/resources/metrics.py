"""Canonical metrics: each has one definition, and no value leaves without its safety."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from interlock.api import paging
from interlock.api.caching import conditional
from interlock.api.filters import Filter, listing
from interlock.api.identity import Caller, Reader
from interlock.api.paging import Page
from interlock.api.problems import answers
from interlock.api.recording import Recorded
from interlock.control.questions import Right
from interlock.db.disclosure import told
from interlock.errors import UsageError
from interlock.safety.answer import Reason
from interlock.transform import metric_listing, metrics
from interlock.transform.metric_listing import MetricHistory, MetricSummary
from interlock.transform.metrics import MetricAnswer, MetricRow, PartitionSafety, Value

router = APIRouter(tags=["metrics"])

FIRST, LAST, MOST_DAYS = date(1970, 1, 1), date(2199, 12, 31), 4000
Filtered = Annotated[Filter, listing("domain", "dataset")]
MetricName = Annotated[str, Path(max_length=200)]


class Days(BaseModel):
    """Whole days, both ends included."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: date | None = Field(default=None, description="First day; else the first that is known.")
    end: date | None = Field(default=None, description="Last day; else the last that is known.")


class Asked(Days):
    """Whole days, and by what the value is grouped."""

    group_by: list[Annotated[str, Field(max_length=200)]] = Field(
        default=[], max_length=10, description="Dimensions of the metric, in order."
    )


class MetricEnvelope(BaseModel):
    """A value with what it stands on: it is of the safe days alone, and `safe` only where that is all that were asked
    for. `contract_versions` are those that the verdicts stand on, by dataset; `inputs` each partition.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str
    description: str
    value: Value
    safe: bool
    reasons: tuple[Reason, ...]
    as_of: datetime
    valid_until: datetime | None
    contract_versions: dict[str, tuple[str, ...]]
    inputs: tuple[PartitionSafety, ...]
    start: date | None
    end: date | None
    group_by: tuple[str, ...]
    rows: tuple[MetricRow, ...]
    bootstrapped: bool
    warnings: int
    clock_offset_seconds: float | None


@router.get("/metrics", response_model=Page[MetricSummary], responses=answers(304))
def list_metrics(wanted: Filtered, caller: Reader, request: Request) -> Response:
    """The metrics whose data the caller may read, by name."""
    cut = wanted.within(caller)
    after = paging.after("metrics", wanted.cursor, 1)
    found = [
        summary
        for summary in metric_listing.summaries()
        if (after is None or summary.metric > str(after[0]))
        and all(caller.may(Right.READ, domain) for domain in summary.domains)
        and (not cut.domain or set(cut.domain) & set(summary.domains))
        and (not cut.dataset or set(cut.dataset) & set(summary.datasets))
    ]
    page = paging.page(found[: wanted.limit + 1], wanted.limit, "metrics", lambda item: [item.metric])
    return conditional(request, Page[MetricSummary](**page))


@router.get("/metrics/{metric}", response_model=MetricEnvelope, responses=answers(304, 404))
def metric_value(
    metric: MetricName, asked: Annotated[Asked, Query()], caller: Reader, recording: Recorded, request: Request
) -> Response:
    """The value over whole days, and whether it is safe to act on."""
    _require_readable(metric, caller, asked)
    answer = metrics.metric(metric, tuple(asked.group_by), asked.start, asked.end)
    recording.given(answer)
    return conditional(request, _envelope(answer), valid_until=answer.valid_until)


@router.get("/metrics/{metric}/history", response_model=MetricHistory, responses=answers(304, 404))
def metric_history(
    metric: MetricName, asked: Annotated[Days, Query()], caller: Reader, recording: Recorded, request: Request
) -> Response:
    """The value day by day; a day that is not safe has none, and says in which state it is."""
    _require_readable(metric, caller, asked)
    found, answer = metric_listing.history(metric, asked.start, asked.end)
    recording.given(answer)
    return conditional(request, found, valid_until=found.valid_until)


def _require_readable(metric: str, caller: Caller, asked: Days) -> None:
    """Refuses a metric whose data the caller may not read, and days that nobody has data of."""
    caller.require(Right.READ, metric_listing.summary(metric).domains)
    if any(day is not None and not FIRST <= day <= LAST for day in (asked.start, asked.end)):
        raise UsageError("A day lies outside of what this platform can know.", fix=f"Use days from {FIRST} to {LAST}.")
    if asked.start is not None and asked.end is not None and (asked.end - asked.start).days > MOST_DAYS:
        raise UsageError(
            f"{asked.start} to {asked.end} is longer than {MOST_DAYS} days.", fix="Ask for less at a time."
        )


def _envelope(answer: MetricAnswer) -> MetricEnvelope:
    versions: dict[str, set[str]] = {}
    for part in answer.partitions:
        versions.setdefault(part.dataset, set()).add(part.contract_version)
    carried = {name: getattr(answer, name) for name in MetricEnvelope.model_fields if name in MetricAnswer.model_fields}
    reasons = tuple(reason.model_copy(update={"message": told(reason.message)}) for reason in answer.reasons)
    return MetricEnvelope(
        **carried | {"reasons": reasons},
        contract_versions={dataset: tuple(sorted(found)) for dataset, found in sorted(versions.items())},
        inputs=answer.partitions,
    )
