"""The real chain on real deliveries: contracts, dbt and gates of the checkout, a database and a landing folder a test.

A week of both domains is published once a session, and one more day of the flights, so that the day after the week is
cheap to run: one feed and two models. Most tests begin with a copy of that.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any

import hypothesis  # noqa: F401 (before the gate freezes the garbage collector, without which it cannot be imported)
import pytest
from tests.conftest import point_to

from interlock.db import connection as connections
from interlock.db.connection import Role
from interlock.example.deliveries import Order, deliver
from interlock.pipeline import chain
from interlock.pipeline.chain import Report
from interlock.settings import settings

FLIGHTS, WEATHER = "flight_operations", "airport_weather"
DAYS = tuple(f"2013-01-0{day}" for day in range(1, 9))
numbers = count(1)


@dataclass(frozen=True)
class World:
    """One platform: where its database is, and where its producers deliver to."""

    name: str
    landing: Path

    def deliver(
        self, first: str, last: str | None = None, *, feeds: tuple[str, ...] = (), fault: str | None = None
    ) -> None:
        """The producer's files of some days; `fault` is what is wrong with the last one."""
        last = last or first
        order = Order(
            first=date.fromisoformat(first), last=date.fromisoformat(last), feeds=feeds, landing=str(self.landing),
            fault=fault, on=date.fromisoformat(last) if fault else None,
        )  # fmt: skip
        for _ in deliver(order):
            pass

    def put(self, feed: str, file: str, content: str) -> None:
        """A delivery that the example's producer would not make, whole and with its completion mark."""
        folder = self.landing / feed
        (folder / file).write_text(content)
        digest = hashlib.sha256(content.encode()).hexdigest()
        (folder / f"{file}.done").write_text(json.dumps({"rows": content.count("\n") - 1, "sha256": digest}))

    def correct(self, feed: str, day: str) -> None:
        """The producer delivers a day again, one row less than the first time: it is another content."""
        self.deliver(day, feeds=(feed,))
        file = f"{feed}_{day}.csv"
        self.put(feed, file, "".join((self.landing / feed / file).read_text().splitlines(keepends=True)[:-1]))

    def run(self, domain: str, *days: str) -> Report:
        """The chain, as the command line runs it."""
        return chain.run(domain, days, trigger="test", by="tester")

    def rows(self, query: str, *values: Any, role: Role = Role.CONSUMER) -> list[tuple[Any, ...]]:
        """The rows of a query, as a consumer unless told otherwise."""
        with connections.connect(role) as connection:
            return connection.execute(query.encode(), values or None).fetchall()

    def state(self, dataset: str, partition: str) -> str:
        """What everybody is told of one partition."""
        found = self.rows("select interlock.ask(%s, %s) ->> 'state'", dataset, partition)
        return str(found[0][0])

    def unsafe(self) -> set[tuple[str, str]]:
        """Every partition that is not safe."""
        return set(self.rows("select dataset, partition from interlock.safety where not safe"))

    def reasons(self, dataset: str, partition: str) -> list[dict[str, Any]]:
        """Why a partition is not safe."""
        found = self.rows(
            "select reasons from interlock.safety where dataset = %s and partition = %s", dataset, partition
        )
        return list(found[0][0])

    def published(self, dataset: str) -> list[tuple[Any, ...]]:
        """What a consumer reads of a dataset, in an order of its own; less the load's number, which differs by run."""
        return sorted(self.rows(f"select to_jsonb(t) - 'load_id' from safe.{dataset} t"), key=repr)

    def versions(self) -> dict[tuple[str, str], int]:
        """Which version of every partition is served."""
        query = "select dataset, partition, version from interlock.safety"
        return {(dataset, partition): version for dataset, partition, version in self.rows(query)}

    def record(self) -> dict[str, list[tuple[Any, ...]]]:
        """Everything by which a run could be seen to have done something; the run itself and its deliveries aside."""
        return {
            table: self.rows(f"select * from interlock.{table} order by 1, 2", role=Role.AUDITOR)
            for table in (
                "version",
                "verdict",
                "cause",
                "partition",
                "load",
                "rebuild",
                "event",
                "notice",
                "dataset",
                "input",
            )
        }


@pytest.fixture
def own_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """Makes a checkout of the test's own, to change or to lose files from; the platform then runs in it."""

    def made() -> Path:
        root = tmp_path / "checkout"
        for folder in ("dbt_project", "expectations", "include/contracts"):
            leave = shutil.ignore_patterns("target", "logs", "dbt_packages", "*.log")
            shutil.copytree(settings().root / folder, root / folder, ignore=leave)
        monkeypatch.setenv("INTERLOCK_ROOT", str(root))
        settings.cache_clear()
        return root

    return made


@pytest.fixture(scope="session", autouse=True)
def _without_a_look_at_every_frame() -> Iterator[None]:
    """dbt walks the stack to tell its log who set a behaviour flag: under pytest that is half of each command."""
    from dbt_common.behavior_flags import BehaviorFlagRendered

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(BehaviorFlagRendered, "_default_source", staticmethod(lambda: "dbt"))
        yield


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """State that all these tests share: the parsed project and the producer's year."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def week(server: Any, template: str, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The platform on which a week is published. Copy it, do not touch it."""
    with pytest.MonkeyPatch.context() as environment:
        world = _world(server, environment, home, "chain_week", template, tmp_path_factory.mktemp("week"))
        world.deliver(DAYS[0], DAYS[-1])
        reports = [world.run(FLIGHTS, *DAYS), world.run(WEATHER, *DAYS[:-1])]
        assert [report.blocked for report in reports] == [(), ()]
    _forget()
    yield world
    server.drop(world.name)


@pytest.fixture
def worlds(
    server: Any, template: str, home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Callable[..., World]]:
    """Makes platforms: empty ones, or copies of another. The settings point to the one made last."""
    made: list[str] = []

    def make(of: World | None = None) -> World:
        made.append(f"chain_{next(numbers)}")
        landing = tmp_path / made[-1]
        if of:
            shutil.copytree(of.landing, landing)
        return _world(server, monkeypatch, home, made[-1], of.name if of else template, landing)

    yield make
    _forget()
    for name in made:
        server.drop(name)


@pytest.fixture
def world(worlds: Callable[..., World], week: World) -> World:
    """A platform on which a week of both domains is published, and of the flights the day after."""
    return worlds(week)


@pytest.fixture
def empty_world(worlds: Callable[..., World]) -> World:
    """A platform that never ran."""
    return worlds()


def _world(server: Any, environment: pytest.MonkeyPatch, home: Path, name: str, template: str, landing: Path) -> World:
    server.copy(template, name)
    environment.setenv("INTERLOCK_STATE_DIR", str(home))
    environment.setenv("INTERLOCK_LANDING_URL", str(landing))
    point_to(server, name, environment)
    return World(name, landing)


def _forget() -> None:
    settings.cache_clear()
    connections.forget()
