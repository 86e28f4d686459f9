"""The lineage: what is made of what, how each stands, and who stands on it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from interlock.api.caching import conditional
from interlock.api.filters import require_known
from interlock.api.identity import Reader
from interlock.api.problems import answers
from interlock.api.state import Surfaced
from interlock.control.questions import Right
from interlock.safety import lineage
from interlock.safety.lineage import Direction, LineageGraph

router = APIRouter(tags=["lineage"])

MOST_STEPS = 100


@router.get("/lineage", response_model=LineageGraph, responses=answers(304, 404))
async def lineage_of(
    caller: Reader,
    surface: Surfaced,
    request: Request,
    dataset: Annotated[str | None, Query(max_length=200, description="Around this one; else all of it.")] = None,
    direction: Annotated[Direction, Query(description="Which way from it.")] = Direction.BOTH,
    depth: Annotated[int, Query(ge=1, le=MOST_STEPS, description="How many steps from it.")] = MOST_STEPS,
) -> Response:
    """The datasets that the caller may read, and the edges between them."""
    require_known(request, "dataset", "direction", "depth")
    if dataset is not None:
        caller.require(Right.READ, [(await surface.registry.dataset(dataset)).domain])
    found = await run_in_threadpool(lineage.lineage, dataset, direction, depth, caller.domains)
    return conditional(request, found)
