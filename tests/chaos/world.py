"""A platform of the harness's own: a durable server, two contents of each day, and a way back to the start.

Every day exists as it was delivered first (A) and as its producer corrected it later (B: one row less). What a reader
may see of a day is one of the two, whole, or nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psutil
import psycopg
from tests.scratch import scratch_folder

from interlock.db import connection as connections
from interlock.db.connection import Role
from interlock.db.embedded import SUPERUSER, WAREHOUSE, EmbeddedServer
from interlock.db.server_settings import HOST
from interlock.example.deliveries import Order, deliver
from interlock.settings import settings

ROOT = Path(__file__).resolve().parents[2]
FIRST_DAY = date(2013, 1, 7)
FLIGHTS, WEATHER = "flight_operations", "airport_weather"
DOMAINS = (FLIGHTS, WEATHER)  # the second reads what the first publishes
FEEDS = {FLIGHTS: "flights", WEATHER: "observations"}
SQL = Path(__file__).parent / "sql"
ANSWER_SECONDS = 60


class World:
    """Where the platform is, what was delivered to it, and what has been published of it on purpose."""

    def __init__(self, folder: Path, server: EmbeddedServer, passwords: dict[Role, str], days: Sequence[str]) -> None:
        self.folder = folder
        self.landing = folder / "landing"
        self.server = server
        self.days = tuple(days)
        self.served: dict[str, str] = {}  # day: the content that was published last
        self._passwords = passwords
        self._port = server.running_port

    # -- asking it -----------------------------------------------------------------------------

    def url(self, role: Role, database: str = WAREHOUSE) -> str:
        """Where a role logs in; the embedded server keeps its port over a crash."""
        self._port = self.server.running_port or self._port
        user = SUPERUSER if role is Role.ADMIN else role.value
        return f"postgresql://{user}:{self._passwords[role]}@{HOST}:{self._port}/{database}"

    def dial(self, role: Role, database: str = WAREHOUSE) -> psycopg.Connection[Any]:
        """A connection in autocommit, without a look at the settings of this process."""
        return connections.dial(self.url(role, database), role, autocommit=True)

    def rows(self, query: str, values: Any = None, *, role: Role = Role.ADMIN) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with self.dial(role) as connection:
            return connection.execute(query.encode(), values).fetchall()

    def statement(self, file: str, **values: Any) -> list[tuple[Any, ...]]:
        """The rows of one of the harness's own queries."""
        return self.rows((SQL / file).read_text(), values or None)

    # -- its producers -------------------------------------------------------------------------

    def prepare_deliveries(self) -> None:
        """Write both contents of every day to a store beside the landing folder."""
        first, last = date.fromisoformat(self.days[0]), date.fromisoformat(self.days[-1])
        for _ in deliver(Order(first=first, last=last, landing=str(self.folder / "A"))):
            pass
        for feed in FEEDS.values():
            (self.folder / "B" / feed).mkdir(parents=True)
            for day in self.days:
                whole = (self.folder / "A" / feed / f"{feed}_{day}.csv").read_text()
                shorter = "".join(whole.splitlines(keepends=True)[:-1])
                target = self.folder / "B" / feed / f"{feed}_{day}.csv"
                target.write_text(shorter)
                digest = hashlib.sha256(shorter.encode()).hexdigest()
                mark = {"rows": shorter.count("\n") - 1, "sha256": digest}
                target.with_name(target.name + ".done").write_text(json.dumps(mark))

    def deliver_references(self) -> None:
        """The snapshots of carriers, airports and aircraft."""
        for folder in (self.folder / "A").iterdir():
            if folder.name not in FEEDS.values():
                shutil.copytree(folder, self.landing / folder.name, dirs_exist_ok=True)
        for feed in FEEDS.values():
            (self.landing / feed).mkdir(parents=True, exist_ok=True)

    def deliver(self, day: str, content: str) -> None:
        """Both feeds of a day, as a producer does it: the old mark away, the file in one step, the new mark."""
        for feed in FEEDS.values():
            source, target = self.folder / content / feed, self.landing / feed
            name = f"{feed}_{day}.csv"
            (target / f"{name}.done").unlink(missing_ok=True)
            for file in (name, f"{name}.done"):
                shutil.copyfile(source / file, target / f"{file}.part")
                (target / f"{file}.part").rename(target / file)

    def lines(self, day: str, content: str, feed: str) -> int:
        """The rows of a delivery."""
        return (self.folder / content / feed / f"{feed}_{day}.csv").read_text().count("\n") - 1

    # -- its database --------------------------------------------------------------------------

    def keep_as(self, name: str) -> None:
        """Keep the database as it is now, to begin from it again."""
        with self.dial(Role.ADMIN, "postgres") as connection:
            connection.execute(f"create database {name} template {WAREHOUSE} strategy file_copy".encode())

    def restore(self, name: str, served: dict[str, str]) -> None:
        """Begin again from a database that was kept, with the deliveries that belong to it."""
        with self.dial(Role.ADMIN, "postgres") as connection:
            connection.execute(f"drop database {WAREHOUSE} with (force)".encode())
            connection.execute(f"create database {WAREHOUSE} template {name} strategy file_copy".encode())
        with self.dial(Role.ADMIN) as connection:
            # What belongs to a database as such (its rights, its time zone) is not copied with it.
            connection.execute(connections.statement("db/migrations/sql/01_roles.sql").encode())
        shutil.rmtree(self.landing, ignore_errors=True)
        self.deliver_references()
        for day, content in served.items():
            self.deliver(day, content)
        self.served = dict(served)

    def kill_database(self) -> None:
        """SIGKILL the postmaster and all of its children: nothing is written any more, nobody is told."""
        postmaster = self.server.process
        assert postmaster is not None
        children = postmaster.children(recursive=True)
        for process in (postmaster, *children):
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # a backend that ended by itself meanwhile
        psutil.wait_procs([postmaster, *children], timeout=10)

    @contextmanager
    def nothing_written_in_passing(self) -> Iterator[None]:
        """Without what writes to disk beside the commits that wait: the others stay in memory."""
        assert self.server.process is not None
        writers = [p for p in self.server.process.children() if any("walwriter" in word for word in p.cmdline())]
        for writer in writers:
            writer.suspend()
        try:
            yield
        finally:
            for writer in writers:
                with suppress(psutil.NoSuchProcess):
                    writer.resume()

    def start_database(self) -> None:
        """Start it again after a kill, as the next command would."""
        self.server.release()
        self.server.acquire()

    def wait_for_database(self) -> None:
        """Until it takes connections again."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            try:
                self.rows("select 1")
                return
            except Exception:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


def environment_of(folder: Path) -> dict[str, str]:
    """The settings of the platform, for every process that works on it."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("INTERLOCK_")}
    return others | {
        "INTERLOCK_ROOT": str(ROOT),
        "INTERLOCK_STATE_DIR": str(folder / "state"),
        "INTERLOCK_LANDING_URL": str(folder / "landing"),
        "INTERLOCK_ACTOR": "chaos",
    }


@contextmanager
def own_folder() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    folder = scratch_folder("chaos")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def settings_of(folder: Path) -> Iterator[None]:
    """This process works on the platform for the length of a block; its settings are as they were afterwards."""
    before, own = dict(os.environ), environment_of(folder)
    os.environ.clear()
    os.environ.update(own)
    _forget()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        _forget()


@contextmanager
def world(folder: Path, days: int) -> Iterator[World]:
    """The platform, migrated and empty. It is erased afterwards."""
    with ExitStack() as stack:
        with settings_of(folder):
            server = connections.embedded_server()
            stack.callback(server.erase)
            server.keep()
            with connections.connect(Role.AUDITOR):
                pass
            passwords = {role: connections.password(role.value) for role in connections.LOGIN_ROLES}
            passwords[Role.ADMIN] = connections.password(SUPERUSER)
        made = World(folder, server, passwords, [str(FIRST_DAY + timedelta(days=n)) for n in range(days)])
        made.prepare_deliveries()
        made.deliver_references()
        yield made


def _forget() -> None:
    settings.cache_clear()
    connections.forget()
