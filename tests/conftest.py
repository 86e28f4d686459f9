"""One real PostgreSQL for the session, one migrated database copied for each test.

The server lives in a folder of its own with durability off, so a run of the tests never meets the
checkout's own server. `database` points the settings at a fresh copy; code under test then connects
as it does in production, role by role.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from interlock.db import connection as connections
from interlock.db import embedded
from interlock.db.connection import Role
from interlock.db.server_settings import HOST
from interlock.settings import settings

if TYPE_CHECKING:
    from interlock.db.connection import Connection

SECRET_KEY = "a secret for tests alone"
SUPERUSER_PASSWORD = "a password for tests alone"
TEMPLATE = "interlock_template"
numbers = count(1)


@dataclass(frozen=True)
class Server:
    """The session's server."""

    embedded: embedded.EmbeddedServer
    port: int

    def address(self, database: str) -> str:
        """The administrator's URL of one of its databases."""
        login = f"{embedded.SUPERUSER}:{SUPERUSER_PASSWORD.replace(' ', '%20')}"
        return f"postgresql://{login}@{HOST}:{self.port}/{database}"

    def run(self, *statements: str, database: str = "postgres") -> None:
        """Execute statements as the administrator, each in its own transaction."""
        with connections.dial(self.address(database), Role.ADMIN, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())


@dataclass(frozen=True)
class Database:
    """One test's own database, which the settings point to."""

    name: str
    administrator_url: str

    def url(self, role: Role = Role.ADMIN, driver: str = "postgresql") -> str:
        """Where `role` logs in."""
        return connections.url(role, driver)

    def connect(self, role: Role = Role.ADMIN, *, autocommit: bool = False) -> AbstractContextManager[Connection]:
        """A connection as `role`."""
        return connections.connect(role, autocommit=autocommit)


@pytest.fixture(autouse=True)
def _settings_of_this_test(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No test reads the machine's own `INTERLOCK_*` settings or writes to the checkout's state."""
    for name in [name for name in os.environ if name.startswith("INTERLOCK_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("INTERLOCK_STATE_DIR", str(tmp_path / "state"))
    _forget()
    yield
    _forget()


def _forget() -> None:
    settings.cache_clear()
    connections.forget()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A real server in a folder of its own, gone after the session."""
    folder = Path(tempfile.mkdtemp(prefix="interlock-tests-"))
    own = embedded.EmbeddedServer(folder / "state", lambda: SUPERUSER_PASSWORD, durable=False)
    folder.chmod(0o711)  # the unprivileged user that root runs the server as must pass through
    try:
        yield Server(own, own.acquire())
    finally:
        own.erase()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def template(server: Server) -> str:
    """The name of a migrated database that tests copy."""
    from interlock.db.migrations import migrate

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("INTERLOCK_SECRET_KEY", SECRET_KEY)
        settings.cache_clear()
        server.run(f"create database {TEMPLATE}")
        migrate(server.address(TEMPLATE))
    settings.cache_clear()
    return TEMPLATE


@pytest.fixture
def empty_database(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A database of the test's own that was never migrated."""
    yield from _database(server, monkeypatch, "template1")


@pytest.fixture
def database(server: Server, template: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A migrated database of the test's own."""
    yield from _database(server, monkeypatch, template)


def _database(server: Server, monkeypatch: pytest.MonkeyPatch, template: str) -> Iterator[Database]:
    name = f"test_{next(numbers)}"
    server.run(f"create database {name} template {template}")
    if template == TEMPLATE:
        # What belongs to a database as such (its rights, its time zone) is not copied with it.
        server.run(connections.statement("db/migrations/sql/01_roles.sql"), database=name)
    monkeypatch.setenv("INTERLOCK_DATABASE_URL", server.address(name))
    monkeypatch.setenv("INTERLOCK_SECRET_KEY", SECRET_KEY)
    _forget()
    try:
        yield Database(name, server.address(name))
    finally:
        server.run(f"drop database {name} with (force)")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """In CI a skip is a failure, unless the test is marked optional there: a guard that did not run has not held."""
    report = yield
    is_optional = item.get_closest_marker("optional_in_ci") is not None
    if report.skipped and os.environ.get("CI") and not is_optional and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
    return report
