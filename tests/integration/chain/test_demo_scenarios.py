"""Every scenario of `interlock demo`, less its scheduler: after four good days the fifth is stopped, then mended."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from interlock.example.demo import BAD, FIRST, SCENARIOS

if TYPE_CHECKING:
    from tests.integration.chain.conftest import World

FLIGHTS = "flight_operations"
GOOD = tuple(f"{FIRST:%Y-%m}-{day:02}" for day in range(FIRST.day, BAD.day))


def test_every_scenario_is_stopped_and_its_correction_is_served(worlds: Callable[..., World]):
    world = worlds()
    world.deliver(GOOD[0], GOOD[-1])
    assert world.run(FLIGHTS, *GOOD).is_complete
    day = str(BAD)
    let_through = []
    for name, scenario in SCENARIOS.items():
        world.deliver(day, fault=scenario.fault)
        report = world.run(FLIGHTS, day)
        states = {
            world.state(dataset, day) for dataset in ("fct_flights", "agg_carrier_daily", "fct_departure_conditions")
        }
        readable = world.rows("select count(*) from safe.fct_flights where flight_date = %s", BAD)
        if report.is_complete or states != {"unsafe"} or readable != [(0,)]:
            let_through.append((name, states, readable))
    assert let_through == []
    assert all(world.state("fct_flights", good) == "safe" for good in GOOD)
    world.deliver(day)
    assert world.run(FLIGHTS, day).is_complete
    assert world.state("fct_flights", day) == "safe"
