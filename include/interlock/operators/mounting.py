"""The API and the page inside of Airflow, below `/interlock`, for whoever is logged in there.

Every process of Airflow loads its plugins, and all but the API server have no use for this; so what is mounted is a few
lines that make the application when the first request comes. What Airflow mounts is *unauthenticated* unless it asks:
here Airflow is asked who it is, for each request, by its own rules (a bearer token before the cookie; a token that was
revoked is none), and the application is told the login. What that login may do is the platform's to say
(`interlock token create --airflow-login`). A token of the platform's own counts in Airflow as everywhere.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

if TYPE_CHECKING:
    from fastapi import FastAPI, Request
    from starlette.types import Receive, Scope, Send

PREFIX = "/interlock"
ROUTE = "interlock"
LOGIN = "interlock.airflow_login"  # where the application finds it, in the request's scope
OUR_TOKENS = b"bearer ilk_"
# The page's own, to be seen on any ground: Airflow gives an icon its light, its dark and its chosen one.
LOCK = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="4" fill="#2f5fd0"/>'
    '<path d="M5 8V6a3 3 0 0 1 6 0v2" stroke="#fff" stroke-width="1.6" fill="none"/>'
    '<rect x="3.8" y="7.6" width="8.4" height="5" rx="1.2" fill="#fff"/></svg>'
)
ICON = f"data:image/svg+xml,{quote(LOCK)}"


class Mounted:
    """The application, made on its first request."""

    def __init__(self) -> None:
        self._application: FastAPI | None = None
        self._lock = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request as whoever is logged in."""
        application = self._application
        if application is None:
            application = await asyncio.to_thread(self._made)
        await application(await _introduced(scope), receive, send)

    def _made(self) -> FastAPI:
        from interlock.api.app import create_app

        with self._lock:
            if self._application is None:
                self._application = create_app(mounted_in_airflow=True, airflow_login=airflow_login)
            return self._application


def airflow_login(request: Request) -> str | None:
    """The login that Airflow knows who asks by; None where it knows of none."""
    found: str | None = request.scope.get(LOGIN)
    return found


def page_source() -> str:
    """What Airflow's frame shows first; Airflow itself may be served below a path of its own."""
    from airflow.sdk.configuration import conf

    return f"{urlsplit(str(conf.get('api', 'base_url', fallback=''))).path.rstrip('/')}{PREFIX}/"


def page_address(*place: str, served_at: str | None = None, **filters: str) -> str:
    """The address of a view of the page, such as `page_address("dataset", "fct_flights", domain="x")`: inside of this
    Airflow's own page, or at the address that the platform serves it at.
    """
    from airflow.sdk.configuration import conf

    # Airflow shows in its frame what follows the name of the view.
    own = f"{str(conf.get('api', 'base_url', fallback='')).rstrip('/')}/plugin/{ROUTE}{PREFIX}"
    path = "/".join(quote(part, safe="") for part in place)
    return f"{(served_at or own).rstrip('/')}/{path}{f'?{urlencode(filters)}' if filters else ''}"


async def _introduced(scope: Scope) -> Scope:
    """The request with the login that Airflow found; a bearer token of Airflow's is no token to the application."""
    header = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
    if header.lower().startswith(OUR_TOKENS):
        return scope
    login = await _login(scope)
    if login is None:
        return scope
    kept = [(name, value) for name, value in scope["headers"] if name != b"authorization"]
    introduced: dict[str, Any] = {**scope, LOGIN: login, "headers": kept}
    return introduced


async def _login(scope: Scope) -> str | None:
    from airflow.api_fastapi.core_api import security
    from fastapi import HTTPException, Request

    request = Request(scope)
    try:
        user = await security.get_user(request, None, await security.bearer_scheme(request))
    except HTTPException:
        return None
    return user.get_name()
