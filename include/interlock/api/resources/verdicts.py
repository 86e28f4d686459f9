"""Verdicts: what the gates said, and on what evidence."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Request, Response

from interlock.api import paging
from interlock.api.caching import conditional
from interlock.api.filters import Filter, listing, require_known
from interlock.api.identity import Reader
from interlock.api.paging import Page
from interlock.api.problems import answers
from interlock.api.selecting import Number, require_words, selection
from interlock.contracts.model import Layer
from interlock.control.questions import Right
from interlock.quality import verdicts
from interlock.quality.verdicts import Verdict, VerdictDetail

router = APIRouter(tags=["verdicts"])

FIELDS = ("domain", "dataset", "layer", "state", "partition", "partition_from", "partition_to", "since", "until")
Filtered = Annotated[Filter, listing(*FIELDS)]


class Outcome(StrEnum):
    """What a verdict can be: the `state` of this list."""

    PASSED = "passed"
    FAILED = "failed"


@router.get("/verdicts", response_model=Page[Verdict], responses=answers(304))
def list_verdicts(wanted: Filtered, caller: Reader, request: Request) -> Response:
    """Verdicts, newest first; `state` is passed or failed."""
    require_words(wanted.layer, Layer, "layer")
    require_words(wanted.state, Outcome, "state")
    found = verdicts.verdicts(selection(wanted, caller, "verdicts"))
    page = paging.page(found, wanted.limit, "verdicts", lambda item: [item.verdict_id])
    return conditional(request, Page[Verdict](**page))


@router.get("/verdicts/{verdict_id}", response_model=VerdictDetail, responses=answers(304, 404))
def verdict_detail(verdict_id: Number, caller: Reader, request: Request) -> Response:
    """One verdict with every finding, the failed ones first."""
    require_known(request)
    found = verdicts.verdict(verdict_id)
    caller.require(Right.READ, [found.domain])
    return conditional(request, found)
