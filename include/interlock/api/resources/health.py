"""Whether the process lives, and whether it can answer. Neither asks who wants to know, and neither tells them more."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from interlock.api.problems import answers
from interlock.api.state import Surfaced

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """That it does."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: str


@router.get("/livez")
async def livez() -> Health:
    """The process lives. It may have nobody to ask: that is for /readyz to say."""
    return Health(status="alive")


@router.get("/readyz", responses=answers(503))
async def readyz(surface: Surfaced) -> Health:
    """The database answers."""
    await surface.answering.require_answering()
    return Health(status="ready")
