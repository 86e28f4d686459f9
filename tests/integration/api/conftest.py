"""The application, asked in this process (`asked`) or over a real socket (`served`), on the test's own database.

def test_something(filled, asked, token):
    answer = asked(token("ada")).get("/v1/safety/fct_orders/2013-01-05")
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from psycopg.types.json import Jsonb
from tests.conftest import prepared
from tests.integration.conftest import Platform
from tests.integration.control.people import carried_out, person, proposal

from interlock.api.app import create_app
from interlock.api.serving import Server, listening
from interlock.control import actions, credentials
from interlock.control.questions import Right
from interlock.db import pools
from interlock.db.connection import Role
from interlock.settings import settings

EVERYTHING = tuple(Right)
QUOTED = "secret-4711"  # a value that the record holds, and that no answer may


@pytest.fixture
def token(database: Any) -> Callable[..., str]:
    """Makes tokens: `token("ada", scopes=[Right.READ], domains=["shop"])`; else all rights, everywhere."""

    def make(person: str = "ada", scopes: Any = EVERYTHING, domains: Any = ("*",)) -> str:
        grant = credentials.Grant(person=person, scopes=tuple(scopes), domains=tuple(domains), lasts=timedelta(hours=1))
        made = credentials.create(grant, "tests")[1]
        assert made is not None
        return made

    return make


@pytest.fixture
def application(database: Any) -> Iterator[Any]:
    """The application by itself, with nothing kept when the test ends."""
    yield create_app()
    pools.close()


@dataclass(frozen=True)
class Asked:
    """A client of the application in this process, on a loop of its own: cheap, and all but the socket is real."""

    client: httpx.AsyncClient
    loop: asyncio.AbstractEventLoop

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        """One request, to its end."""
        return asyncio.run_coroutine_threadsafe(self.client.request(method, path, **more), self.loop).result(30)

    def later(self, path: str) -> Callable[[], httpx.Response]:
        """GET, begun at once; call what is returned for the answer."""
        begun = asyncio.run_coroutine_threadsafe(self.client.get(path), self.loop)
        return lambda: begun.result(30)

    def get(self, path: str, **more: Any) -> httpx.Response:
        """GET."""
        return self.request("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        """POST."""
        return self.request("POST", path, **more)


@pytest.fixture
def asked(application: Any) -> Iterator[Callable[..., Asked]]:
    """Makes clients of the application in this process: `asked(token)`, or `asked()` as nobody."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    transport = httpx.ASGITransport(application, raise_app_exceptions=False)

    def client(token: str | None = None, **headers: str) -> Asked:
        return Asked(
            httpx.AsyncClient(transport=transport, base_url="http://interlock.test", headers=_headers(token, headers)),
            loop,
        )

    yield client
    asyncio.run_coroutine_threadsafe(application.state.surface.close(), loop).result(15)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(15)
    loop.close()


@dataclass(frozen=True)
class Served:
    """A real server on a port of its own."""

    url: str
    stack: ExitStack

    def __call__(self, token: str | None = None, **headers: str) -> httpx.Client:
        """A client, closed after the test."""
        return self.stack.enter_context(
            httpx.Client(base_url=self.url, headers=_headers(token, headers), timeout=15, trust_env=False)
        )


@pytest.fixture
def served(application: Any) -> Iterator[Served]:
    """The application behind uvicorn, in a thread."""
    with ExitStack() as stack:
        yield stack.enter_context(serving(application))


@contextmanager
def serving(application: Any, port: int = 0) -> Iterator[Served]:
    """Serve an application until the block ends."""
    listens = listening("127.0.0.1", port, is_exact=True)
    server = Server(application)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listens]}, daemon=True)
    thread.start()
    with ExitStack() as stack:
        try:
            yield Served(f"http://127.0.0.1:{listens.getsockname()[1]}", stack)
        finally:
            server.should_exit = True
            thread.join(15)
            assert not thread.is_alive(), "the server did not stop"


def _headers(token: str | None, more: dict[str, str]) -> dict[str, str]:
    named = {name.replace("_", "-"): value for name, value in more.items()}
    return named if token is None else {"authorization": f"Bearer {token}", **named}


@pytest.fixture(scope="session")
def metrics_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder in which the checkout's metrics are defined already: by a process that may import dbt."""
    home = tmp_path_factory.mktemp("metrics")
    define = "from interlock.transform import metric_listing; metric_listing.summaries()"
    subprocess.run([sys.executable, "-c", define], check=True, env=os.environ | {"INTERLOCK_STATE_DIR": str(home)})
    return home


@pytest.fixture
def defined_metrics(database: Any, metrics_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can be asked of metrics is known, as it is on a platform that was asked before."""
    monkeypatch.setenv("INTERLOCK_STATE_DIR", str(metrics_home))
    settings.cache_clear()


@pytest.fixture
def origin(request: pytest.FixtureRequest, origin: str) -> str:
    """As everywhere, but for tests of a busy platform."""
    return str(request.getfixturevalue("busy_database")) if "busy" in request.fixturenames else origin


@pytest.fixture(scope="session")
def busy_database(server: Any, filled_database: str) -> str:
    """Two days of everything, and what days bring: a delivery that failed its gate and quotes a value, a row set aside,
    a run that broke with the database's words, a version that was withdrawn, an action that waits, and a consumer.
    """
    with prepared(server, filled_database, "interlock_busy") as database, ExitStack() as stack:
        _make_busy(Platform(database, stack))
    return database.name


@pytest.fixture
def busy(database: Any) -> Iterator[Platform]:
    """A platform on which something is going on: see `busy_database`."""
    with ExitStack() as stack:
        yield Platform(database, stack)


def _make_busy(filled: Platform) -> None:
    board = {"kind": "consumer", "name": "board", "owner": "dora", "contact": "d@x.example", "datasets": ["fct_orders"]}
    filled.call(Role.OPERATOR, "register_dependents", Jsonb([board]))
    run = filled.admit("shop", "2013-01-06")
    load = filled.load(run, "orders", "2013-01-06", (5, 7, 9))
    keys = {"clause": "keys", "success": False, "message": "2 keys are doubled", "expected": 0, "observed": QUOTED}
    keys["sample_keys"] = [{"id": QUOTED}]
    filled.judge(run, load, "2013-01-06", evidence=[{"clause": "rows", "success": True}, keys])
    phase = filled.call(Role.OPERATOR, "start_phase", run.run_id, "build", "30 min")[0]
    said = f'duplicate key value violates unique constraint "x" DETAIL: Key (id)=({QUOTED}) already exists.'
    filled.call(Role.OPERATOR, "end_phase", phase, "failed", None, "UniqueViolation", said)
    filled.call(Role.OPERATOR, "finish_run", run.run_id, "failed", f"(psycopg.errors.UniqueViolation) {said}")
    late = filled.admit("shop", "2013-01-05")
    again = filled.load(late, "sizes", "all", (4, 5))
    filled.judge(late, again, "all", quarantined=[{"row": 1, "reasons": ["amount.range"]}])
    filled.publish(late, "all", again)
    for dataset in ("stg_sizes", "dim_sizes"):
        filled.renew(late, dataset, "all")
    filled.renew(late, "price_list", "2013-01-05")
    filled.finish(late)
    carried_out("quarantine_partition", "price_list", "2013-01-05")
    actions.propose(proposal("pause_pipeline", domain="shop"), person("clara", rights=(Right.PROPOSE,)))
