"""What both clients hand to httpx, and what its failures are called."""

from __future__ import annotations

from typing import Any

import httpx

from interlock.client.exchange import Broken, Request

CONNECT_SECONDS = 5.0


def arguments(url: str, request: Request, seconds: float) -> dict[str, Any]:
    """A request as httpx takes it: none of its parts may take longer than all of it."""
    return {
        "method": request.method,
        "url": url + request.path,
        "params": list(request.parameters) or None,
        "json": request.body,
        "headers": {"Accept": f"{request.accept}, application/problem+json", **request.headers},
        "timeout": httpx.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS)),
    }


def broken(error: Exception) -> Broken:
    """A failure of the network in words, without a word of what was sent."""
    if isinstance(error, httpx.ConnectTimeout):
        return Broken("nobody answered at that address in time")
    if isinstance(error, httpx.TimeoutException):
        return Broken("it did not answer in time")
    if isinstance(error, httpx.ConnectError):
        return Broken(f"it cannot be reached ({' '.join(str(error).split())[:200]})")
    return Broken(f"the connection broke off ({type(error).__name__})")
