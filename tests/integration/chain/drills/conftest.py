"""What the drills share: the week of the chain's tests, and the promise that every one of them ends with.

The flights of DAY are published and its weather is delivered: one feed and two models that a fault may meet.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.chain.conftest import World

WEATHER = "airport_weather"
DAY = "2013-01-08"
MADE = ("observations", "stg_airport_weather__observations", "fct_departure_conditions")
CHECKOUT = Path(__file__).parents[4]


class Drill:
    """A platform, and what was true of it before it was broken."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._before = self.readable()

    def readable(self) -> dict[tuple[str, str], int]:
        """What is safe, and in which version."""
        rows = self.world.rows("select dataset, partition, version from interlock.safety where safe")
        return {(dataset, partition): version for dataset, partition, version in rows}

    def require_nothing_turned_green(self, *, but: tuple[str, ...] = ()) -> None:
        """Whatever is safe was safe before, in the same version; nothing of DAY can be read.

        `but` names what the run had rightly published before it was broken.
        """
        passed = {(name, DAY) for name in but}
        assert {item for item in self.readable().items() if item[0] not in passed} <= self._before.items()
        [(rows,)] = self.world.rows("select count(*) from safe.fct_departure_conditions where flight_date = %s", DAY)
        assert rows == 0

    def require_mended(self) -> None:
        """With the fault gone, one ordinary run ends where an undisturbed one does."""
        report = self.world.run(WEATHER, DAY)
        assert report.blocked == ()
        assert self.world.unsafe() == set()
        assert {(name, DAY) for name in MADE} <= self.readable().keys()


@pytest.fixture
def drill(world: World) -> Drill:
    """The chain's week, about to be broken."""
    return Drill(world)


@pytest.fixture
def checkout(drill: Drill, own_checkout: Callable[[], Path]) -> Path:
    """A checkout of the test's own, to lose files from."""
    return own_checkout()
