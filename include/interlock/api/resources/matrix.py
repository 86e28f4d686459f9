"""The matrix: every dataset by day, in letters, with where the feed goes on from it."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from interlock.api.caching import conditional
from interlock.api.filters import Filter, Word, require_known
from interlock.api.identity import Reader
from interlock.api.problems import answers
from interlock.safety.grid import Grid, grid

router = APIRouter(tags=["matrix"])

MOST_DAYS = 4000


@router.get("/matrix", response_model=Grid, responses=answers(304))
def matrix(
    caller: Reader,
    request: Request,
    domain: Annotated[list[Word], Query(description="Of these domains.")] = [],  # noqa: B006 (never written to)
    days: Annotated[int, Query(ge=1, le=MOST_DAYS, description="How many days, counted back from the newest.")] = 90,
    before: Annotated[date | None, Query(description="Only days before this one.")] = None,
) -> Response:
    """The state of every partition of these days, and how many earlier ones are in which state."""
    require_known(request, "domain", "days", "before")
    wanted = Filter(domain=domain).within(caller)
    shown = grid(wanted.domains, days, before)
    return conditional(request, shown, valid_until=shown.valid_until)
