"""A published day is recalled by its producer: quarantined by rule with all that was built from it, then corrected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.control.people import rule

from interlock.control import actions, findings
from interlock.control.questions import ActionState
from interlock.recovery import rebuilds, recalls

if TYPE_CHECKING:
    from tests.integration.chain.conftest import World

FLIGHTS, DAY = "flight_operations", "2013-01-05"
SWEEP = rule("sweep")
BUILT = {"stg_flight_operations__flights", "fct_flights", "agg_carrier_daily", "fct_departure_conditions"}


def test_a_recalled_day_is_quarantined_by_rule_stays_away_and_is_safe_again_once_it_was_corrected(world: World):
    assert (recalls.look(SWEEP), findings.find()) == ([], [])
    file = f"flights/flights_{DAY}.csv"
    (world.landing / f"{file}.recalled").write_text("The gates' clocks were an hour late.\n")
    assert recalls.look(SWEEP) == []
    (found,) = findings.find()
    assert (found.dataset, found.partition, found.version) == ("flights", DAY, world.versions()["flights", DAY])
    assert found.message == f"{file} was recalled by its producer: The gates' clocks were an hour late."
    action = actions.get(found.answered_by)
    assert (action.kind, action.dataset, action.partitions) == ("quarantine_partition", "flights", (DAY,))
    assert action.state is ActionState.EXECUTED, action.decision
    assert action.evidence[0].root == f"recall:{file}:{found.version}"
    assert world.state("flights", DAY) == "quarantined"
    assert world.unsafe() == {("flights", DAY)} | {(dataset, DAY) for dataset in BUILT}
    assert world.reasons("fct_flights", DAY)[0]["path"] == ["flights", "stg_flight_operations__flights", "fct_flights"]

    # The same file does not bring it back, and what is known is not found again.
    (blocked,) = (item for item in world.run(FLIGHTS, DAY).blocked if item.dataset == "flights")
    assert "its producer recalled it: The gates' clocks were an hour late." in blocked.reason
    assert recalls.look(SWEEP) == []
    assert len(findings.find()) == 1
    assert world.state("flights", DAY) == "quarantined"

    # The correction is written after the mark, which may stay where it is.
    world.correct("flights", DAY)
    assert all(report.is_complete for report in rebuilds.carry_out("tester"))
    assert world.unsafe() == set()
    assert (recalls.look(SWEEP), len(findings.find())) == ([], 1)

    # The producer sends the old file again.
    world.deliver(DAY, feeds=("flights",))
    versions = world.versions()
    (blocked,) = (item for item in world.run(FLIGHTS, DAY).blocked if item.dataset == "flights")
    assert f"it is the content of load {found.version}, which was withdrawn" in blocked.reason
    assert (world.unsafe(), world.versions()) == (set(), versions)
