"""A platform for trials: a server of its own, and databases that are copied, so that no trial sees another's traces.

The server is not durable: what is measured here is what the gates catch, and nothing here outlives the run.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any

from tests.scratch import scratch_folder

from interlock.db import connection as connections
from interlock.db.connection import Role
from interlock.example.deliveries import Order, deliver
from interlock.pipeline import chain
from interlock.settings import settings

SECRET_KEY = "a secret for tests alone"
PASSWORD = "a password for tests alone"
FLIGHTS, WEATHER = "flight_operations", "airport_weather"
numbers = count(1)


@dataclass(frozen=True)
class Platform:
    """Databases on one server, and the state folder and landing folders that go with them."""

    run: Callable[..., None]  # statements as the administrator
    address: Callable[[str], str]
    template: str
    folder: Path

    @contextmanager
    def copy(self, of: str | None = None, *, name: str | None = None) -> Iterator[World]:
        """A copy of a database (of an empty platform, unless told), which the settings point to; kept if named."""
        copied = name or f"faults_{next(numbers)}"
        landing = self.folder / copied
        landing.mkdir(exist_ok=True)
        self.run(f"create database {copied} template {of or self.template} strategy file_copy")
        # What belongs to a database as such (its rights, its time zone) is not copied with it.
        self.run(connections.statement("db/migrations/sql/01_roles.sql"), database=copied)
        before = dict(os.environ)
        os.environ.update(
            INTERLOCK_DATABASE_URL=self.address(copied), INTERLOCK_SECRET_KEY=SECRET_KEY,
            INTERLOCK_STATE_DIR=str(self.folder / "state"), INTERLOCK_LANDING_URL=str(landing),
        )  # fmt: skip
        forget()
        try:
            yield World(landing)
        finally:
            os.environ.clear()
            os.environ.update(before)
            forget()
            shutil.rmtree(landing, ignore_errors=True)
            if name is None:
                self.run(f"drop database {copied} with (force)")


@dataclass(frozen=True)
class World:
    """One database and its landing folder."""

    landing: Path

    def deliver(self, days: Sequence[str], *, feeds: tuple[str, ...], fault: str | None = None) -> None:
        """The producers' files of some days; `fault` is what is wrong with each of them."""
        for day in days:
            on = date.fromisoformat(day)
            for _ in deliver(
                Order(first=on, last=on, feeds=feeds, landing=str(self.landing), fault=fault, on=on if fault else None)
            ):
                pass

    def run(self, domain: str, days: Sequence[str], progress: chain.Progress | None = None) -> chain.Report:
        """The chain, as the command line runs it."""
        return chain.run(domain, days, trigger="test", by="faults", progress=progress)

    def rows(self, query: str, *values: Any, role: Role = Role.CONSUMER) -> list[tuple[Any, ...]]:
        """The rows of a query, as a consumer unless told otherwise."""
        with connections.connect(role) as connection:
            return connection.execute(query.encode(), values or None).fetchall()


@contextmanager
def scratch() -> Iterator[Platform]:
    """A platform that is gone afterwards."""
    from interlock.db import embedded
    from interlock.db.migrations import migrate
    from interlock.db.server_settings import HOST

    folder = scratch_folder("faults")
    server = embedded.EmbeddedServer(folder / "server", lambda: PASSWORD, durable=False)
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("INTERLOCK_")]:
        del os.environ[name]
    os.environ["INTERLOCK_SECRET_KEY"] = SECRET_KEY
    forget()
    try:
        port = server.acquire()

        def address(database: str) -> str:
            return f"postgresql://{embedded.SUPERUSER}:{PASSWORD.replace(' ', '%20')}@{HOST}:{port}/{database}"

        def run(*statements: str, database: str = "postgres") -> None:
            with connections.dial(address(database), Role.ADMIN, autocommit=True) as connection:
                for statement in statements:
                    connection.execute(statement.encode())

        run("create database faults_template")
        migrate(address("faults_template"))
        yield Platform(run, address, "faults_template", folder)
    finally:
        server.erase()
        os.environ.clear()
        os.environ.update(before)
        forget()
        shutil.rmtree(folder, ignore_errors=True)


def forget() -> None:
    """Read the settings anew, and connect anew."""
    settings.cache_clear()
    connections.forget()
