"""Quarantine: rows that a gate set aside, and versions that an action withdrew."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response

from interlock.api import paging
from interlock.api.caching import conditional
from interlock.api.filters import Filter, listing
from interlock.api.identity import Reader
from interlock.api.paging import Page
from interlock.api.problems import answers
from interlock.api.selecting import require_words, selection
from interlock.publishing import quarantine
from interlock.publishing.quarantine import Kind, Quarantined, State

router = APIRouter(tags=["quarantine"])

FIELDS = ("domain", "dataset", "state", "kind", "partition", "partition_from", "partition_to", "since", "until")
Filtered = Annotated[Filter, listing(*FIELDS)]


@router.get("/quarantine", response_model=Page[Quarantined], responses=answers(304))
def list_quarantine(wanted: Filtered, caller: Reader, request: Request) -> Response:
    """What is out of sight, by dataset, newest partition first; unless told otherwise what is held or withdrawn."""
    require_words(wanted.kind, Kind, "kind")
    require_words(wanted.state, State, "state")
    found = quarantine.quarantined(selection(wanted, caller, "quarantine", 5))
    page = paging.page(found, wanted.limit, "quarantine", lambda item: item.key)
    return conditional(request, Page[Quarantined](**page))
