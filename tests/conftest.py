"""One real PostgreSQL for the session, one migrated database copied for each test.

The server lives in a folder of its own with durability off, so a run of the tests never meets the
checkout's own server. `database` points the settings at a fresh copy; code under test then connects
as it does in production, role by role. What many tests begin with is built once a session (`prepared`)
and copied (`origin`).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.scratch import scratch_folder

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
TESTS = Path(__file__).parent
# What is costly and made once (a published week, a built year) is made for one worker alone: the tests of each of these
# stay together. They take the longest and come first, so that all workers end at about the same time.
TOGETHER = (
    "integration/chain/", "integration/test_airflow.py", "integration/test_control_in_airflow.py",
    "chaos/", "dbt/", "faults/", "integration/gate/",
)  # fmt: skip
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

    def copy(self, origin: str, name: str) -> None:
        """Make a database as another one is, to which nobody may be connected. Copying files costs half of logging."""
        self.run(f"create database {name} template {origin} strategy file_copy")
        # What belongs to a database as such (its rights, its time zone) is not copied with it.
        self.run(connections.statement("db/migrations/sql/01_roles.sql"), database=name)

    def drop(self, name: str) -> None:
        """Delete a database, whoever is connected to it."""
        self.run(f"drop database {name} with (force)")


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
    folder = scratch_folder("tests")
    own = embedded.EmbeddedServer(folder / "state", lambda: SUPERUSER_PASSWORD, durable=False)
    try:
        made = Server(own, own.acquire())
        made.run(
            # Each login hashes a password so often, on both sides: made for attackers, and half of what a login costs.
            "alter system set scram_iterations = 1",
            "select pg_reload_conf()",
            "set scram_iterations = 1",
            f"alter role {embedded.SUPERUSER} password '{SUPERUSER_PASSWORD}'",
        )
        yield made
    finally:
        own.erase()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def template(server: Server) -> str:
    """The name of a migrated database that tests copy."""
    from interlock.db.migrations import migrate

    server.run(f"create database {TEMPLATE}")
    with pointing_to(server, TEMPLATE):
        migrate(server.address(TEMPLATE))
    return TEMPLATE


@pytest.fixture
def empty_database(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A database of the test's own that was never migrated."""
    name = f"test_{next(numbers)}"
    server.run(f"create database {name}")
    yield from _pointed_to(server, name, monkeypatch)


@pytest.fixture
def origin(template: str) -> str:
    """What a test's own database is a copy of; folders of tests that begin further on say so."""
    return template


@pytest.fixture
def database(server: Server, origin: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A migrated database of the test's own."""
    name = f"test_{next(numbers)}"
    server.copy(origin, name)
    yield from _pointed_to(server, name, monkeypatch)


def _pointed_to(server: Server, name: str, environment: pytest.MonkeyPatch) -> Iterator[Database]:
    try:
        yield point_to(server, name, environment)
    finally:
        server.drop(name)


@contextmanager
def prepared(server: Server, origin: str, name: str) -> Iterator[Database]:
    """A database to copy later, begun as a copy itself; the settings point to it while it is made ready."""
    server.copy(origin, name)
    with pointing_to(server, name) as database:
        yield database


@contextmanager
def pointing_to(server: Server, name: str) -> Iterator[Database]:
    """The settings point to a database for the length of a block."""
    with pytest.MonkeyPatch.context() as environment:
        yield point_to(server, name, environment)
    _forget()


def point_to(server: Server, name: str, environment: pytest.MonkeyPatch) -> Database:
    """Let the settings point to a database from now on."""
    environment.setenv("INTERLOCK_DATABASE_URL", server.address(name))
    environment.setenv("INTERLOCK_SECRET_KEY", SECRET_KEY)
    _forget()
    return Database(name, server.address(name))


def _group(file: str) -> str:
    """What stays on one worker with a file of tests: what TOGETHER names, or else the file alone."""
    return next((named for named in TOGETHER if file.startswith(named)), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """`--dist loadfile`, by groups. xdist's own groups need a private name that pytest no longer has."""
    from xdist.scheduler import LoadFileScheduling

    class Grouped(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(str(super()._split_scope(nodeid)).removeprefix("tests/"))

    return Grouped(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The groups in their order; it is kept by `--no-loadscope-reorder`."""
    if hasattr(config, "workerinput"):
        order = {named: place for place, named in enumerate(TOGETHER)}
        items.sort(key=lambda item: order.get(_group(item.path.relative_to(TESTS).as_posix()), len(order)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """In CI a skip is a failure, unless the test is marked optional there: a guard that did not run has not held."""
    report = yield
    is_optional = item.get_closest_marker("optional_in_ci") is not None
    if report.skipped and os.environ.get("CI") and not is_optional and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
    return report
