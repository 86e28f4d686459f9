"""The session of the page: who is logged in, what they may, and where this is.

A token that is typed into the page becomes a cookie that no script can read. It is the token itself, so it ends when
that ends or is revoked; the server keeps no sessions.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Body, Request, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from starlette.concurrency import run_in_threadpool

from interlock.api.identity import COOKIE, Caller, Door, Reader, require_own_page
from interlock.api.state import Surfaced
from interlock.clock import real_now
from interlock.control.questions import Right
from interlock.db.connection import Role, connect
from interlock.db.failures import translated
from interlock.settings import settings

router = APIRouter(tags=["session"])


class Login(BaseModel):
    """A token, as `interlock token create` printed it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    token: SecretStr = Field(max_length=200)


class Session(BaseModel):
    """Who asks, and where. `platform_time` is what freshness and leases are judged by."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    person: str
    scopes: tuple[Right, ...]
    domains: tuple[str, ...]
    expires_at: datetime
    environment: str
    platform_time: datetime
    clock_offset_seconds: float | None
    airflow_url: str | None
    version: str


@router.get("/session")
async def session(caller: Reader) -> Session:
    """Who the caller is, and what they may."""
    return await run_in_threadpool(_session, caller)


@router.post("/session")
async def log_in(given: Annotated[Login, Body()], request: Request, response: Response, surface: Surfaced) -> Session:
    """Log the page in with a token, which is kept as a cookie until it expires."""
    require_own_page(request)
    token = given.token.get_secret_value().strip()
    caller = await surface.identities.known(Door.SESSION, token, request)
    told = await run_in_threadpool(_session, caller)
    response.set_cookie(
        COOKIE,
        token,
        max_age=max(0, int((caller.expires_at - real_now()).total_seconds())),
        path=_path(request),
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return told


@router.delete("/session", status_code=204)
async def log_out(request: Request) -> Response:
    """Forget the page's cookie. The token lives on: `interlock token revoke` ends it."""
    require_own_page(request)
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path=_path(request), httponly=True, samesite="strict")
    return response


def _session(caller: Caller) -> Session:
    from importlib.metadata import version

    from interlock import services

    with translated(), connect(Role.OPERATOR, autocommit=True) as connection:
        row = connection.execute(
            "select interlock.now(), (select extract(epoch from k.offset_from_real)::float8 from interlock.clock k)"
        ).fetchone()
    if row is None:
        raise LookupError("interlock.now()")
    return Session(
        person=caller.actor.name,
        scopes=caller.actor.rights,
        domains=caller.actor.domains,
        expires_at=caller.expires_at,
        environment=settings().environment,
        platform_time=row[0],
        clock_offset_seconds=row[1],
        airflow_url=services.airflow_page(),
        version=version("interlock"),
    )


def _path(request: Request) -> str:
    """The cookie is sent to the application alone, wherever it is mounted."""
    root: str = request.scope.get("root_path", "")
    return f"{root}/"
