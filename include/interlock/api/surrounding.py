"""What surrounds every request: its id, the headers of every answer, and that no failure leaves without its words.

Written against ASGI itself: a layer of Starlette's own form costs more than an answer does.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.exceptions import HTTPException
from structlog import contextvars

from interlock.api.problems import Refusing, response_to

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from interlock.api.state import Surface

logger = logging.getLogger(__name__)

# A thousand questions take a fifth of it.
LARGEST_BODY = 1_000_000
SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
# The page brings all that it needs; charts set styles in place. In Airflow it is shown in a frame of the same origin.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
]
NO_KEEPING = (b"cache-control", b"no-store")
_PROCESS = secrets.token_hex(6)
_numbers = count(1)


class Surrounding:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, surface: Surface) -> None:
        self._app = app
        self._surface = surface

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._surface.open()
        request_id = scope["interlock_request_id"] = _request_id(scope)
        began, status, size = time.perf_counter(), 0, 0

        async def received() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > LARGEST_BODY:
                raise HTTPException(413, f"A request may have {LARGEST_BODY:,} bytes at most.")
            return message

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _surrounded(message.get("headers", []), request_id)
            await send(message)

        with contextvars.bound_contextvars(request=request_id):
            try:
                if _has_nul(scope):
                    raise Refusing(400, "The address has a character that no name has.", fix="Correct it.")
                await self._app(scope, received, sent)
            except Exception as error:
                if status:
                    raise  # the answer is under way, and ends where it broke
                await response_to(error, request_id)(scope, receive, sent)
            finally:
                seconds = time.perf_counter() - began
                self._surface.requests.note(scope["method"], _route(scope), status, seconds)
                _log(scope, status, seconds)


def _request_id(scope: Scope) -> str:
    """The one that the asker gave, if it is sane; else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and SANE_ID.fullmatch(value):
            return str(value.decode("ascii"))
    return f"{_PROCESS}-{next(_numbers):x}"


def _surrounded(headers: Any, request_id: str) -> list[tuple[bytes, bytes]]:
    given = list(headers)
    names = {name.lower() for name, _ in given}
    added = [header for header in HEADERS if header[0] not in names]
    if b"cache-control" not in names:
        added.append(NO_KEEPING)
    return [*given, *added, (b"x-request-id", request_id.encode())]


def _route(scope: Scope) -> str | None:
    """The pattern that was found to serve the address, if one was."""
    found = scope.get("route")
    return getattr(found, "path", None)


def _has_nul(scope: Scope) -> bool:
    return "\0" in scope["path"] or b"%00" in scope.get("query_string", b"")


def _log(scope: Scope, status: int, seconds: float) -> None:
    """One record: what changed something or failed at INFO, what was only read at DEBUG. The query is left out."""
    level = logging.DEBUG if scope["method"] in ("GET", "HEAD") and status < 400 else logging.INFO
    if not logger.isEnabledFor(level):
        return
    caller = scope.get("interlock_caller")
    logger.log(
        level,
        "%s %s: %s in %.1f ms",
        scope["method"],
        quote(scope["path"], safe="/:@+,")[:300],
        status or "no answer",
        seconds * 1000,
        extra={"person": caller.actor.name, "via": caller.via} if caller is not None else {},
    )
