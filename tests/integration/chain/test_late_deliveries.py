"""A day reopens by itself: what comes late is found, goes back through the gates, and takes its readers along."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.db.connection import Role
from interlock.publishing.ledger import accounts
from interlock.recovery import rebuilds

if TYPE_CHECKING:
    from tests.integration.chain.conftest import World

DAY = "2013-01-05"


def queued(world: World) -> list[tuple[str, str, bool]]:
    """Which rebuilds were ever asked for because something came late, and whether they are done."""
    return world.rows(
        "select d.name, r.partition, r.done_at is not null from interlock.rebuild r join interlock.dataset d"
        " using (dataset_id) where r.reason like 'delivered late: %%' order by r.rebuild_id",
        role=Role.AUDITOR,
    )


def test_a_late_correction_is_found_gated_and_published_with_all_that_is_built_from_it(world: World):
    before, versions = world.published("fct_flights"), world.versions()
    assert rebuilds.carry_out("tester") == []
    world.correct("flights", DAY)
    reports = rebuilds.carry_out("tester")
    assert [(report.domain, report.partitions, report.is_complete) for report in reports] == [
        ("flight_operations", (DAY,), True),
        ("airport_weather", (DAY,), True),
    ]
    assert len(world.published("fct_flights")) == len(before) - 1
    moved = {key for key, version in world.versions().items() if versions[key] != version}
    assert moved == {
        (name, DAY)
        for name in (
            "flights", "stg_flight_operations__flights", "fct_flights", "agg_carrier_daily", "fct_departure_conditions",
        )
    }  # fmt: skip
    assert world.unsafe() == set()
    assert accounts("agg_carrier_daily", DAY).balances
    assert queued(world) == [("flights", DAY, True)]
    assert rebuilds.carry_out("tester") == []


def test_a_late_file_that_is_bad_makes_its_day_unsafe_once_and_is_not_tried_for_ever(world: World):
    world.deliver(DAY, feeds=("flights",), fault="doubled_file")
    (report,) = rebuilds.carry_out("tester")
    assert not report.is_complete
    assert {("fct_flights", DAY), ("fct_departure_conditions", DAY)} <= world.unsafe()
    assert queued(world) == [("flights", DAY, True)]
    assert rebuilds.carry_out("tester") == []
    world.deliver(DAY, feeds=("flights",))
    assert all(report.is_complete for report in rebuilds.carry_out("tester"))
    assert world.unsafe() == set()
