"""A range in one run: the same rows as day by day, and a bad day inside it blocks that day alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from interlock.db.connection import Role

if TYPE_CHECKING:
    from tests.integration.chain.conftest import World

FLIGHTS, WEATHER = "flight_operations", "airport_weather"
DAYS = ("2013-01-30", "2013-01-31", "2013-02-01", "2013-02-02")
ABOVE_RAW = "select distinct dataset from interlock.safety where layer <> 'raw'"


def test_a_range_over_a_month_boundary_publishes_what_its_days_publish_one_by_one(worlds: Callable[..., World]):
    at_once = worlds()
    at_once.deliver(DAYS[0], DAYS[-1])
    for domain in (FLIGHTS, WEATHER):
        assert at_once.run(domain, *DAYS).is_complete
    datasets = [name for (name,) in at_once.rows(ABOVE_RAW)]
    assert len(datasets) == 11
    expected = {name: at_once.published(name) for name in datasets}
    tables = at_once.rows(
        "select count(*), count(distinct bucket) from interlock.version_table t"
        " join interlock.version v using (version) join interlock.dataset d using (dataset_id)"
        " where d.name = 'fct_flights' and t.attached_at is not null",
        role=Role.AUDITOR,
    )
    assert tables == [(2, 2)]

    one_by_one = worlds()
    one_by_one.deliver(DAYS[0], DAYS[-1])
    for day in DAYS:
        for domain in (FLIGHTS, WEATHER):
            assert one_by_one.run(domain, day).is_complete
    assert one_by_one.unsafe() == set()
    assert {name: one_by_one.published(name) for name in datasets} == expected


def test_a_bad_day_inside_a_range_blocks_that_day_alone(empty_world: World):
    world, bad = empty_world, DAYS[2]
    world.deliver(DAYS[0], DAYS[-1])
    world.deliver(bad, feeds=("flights",), fault="doubled_file")
    report = world.run(FLIGHTS, *DAYS)
    assert not report.is_complete
    assert {item.partition for item in report.blocked} == {bad}
    assert sorted({day for dataset, day in report.published if dataset == "agg_carrier_daily"}) == [*DAYS[:2], DAYS[3]]
    weather = world.run(WEATHER, *DAYS)
    assert [(item.dataset, item.partition, item.began_at) for item in weather.blocked] == [
        ("fct_departure_conditions", bad, ("flights", bad))
    ]
    assert {partition for _, partition in world.unsafe()} == {bad}


def test_a_dimension_does_not_depend_on_the_order_in_which_its_snapshots_came(worlds: Callable[..., World]):
    found = []
    for months in ((1, 2, 3), (3, 1, 2)):
        world = worlds()
        world.deliver(DAYS[0], feeds=("carriers", "airports", "aircraft"))
        first = world.landing / "aircraft" / "aircraft_2013-01-01.csv"
        snapshot = first.read_text().splitlines(keepends=True)
        first.unlink()
        first.with_name(first.name + ".done").unlink()
        for month in months:
            # Each snapshot lacks another aircraft, and one of them is refitted in February.
            rows = [row for number, row in enumerate(snapshot) if number != month]
            rows[10] = rows[10].replace(",55,", ",60,") if month == 2 else rows[10]
            world.put("aircraft", f"aircraft_2013-0{month}-01.csv", "".join(rows))
            assert world.run(FLIGHTS, "all").is_complete
        found.append(world.published("dim_aircraft"))
    assert found[0] == found[1]
    assert {row["valid_from"] for (row,) in found[0]} == {"1900-01-01", "2013-01-01", "2013-02-01", "2013-03-01"}
