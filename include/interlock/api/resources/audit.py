"""The audit: who did what, when and why, newest first."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response

from interlock.api import paging
from interlock.api.caching import conditional
from interlock.api.filters import Filter, listing
from interlock.api.identity import Reader
from interlock.api.paging import Page
from interlock.api.problems import answers
from interlock.api.selecting import selection
from interlock.control import events
from interlock.control.events import AuditEvent

router = APIRouter(tags=["audit"])

Filtered = Annotated[Filter, listing("domain", "dataset", "kind", "partition", "since", "until")]


@router.get("/audit", response_model=Page[AuditEvent], responses=answers(304))
def list_events(wanted: Filtered, caller: Reader, request: Request) -> Response:
    """Events as CloudEvents. Their `hash` chains them; `interlock audit verify` says whether the chain is whole."""
    found = events.events(selection(wanted, caller, "audit"))
    page = paging.page(found, wanted.limit, "audit", lambda event: [event.position])
    return conditional(request, Page[AuditEvent](**page))
