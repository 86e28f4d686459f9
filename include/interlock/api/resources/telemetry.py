"""What machines watch, in Prometheus' text format, for a token like all else (`authorization` in a scrape config)."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from interlock.api.identity import Reader
from interlock.api.problems import answers
from interlock.api.state import Surfaced
from interlock.telemetry.numbers import Numbers

router = APIRouter(tags=["telemetry"])


@router.get(
    "/metrics",
    response_class=Response,
    responses=answers() | {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def numbers(caller: Reader, surface: Surfaced) -> Response:
    """The numbers of the caller's domains, and how this process fares. Without a database: that there is none."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Numbers(caller.domains))
    text = generate_latest(registry) + generate_latest(surface.requests.registry)
    return Response(text, media_type=CONTENT_TYPE_PLAIN_0_0_4)
