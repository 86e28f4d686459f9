"""Who asks, and what they may: a token, the page's cookie, or a login in Airflow; never nobody.

A credential that held is kept for five seconds at most, so a revoked one is refused everywhere within that. Of a token
only its hash is kept. Domains are limited here and nowhere else: `Caller.require` and `Filter.within`.

A browser sends cookies with whatever page asks it to. What comes by cookie (ours or Airflow's) and changes something
must therefore be JSON, which no form can send, and not come from a page of another site.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from interlock.api.limits import Limit
from interlock.api.problems import Refusing
from interlock.control import credentials
from interlock.control.credentials import EVERY_DOMAIN
from interlock.control.questions import Actor, Right
from interlock.db.failures import Refused
from interlock.errors import UsageError
from interlock.settings import settings

if TYPE_CHECKING:
    from interlock.api.state import Surface

COOKIE = "interlock_session"
KEPT_SECONDS = 5.0
KNOWN = 10_000
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
# Asking many questions at once takes a body, and changes nothing.
QUESTIONS = "/v1/safety"
FAILED = "failed logins from this address"

AirflowLogin = Callable[[Request], "Awaitable[str | None] | str | None"]


class Door(StrEnum):
    """By which way a caller says who they are."""

    TOKEN = "token"  # noqa: S105  (the word, and no secret)
    SESSION = "session"
    AIRFLOW = "airflow"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, with what they may and until when."""

    actor: Actor
    credential_id: int
    expires_at: datetime
    via: Door

    def may(self, right: Right, domain: str) -> bool:
        """Whether the right holds in the domain. Who may do anything at all somewhere may read there."""
        has = right in self.actor.rights or (right is Right.READ and bool(self.actor.rights))
        return has and (EVERY_DOMAIN in self.actor.domains or domain in self.actor.domains)

    def require(self, right: Right, domains: Iterable[str]) -> None:
        """Refusing (403), which names the domains that are lacking, unless the right holds in all of them."""
        lacking = sorted({domain for domain in domains if not self.may(right, domain)})
        if lacking:
            raise Refusing(
                403,
                f"{self.actor.name} may not {right.value} in {', '.join(lacking)}.",
                fix="Ask whoever administers the platform for a credential with that right: interlock token create.",
            )

    @property
    def domains(self) -> tuple[str, ...] | None:
        """The domains that they may read; None is all of them."""
        return None if EVERY_DOMAIN in self.actor.domains else self.actor.domains


class Identities:
    """The callers that one process has seen within the last seconds."""

    def __init__(self, airflow_login: AirflowLogin | None = None) -> None:
        self._airflow_login = airflow_login
        self._known: OrderedDict[bytes, tuple[Caller, float]] = OrderedDict()
        self._asked: dict[bytes, asyncio.Future[Caller]] = {}
        configured = settings()
        reads, writes = configured.api_reads_per_second, configured.api_writes_per_minute
        failed = configured.api_failed_logins_per_minute
        self._reads = Limit(reads, reads)
        self._writes = Limit(writes / 60, writes)
        self._failures = Limit(failed / 60, failed)

    async def caller(self, request: Request) -> Caller:
        """Who asks. Refusing 401 where nobody says so, 429 where they ask too often."""
        via, shown = await self._shown(request)
        if via is not Door.TOKEN and request.method not in SAFE_METHODS:
            require_own_page(request)
        if not shown:
            raise _unauthorized(
                "Nobody says who asks.", "Send `Authorization: Bearer <token>`; interlock token create."
            )
        caller = await self.known(via, shown, request)
        self._reads.take(caller.credential_id, "requests")
        if request.method not in SAFE_METHODS and not request.url.path.endswith(QUESTIONS):
            self._writes.take(caller.credential_id, "changes")
        return caller

    async def known(self, via: Door, shown: str, request: Request) -> Caller:
        """Who shows this token, or is logged in as this in Airflow, as it held within the last seconds."""
        key = hashlib.sha256(f"{via} {shown}".encode()).digest()
        known = self._known.get(key)
        if known is not None and time.monotonic() < known[1]:
            return known[0]
        address = address_of(request)
        if known is None:  # who was known a moment ago does not suffer for others behind the same address
            self._failures.require_left(address, FAILED)
        try:
            return await self._authenticated(key, via, shown)
        except (Refused, UsageError) as error:
            self._known.pop(key, None)
            self._failures.take(address, FAILED)
            raise _unauthorized(error.message, error.fix) from error

    async def _shown(self, request: Request) -> tuple[Door, str | None]:
        """What says who asks, and by which door: in Airflow its own login stands in for the cookie."""
        token = _bearer(request)
        if token is not None:
            return Door.TOKEN, token
        if self._airflow_login is None:
            return Door.SESSION, request.cookies.get(COOKIE)
        found = self._airflow_login(request)
        return Door.AIRFLOW, (await found) if inspect.isawaitable(found) else found

    async def _authenticated(self, key: bytes, via: Door, shown: str) -> Caller:
        """Ask the database, once for all who wait for the same."""
        asked = self._asked.get(key)
        if asked is None:
            asked = self._asked[key] = asyncio.ensure_future(self._ask(key, via, shown))
            asked.add_done_callback(lambda _: self._asked.pop(key, None))
        return await asyncio.shield(asked)

    async def _ask(self, key: bytes, via: Door, shown: str) -> Caller:
        since = time.monotonic()
        ask = credentials.by_airflow_login if via is Door.AIRFLOW else credentials.by_token
        credential = await run_in_threadpool(ask, shown)
        caller = Caller(credential.actor, credential.credential_id, credential.expires_at, via)
        self._known[key] = (caller, since + KEPT_SECONDS)
        self._known.move_to_end(key)
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)
        return caller


def address_of(request: Request) -> str:
    """Where the request comes from."""
    return request.client.host if request.client else "?"


def _bearer(request: Request) -> str | None:
    header = request.headers.get("authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise _unauthorized("The Authorization header is none that is known here.", "Send `Bearer <token>`.")
    return token.strip()


def require_own_page(request: Request) -> None:
    """Refusing (403) where a page of another site lets the browser ask; 415 for what a form could send."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise Refusing(403, "This comes from a page of another site.", fix="Use the page that the platform serves.")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.method != "DELETE" and kind != "application/json":
        raise Refusing(415, "A change is sent as JSON.", fix="Send `Content-Type: application/json`.")


def _unauthorized(said: str, fix: str) -> Refusing:
    return Refusing(401, said, fix=fix, headers={"WWW-Authenticate": "Bearer"})


async def caller_of(request: Request) -> Caller:
    """The dependency of every endpoint below /v1 but the one that logs in."""
    surface: Surface = request.app.state.surface
    caller = await surface.identities.caller(request)
    request.scope["interlock_caller"] = caller
    return caller


def holder_of(right: Right) -> Any:
    """The dependency for a caller who has a right somewhere; `require` says where, once the domain is known."""

    async def with_right(caller: Annotated[Caller, Depends(caller_of)]) -> Caller:
        if not any(caller.may(right, domain) for domain in caller.actor.domains):
            caller.require(right, caller.actor.domains)
        return caller

    return Depends(with_right)


Reader = Annotated[Caller, Depends(caller_of)]
Proposer = Annotated[Caller, holder_of(Right.PROPOSE)]
Approver = Annotated[Caller, holder_of(Right.APPROVE)]
Executor = Annotated[Caller, holder_of(Right.EXECUTE)]
