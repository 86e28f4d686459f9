"""The changes of safety, as they are committed: server-sent events whose data are CloudEvents.

    id: 1204.87
    data: {"specversion": "1.0", "type": "interlock.safety.changed", "subject": "fct_orders/2013-01-05", "data": {...}}

A client that comes back gives the last `id` it saw (a browser does by itself) and misses nothing. Every ten seconds
without a change there is a comment: who hears nothing for longer has lost the feed, and must read what it holds as
*could not ask*. An event without a dataset is about all of them: read anew. What runs out is no event, because every
answer says when.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import StringConstraints

from interlock.api.feed import Ended, Place, Subscription, TooFar, message
from interlock.api.identity import KEPT_SECONDS, Caller, Identities, Reader
from interlock.api.problems import Refusing, answers
from interlock.api.state import Surfaced
from interlock.errors import InterlockError

router = APIRouter(tags=["changes"])

BEAT_SECONDS = 10.0
RETRY = b"retry: 2000\n\n"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
STREAM: dict[int | str, dict[str, Any]] = {
    200: {"description": "The stream.", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
}
Id = Annotated[str, StringConstraints(max_length=40, pattern=r"^\d{1,18}(\.\d{1,18})?$")]


@router.get("/changes", response_class=StreamingResponse, responses=STREAM | answers(410))
async def changes(
    request: Request,
    caller: Reader,
    surface: Surfaced,
    after: Annotated[Id | None, Query(description="Go on after this `id`, or after a `feed_position`.")] = None,
    last_event_id: Annotated[Id | None, Header(description="The same, as browsers say it; it comes first.")] = None,
) -> StreamingResponse:
    """Every change of safety, and of an action, in the caller's domains: from now on, or from where they were."""
    given = last_event_id or after
    try:
        subscription = await surface.feed.subscribe(None if given is None else Place.read(given))
    except TooFar:
        raise Refusing(
            410,
            "The feed does not go on from there: too much was changed since, or it was never there.",
            fix="Read anew what is shown, then listen from its `feed_position`, or from now.",
        ) from None
    stream = _stream(subscription, caller, surface.identities, request)
    return StreamingResponse(stream, media_type="text/event-stream", headers=HEADERS)


async def _stream(
    subscription: Subscription, caller: Caller, identities: Identities, request: Request
) -> AsyncIterator[bytes]:
    """What the caller may be told, for as long as their credential holds."""
    looked = spoke = time.monotonic()
    try:
        yield RETRY + _here(subscription)
        async for change in subscription.changes(caller.domains, beat=KEPT_SECONDS):
            now = time.monotonic()
            if now - looked >= KEPT_SECONDS:
                await identities.caller(request)
                looked = now
            if change is not None:
                spoke = now
                yield message(change)
            elif now - spoke >= BEAT_SECONDS - 0.1:
                spoke = now
                yield b": still here\n" + _here(subscription)
    except (Ended, Refusing, InterlockError):
        return  # who comes back is told why by the status
    finally:
        subscription.leave()


def _here(subscription: Subscription) -> bytes:
    """The place, without an event: what concerns other domains need not be read again."""
    return f"id: {subscription.place}\n\n".encode()
