"""Partitions: which there are, why one is as it is, and which versions of it there were."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from interlock.api import paging
from interlock.api.caching import conditional
from interlock.api.filters import Filter, listing, require_known
from interlock.api.identity import Caller, Reader
from interlock.api.paging import Page
from interlock.api.problems import answers
from interlock.api.selecting import PartitionName, partition_of, require_words, selection
from interlock.api.state import ReadableDataset
from interlock.contracts.loading import readable_contracts
from interlock.control.questions import Right
from interlock.control.radii import radius
from interlock.control.records import Radius
from interlock.db.listing import LARGEST
from interlock.publishing import versions
from interlock.publishing.versions import Difference, Versions
from interlock.quality.disclosure import disclosed
from interlock.safety import partitions
from interlock.safety.answer import Answer, State
from interlock.safety.cause_paths import CausePath, cause_path
from interlock.safety.datasets import disclosed_answer
from interlock.safety.explanations import Judgement, explain
from interlock.safety.partitions import PartitionState

router = APIRouter(tags=["partitions"])

Filtered = Annotated[Filter, listing("state", "partition", "partition_from", "partition_to")]


class PartitionDetail(BaseModel):
    """A partition's answer with its evidence, the root of the trouble first. `note` says what is lacking of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    answer: Answer
    judgements: tuple[Judgement, ...]
    rebuild_queued_at: datetime | None
    run_id: int | None
    published_at: datetime | None
    rows: int | None
    note: str
    cause_path: CausePath


@router.get("/datasets/{dataset}/partitions", response_model=Page[PartitionState], responses=answers(304, 404))
def list_partitions(dataset: ReadableDataset, wanted: Filtered, caller: Reader, request: Request) -> Response:
    """The partitions of a dataset, newest first."""
    require_words(wanted.state, State, "state")
    of_list = f"partitions of {dataset.name}"
    found = partitions.partitions(dataset.name, selection(wanted, caller, of_list))
    page = paging.page(found, wanted.limit, of_list, lambda item: [item.partition])
    return conditional(request, Page[PartitionState](**page))


@router.get("/datasets/{dataset}/partitions/{partition}", response_model=PartitionDetail, responses=answers(304, 404))
def partition_detail(dataset: ReadableDataset, partition: PartitionName, caller: Reader, request: Request) -> Response:
    """Why it is as it is: the answer, the evidence of every verdict behind it, and the way that the cause took."""
    detail = _detail(dataset.name, partition_of(dataset, partition), caller)
    return conditional(request, detail, valid_until=detail.answer.valid_until)


@router.get("/datasets/{dataset}/partitions/{partition}/versions", response_model=Versions, responses=answers(304, 404))
def versions_of_partition(dataset: ReadableDataset, partition: PartitionName, request: Request) -> Response:
    """What was loaded or built of it, the newest first: what is served, held, withdrawn, and from which inputs."""
    return conditional(request, versions.versions(dataset.name, partition_of(dataset, partition)))


@router.get(
    "/datasets/{dataset}/partitions/{partition}/difference", response_model=Difference, responses=answers(304, 404, 409)
)
def difference_of_versions(
    dataset: ReadableDataset,
    partition: PartitionName,
    request: Request,
    before: Annotated[int, Query(alias="from", ge=1, le=LARGEST, description="A version of it.")],
    after: Annotated[int, Query(alias="to", ge=1, le=LARGEST, description="Another version of it.")],
) -> Response:
    """How two versions differ: rows that only one has, rows that changed, and in which columns. Counts alone."""
    require_known(request, "from", "to")
    found = versions.difference(dataset.name, partition_of(dataset, partition), before, after)
    return conditional(request, found)


@router.get("/datasets/{dataset}/partitions/{partition}/radius", response_model=Radius, responses=answers(304, 404))
def radius_of_partition(dataset: ReadableDataset, partition: PartitionName, request: Request) -> Response:
    """What hangs on it: partitions downstream, consumers and metrics."""
    return conditional(request, radius(dataset.name, [partition_of(dataset, partition)]))


def _detail(dataset: str, partition: str, caller: Caller) -> PartitionDetail:
    explanation = explain(dataset, partition)
    contracts = readable_contracts()
    judgements = tuple(
        judgement.model_copy(update={"findings": disclosed(judgement.findings, contracts.get(judgement.dataset))})
        for judgement in explanation.judgements
        if caller.may(Right.READ, judgement.domain)
    )
    hidden = len(explanation.judgements) - len(judgements)
    state = partitions.partition(dataset, partition)
    return PartitionDetail(
        answer=disclosed_answer(explanation.answer),
        judgements=judgements,
        rebuild_queued_at=explanation.rebuild_queued_at,
        run_id=state.run_id if state else None,
        published_at=state.published_at if state else None,
        rows=state.rows if state else None,
        note=f"{hidden} of the verdicts behind it are of domains that you may not read."
        if hidden
        else explanation.note,
        cause_path=cause_path(dataset, partition),
    )
