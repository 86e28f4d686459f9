"""One day through the whole chain: published and safe, blocked when it is bad, safe again when it is mended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from interlock.db.connection import Role
from interlock.pipeline import chain
from interlock.pipeline.runs import Phase
from interlock.recovery import rebuilds
from interlock.safety import leases

if TYPE_CHECKING:
    from tests.integration.chain.conftest import World

FLIGHTS, WEATHER = "flight_operations", "airport_weather"
WEEK = tuple(f"2013-01-0{day}" for day in range(1, 8))
BAD = "2013-01-05"
OF_FLIGHTS = [
    "flights",
    "stg_flight_operations__flights",
    "fct_flights",
    "agg_carrier_daily",
    "fct_departure_conditions",
]


def test_a_week_of_both_domains_is_published_and_safe(world: World):
    assert world.unsafe() == set()
    counts = dict(world.rows("select flight_date::text, count(*) from safe.fct_departure_conditions group by 1"))
    delivered = {day: len((world.landing / f"flights/flights_{day}.csv").read_text().splitlines()) - 1 for day in WEEK}
    assert counts == delivered


def test_a_run_that_did_no_work_publishes_judges_and_renews_nothing(world: World):
    before = world.record()
    for domain in (FLIGHTS, WEATHER):
        report = world.run(domain, *WEEK)
        assert (report.published, report.blocked) == ((), ())
    assert world.record() == before


@pytest.mark.parametrize("fault", ["half_the_rows", "seconds_instead_of_minutes", "renamed_column", "truncated_file"])
def test_a_bad_day_blocks_what_is_built_from_it_and_nothing_else(world: World, fault: str):
    others = {dataset: _without(world.published(dataset), BAD) for dataset in ("fct_flights", "agg_carrier_daily")}
    world.deliver(BAD, feeds=("flights",), fault=fault)
    report = world.run(FLIGHTS, *WEEK)

    assert report.published == ()
    assert {item.partition for item in report.blocked} == {BAD}
    assert {item.began_at for item in report.blocked} == {("flights", BAD)}
    assert world.unsafe() == {(dataset, BAD) for dataset in OF_FLIGHTS}
    for dataset, path in (
        ("agg_carrier_daily", OF_FLIGHTS[:4]),
        ("fct_departure_conditions", [*OF_FLIGHTS[:3], OF_FLIGHTS[4]]),
    ):
        assert [reason["path"] for reason in world.reasons(dataset, BAD)] == [path]
    for dataset, rows in others.items():
        assert world.published(dataset) == rows


def test_a_correction_makes_the_day_safe_and_its_rebuilds_follow(world: World):
    world.deliver(BAD, feeds=("flights",), fault="half_the_rows")
    world.run(FLIGHTS, BAD)
    was = world.versions()
    world.correct("flights", BAD)

    report = world.run(FLIGHTS, BAD)
    assert report.is_complete
    assert world.unsafe() == {("fct_departure_conditions", BAD)}
    assert [reason["code"] for reason in world.reasons("fct_departure_conditions", BAD)] == ["input_replaced"]

    carried = rebuilds.carry_out("tester")
    assert [(item.domain, item.partitions, item.is_complete) for item in carried] == [(WEATHER, (BAD,), True)]
    assert world.unsafe() == set()
    assert rebuilds.pending() == {}
    assert rebuilds.carry_out("tester") == []
    moved = {key[0] for key, version in world.versions().items() if version != was[key]}
    assert moved == set(OF_FLIGHTS)


def test_the_same_good_content_again_makes_a_refused_day_safe_without_building_anything(world: World):
    was = world.versions()
    good = (world.landing / "flights" / f"flights_{BAD}.csv").read_bytes()
    world.deliver(BAD, feeds=("flights",), fault="renamed_column")
    world.run(FLIGHTS, BAD)
    assert ("fct_flights", BAD) in world.unsafe()
    world.deliver(BAD, feeds=("flights",))
    assert (world.landing / "flights" / f"flights_{BAD}.csv").read_bytes() == good

    report = world.run(FLIGHTS, BAD)
    assert report.is_complete
    assert world.unsafe() == set()
    assert world.versions() == was


def test_the_same_good_content_after_a_load_that_failed_its_gate_is_served_again(world: World):
    world.deliver(BAD, feeds=("flights",), fault="half_the_rows")
    world.run(FLIGHTS, BAD)
    world.deliver(BAD, feeds=("flights",))
    assert world.run(FLIGHTS, BAD).is_complete
    rebuilds.carry_out("tester")
    assert world.unsafe() == set()


def test_a_bad_day_that_was_never_published_is_unsafe_and_its_correction_completes_it(world: World):
    day = "2013-01-09"
    world.deliver(day, fault="half_the_rows")
    assert not world.run(FLIGHTS, day).is_complete
    blocked = world.run(WEATHER, day).blocked
    assert [(item.dataset, item.began_at) for item in blocked] == [("fct_departure_conditions", ("flights", day))]
    assert not blocked[0].retry_helps
    assert world.unsafe() == {(dataset, day) for dataset in OF_FLIGHTS}
    assert world.rows("select count(*) from safe.fct_flights where flight_date = %s", day) == [(0,)]

    world.deliver(day)
    assert world.run(FLIGHTS, day).is_complete
    assert [report.is_complete for report in rebuilds.carry_out("tester")] == [True]
    assert world.unsafe() == set()


def test_a_corrected_weather_day_makes_its_conditions_unsafe_until_they_are_rebuilt(world: World):
    world.correct("observations", BAD)
    was = world.versions()
    key = "as far as staged"
    chain.admit(WEATHER, [BAD], run_key=key, trigger="test", by="tester")
    for phase in list(Phase)[1:6]:
        chain.run_phase(phase, key)
    chain.abandon(key, "the curated layer is left to the queue of rebuilds")
    assert world.versions()["stg_airport_weather__observations", BAD] > was["stg_airport_weather__observations", BAD]
    assert world.unsafe() == {("fct_departure_conditions", BAD)}
    assert [reason["code"] for reason in world.reasons("fct_departure_conditions", BAD)] == ["input_replaced"]

    assert [report.is_complete for report in rebuilds.carry_out("tester")] == [True]
    assert world.unsafe() == set()


def test_a_run_does_not_renew_a_lease_that_ran_out_but_says_what_does(world: World):
    world.rows("select interlock.set_clock(now() + interval '30 days', 'tester')", role=Role.OPERATOR)
    before = world.record()
    report = world.run(FLIGHTS, BAD)
    assert world.state("fct_flights", BAD) == "unknown"
    assert {item.reason for item in report.blocked} == {"it is not safe: its lease ran out"}
    assert all("interlock renew" in item.fix and item.retry_helps for item in report.blocked)
    assert world.record() == before

    leases.renew("tester")
    assert world.run(FLIGHTS, BAD).blocked == ()
    assert world.unsafe() == set()
    assert {key: item for key, item in world.record().items() if key in ("version", "verdict")} == {
        key: item for key, item in before.items() if key in ("version", "verdict")
    }


def _without(rows: list[tuple[Any, ...]], day: str) -> list[tuple[Any, ...]]:
    return [row for row in rows if row[0]["flight_date"] != day]
