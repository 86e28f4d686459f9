"""Datasets: what there is, how each stands, what its contract promises, and what its partitions measured."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict
from pydantic_core import to_jsonable_python

from interlock.api import paging
from interlock.api.caching import conditional
from interlock.api.filters import Filter, listing, require_known
from interlock.api.identity import Reader
from interlock.api.paging import Page
from interlock.api.problems import answers
from interlock.api.selecting import require_words, selection
from interlock.api.state import ReadableDataset
from interlock.contracts.loading import checks_of, readable_contracts
from interlock.contracts.model import Layer
from interlock.contracts.showing import sentences
from interlock.errors import Unknown
from interlock.quality.trends import Measures, measures
from interlock.safety import datasets
from interlock.safety.answer import State
from interlock.safety.datasets import DatasetDetail, DatasetSummary

router = APIRouter(tags=["datasets"])

Filtered = Annotated[Filter, listing("domain", "dataset", "layer", "state")]


class CheckWords(BaseModel):
    """One check of a contract, as a gate runs it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    clause: str
    words: str
    severity: str
    blocking: bool


class ContractWords(BaseModel):
    """A contract as it is filed, and in sentences. `active_version` is what the gates judge by now."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    version: str
    active_version: str
    document: dict[str, Any]
    words: tuple[str, ...]
    checks: tuple[CheckWords, ...]


@router.get("/datasets", response_model=Page[DatasetSummary], responses=answers(304))
def list_datasets(wanted: Filtered, caller: Reader, request: Request) -> Response:
    """Every dataset that the caller may read, by name."""
    require_words(wanted.layer, Layer, "layer")
    require_words(wanted.state, State, "state")
    found = datasets.datasets(selection(wanted, caller, "datasets"))
    page = paging.page(found, wanted.limit, "datasets", lambda item: [item.dataset])
    return conditional(request, Page[DatasetSummary](**page))


@router.get("/datasets/{dataset}", response_model=DatasetDetail, responses=answers(304, 404))
def dataset_detail(dataset: ReadableDataset, request: Request) -> Response:
    """One dataset: its columns, what it reads, what reads it, and who stands on it."""
    found = datasets.dataset(dataset.name)
    return conditional(request, found, valid_until=found.valid_until)


@router.get("/datasets/{dataset}/contract", response_model=ContractWords, responses=answers(304, 404))
def contract_of_dataset(dataset: ReadableDataset, request: Request) -> Response:
    """What it promises: the contract in words, clause by clause, and as it is filed."""
    contract = readable_contracts().get(dataset.name)
    if contract is None:
        raise Unknown(
            f"{dataset.name} has no contract in this checkout.", fix="It was retired, or is another checkout's."
        )
    checks = (
        CheckWords(clause=check.id, words=check.expected, severity=check.severity, blocking=check.severity.blocks)
        for check in checks_of(contract)
    )
    words = ContractWords(
        dataset=contract.dataset,
        version=contract.version,
        active_version=datasets.active_contract(dataset.name),
        document=to_jsonable_python(dict(contract.document), fallback=str),
        words=tuple(sentences(contract)),
        checks=tuple(checks),
    )
    return conditional(request, words)


@router.get("/datasets/{dataset}/measures", response_model=Measures, responses=answers(304, 404))
def measures_of_dataset(
    dataset: ReadableDataset,
    request: Request,
    partition_from: Annotated[date | None, Query(description="From this day on; else the newest 90.")] = None,
    partition_to: Annotated[date | None, Query(description="To this day.")] = None,
) -> Response:
    """What its partitions measured over time, with what was to be expected of each."""
    require_known(request, "partition_from", "partition_to")
    return conditional(request, measures(dataset.name, partition_from, partition_to))
