"""What actions do and take back: each effect is exact, and its way back leaves everything as it was."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from tests.integration.control.people import (
    ANNA,
    BEN,
    CARL,
    DAY,
    NEXT,
    VIA,
    carried_out,
    events_of,
    found_bad,
    proposal,
    rule,
    version_of,
)

from interlock.control import actions, rules
from interlock.control.questions import ActionState
from interlock.control.records import Verb
from interlock.db.connection import Role, statement
from interlock.db.failures import Refusal, Refused
from interlock.errors import UsageError
from interlock.recovery import rebuilds


def everything(platform: Any) -> list[tuple[Any, ...]]:
    """What every reader is served and told: rows, versions, states, and who may read them."""
    told = platform.rows(
        Role.AUDITOR,
        "select dataset, partition, state, version, verdict_id, reasons::text from interlock.safety order by 1, 2",
    )
    read = [(name, platform.amounts(name)) for name in ("fct_orders", "agg_orders", "total_orders", "fct_conditions")]
    grants = platform.rows(
        Role.AUDITOR,
        "select table_schema, table_name, grantee, privilege_type from information_schema.role_table_grants"
        " where table_schema in ('safe', 'waived', 'staged', 'curated') order by 1, 2, 3, 4",
    )
    return [*told, *read, *grants]


def test_a_version_found_bad_is_quarantined_by_rule_with_all_that_was_built_from_it_and_released_as_it_was(filled):
    before = everything(filled)
    version = version_of(filled, "orders")
    asked = proposal("quarantine_partition", "orders", DAY, evidence=(found_bad("orders", DAY, version),))
    done = actions.propose(asked, rule())
    assert (done.state, done.version, done.decision.approvals_required) == (ActionState.EXECUTED, version, 0)
    assert filled.state("orders", DAY) == "quarantined"
    assert {filled.state(name, DAY) for name in ("stg_orders", "fct_orders", "agg_orders")} == {"unsafe"}
    assert filled.reasons("fct_orders", DAY)[0]["path"] == ["orders", "stg_orders", "fct_orders"]
    assert filled.amounts("fct_orders", DAY) == []
    assert filled.state("fct_orders", NEXT) == "safe"

    waiting = actions.roll_back(done.action_id, ANNA, "the producer was wrong")
    assert waiting.state is ActionState.PROPOSED
    released = actions.answer(waiting.action_id, ANNA, Verb.APPROVE, "looked at it", **VIA)
    assert (released.state, released.undoes) == (ActionState.EXECUTED, done.action_id)
    assert everything(filled) == before
    assert actions.get(done.action_id).state is ActionState.ROLLED_BACK
    assert events_of(done.action_id) == [
        "action_proposed", "action_evidence", "action_decided", "action_approved", "action_executed", "withdrawn",
        "action_rolled_back",
    ]  # fmt: skip


def test_quarantine_never_hides_the_version_that_replaces_it(filled):
    actions.propose(proposal("quarantine_partition", "fct_orders", DAY), ANNA)
    assert filled.state("fct_orders", DAY) == "quarantined"
    run = filled.admit("shop", DAY)
    replacing = filled.renew(run, "fct_orders", DAY, amounts=(7, 8))
    assert (filled.state("fct_orders", DAY), version_of(filled, "fct_orders")) == ("rebuilding", replacing)
    assert filled.amounts("fct_orders", DAY) == [7, 8]


def test_of_two_days_in_quarantine_one_of_which_was_replaced_the_other_is_released_and_never_one_by_itself(filled):
    run = filled.admit("shop", DAY, NEXT)
    filled.renew(run, "fct_orders", DAY, NEXT)
    held = actions.propose(proposal("quarantine_partition", "fct_orders", DAY, NEXT), ANNA)
    with pytest.raises(UsageError, match="taken back whole"):
        actions.preview(proposal("release_partition", "fct_orders", NEXT), ANNA)
    filled.renew(run, "fct_orders", DAY, amounts=(7, 8))
    back = actions.roll_back(held.action_id, ANNA, "it was right")
    released = actions.answer(back.action_id, BEN, Verb.APPROVE, "yes", **VIA)
    assert (released.state, released.result) == (ActionState.EXECUTED, {"released": [NEXT]})
    assert actions.get(held.action_id).state is ActionState.ROLLED_BACK
    assert (filled.amounts("fct_orders", DAY), filled.amounts("fct_orders", NEXT)) == ([7, 8], [1, 2])


def test_an_increment_that_was_quarantined_stays_so_until_it_is_delivered_again(filled):
    bad = version_of(filled, "sizes", "all")
    actions.propose(proposal("quarantine_partition", "sizes", "all"), ANNA)
    run = filled.admit("shop", "all")
    filled.deliver(run, "sizes", "all", (3, 4))
    assert filled.state("sizes", "all") == "quarantined"
    assert actions.find(kind="quarantine_partition")[0].version == bad


def codes(platform: Any) -> list[str]:
    """What stands against the feed of increments."""
    return [reason["code"] for reason in platform.reasons("sizes", "all")]


@pytest.fixture
def second_bad(filled: Any) -> int:
    """An increment that was found bad while the one before it was in quarantine, which is released now."""
    first = version_of(filled, "sizes", "all")
    run = filled.admit("shop", "all")
    second = int(filled.deliver(run, "sizes", "all", (3, 4)))
    filled.finish(run)
    held = actions.propose(proposal("quarantine_partition", "sizes", "all", version=first), ANNA)
    found_bad("sizes", "all", second)
    assert rules.react(rule()) == []
    actions.answer(actions.roll_back(held.action_id, ANNA, "it was right").action_id, BEN, Verb.APPROVE, "yes", **VIA)
    return second


def test_an_increment_found_bad_while_another_was_hidden_is_shown_to_nobody_before_the_rules_answered(
    filled, second_bad
):
    assert codes(filled) == ["found_bad"]
    run = filled.admit("shop", "all")
    filled.deliver(run, "sizes", "all", (5,))
    assert codes(filled) == ["found_bad"]
    (action,) = rules.react(rule())
    assert (action.state, action.version, codes(filled)) == (ActionState.EXECUTED, second_bad, ["quarantined"])
    actions.answer(actions.roll_back(action.action_id, ANNA, "right").action_id, BEN, Verb.APPROVE, "yes", **VIA)
    assert (filled.state("sizes", "all"), filled.state("stg_sizes", "all")) == ("safe", "unsafe")  # not built from all


def test_an_increment_found_bad_is_shown_again_by_itself_once_a_person_decided_against_its_quarantine(
    filled, second_bad
):
    actions.propose(proposal("freeze_domain", domain="shop"), ANNA)
    (waiting,) = rules.react(rule())
    assert (waiting.state, codes(filled)) == (ActionState.PROPOSED, ["found_bad"])
    run = filled.admit("shop", "all")
    filled.deliver(run, "sizes", "all", (5,))
    assert codes(filled) == ["found_bad"]
    actions.answer(waiting.action_id, CARL, Verb.REJECT, "it is right", **VIA)
    assert rules.react(rule()) == []
    assert filled.state("sizes", "all") == "safe"


def test_a_partition_is_rolled_back_to_its_last_good_version_and_reinstated_with_what_stood_against_it(filled):
    first = version_of(filled, "fct_orders")
    run = filled.admit("shop", DAY)
    second = filled.renew(run, "fct_orders", DAY, amounts=(5, 6))
    filled.renew(run, "agg_orders", DAY, amounts=(11,))
    filled.workspace(run)
    held = filled.build(run, "fct_orders", DAY, amounts=(0,))
    filled.fail(run, held, DAY)
    filled.finish(run)
    assert filled.state("fct_orders", DAY) == "unsafe"
    before = everything(filled)

    waiting = actions.propose(proposal("rollback_partition", "fct_orders", DAY, version=first), ANNA)
    assert waiting.parameters == {"from_version": second, "reaches_back_hours": 1}
    done = actions.answer(waiting.action_id, BEN, Verb.APPROVE, "yes", **VIA)
    assert done.state is ActionState.EXECUTED
    assert (filled.state("fct_orders", DAY), filled.amounts("fct_orders", DAY)) == ("safe", [1, 2])
    assert filled.state("agg_orders", DAY) == "unsafe"

    back = actions.roll_back(done.action_id, ANNA, "the new one was better")
    actions.answer(back.action_id, BEN, Verb.APPROVE, "yes", **VIA)
    assert version_of(filled, "fct_orders") == second
    assert [(r["code"], r["message"]) for r in filled.reasons("fct_orders", DAY)] == [
        ("gate_failed", "2 keys are doubled")
    ]
    assert [row[:5] for row in everything(filled) if len(row) > 5] == [row[:5] for row in before if len(row) > 5]
    again = actions.way_back(back.action_id, "it was not")
    assert (again.kind, again.version, again.undoes) == ("rollback_partition", first, back.action_id)
    assert actions.preview(again, ANNA).obstacle is None


def test_where_only_a_newer_candidate_failed_the_last_good_version_is_the_one_that_was_served(filled):
    served = version_of(filled, "fct_orders")
    run = filled.admit("shop", DAY)
    filled.workspace(run)
    filled.fail(run, filled.build(run, "fct_orders", DAY, amounts=(0,)), DAY)
    filled.finish(run)
    assert carried_out("rollback_partition", "fct_orders", DAY).version == served
    assert (filled.state("fct_orders", DAY), version_of(filled, "fct_orders")) == ("safe", served)


def test_a_feed_of_increments_is_not_rolled_back(filled):
    run = filled.admit("shop", "all")
    filled.deliver(run, "sizes", "all", (3, 4))
    filled.finish(run)
    with pytest.raises(Refused, match="delivered in increments"):
        actions.propose(proposal("rollback_partition", "sizes", "all"), ANNA)


def test_a_version_that_was_quarantined_is_nothing_to_roll_back_to(filled):
    actions.propose(proposal("quarantine_partition", "fct_orders", DAY), ANNA)
    run = filled.admit("shop", DAY)
    filled.renew(run, "fct_orders", DAY, amounts=(7, 8))
    filled.finish(run)
    with pytest.raises(Refused, match="was quarantined, and never released"):
        actions.propose(proposal("rollback_partition", "fct_orders", DAY), ANNA)


def test_a_paused_domain_admits_nothing_and_stops_a_run_at_its_next_phase_until_it_is_resumed(filled):
    going_on = filled.admit("weather", DAY)
    paused = actions.propose(proposal("pause_pipeline", domain="weather"), ANNA)
    assert paused.state is ActionState.EXECUTED
    for call in (lambda: filled.admit("weather", NEXT),
                 lambda: filled.call(Role.OPERATOR, "start_phase", going_on.run_id, "load", "1 min")):  # fmt: skip
        with pytest.raises(psycopg.Error, match=r'"weather" is paused since .* by anna') as refused:
            call()
        assert refused.value.sqlstate == Refusal.PAUSED
    filled.admit("shop", NEXT)
    actions.answer(actions.roll_back(paused.action_id, ANNA, "mended").action_id, ANNA, Verb.APPROVE, "yes", **VIA)
    filled.admit("weather", NEXT)


def test_of_a_paused_dataset_nothing_is_published_and_its_siblings_are(filled):
    actions.propose(proposal("pause_pipeline", "fct_orders"), ANNA)
    run = filled.admit("shop", DAY)
    filled.renew(run, "stg_orders", DAY, amounts=(5, 6))
    with pytest.raises(psycopg.Error, match='"fct_orders" is paused'):
        filled.renew(run, "fct_orders", DAY, amounts=(5, 6))


def test_nothing_is_done_automatically_in_a_frozen_domain(filled):
    actions.propose(proposal("freeze_domain", domain="shop"), ANNA)
    version = version_of(filled, "orders")
    asked = proposal("quarantine_partition", "orders", DAY, evidence=(found_bad("orders", DAY, version),))
    waiting = actions.propose(asked, rule())
    assert waiting.state is ActionState.PROPOSED
    assert {reason.code for reason in waiting.decision.reasons} >= {"frozen"}
    assert actions.answer(waiting.action_id, ANNA, Verb.APPROVE, "yes", **VIA).state is ActionState.EXECUTED


def test_a_rerun_is_queued_and_can_be_taken_back_until_it_is_carried_out(filled):
    queued = "select count(*) from interlock.rebuild where done_at is null"
    done = actions.propose(proposal("rerun_partition", "fct_orders", DAY, NEXT), ANNA)
    assert filled.rows(Role.AUDITOR, queued) == [(2,)]
    assert actions.roll_back(done.action_id, ANNA, "not needed").state is ActionState.EXECUTED
    assert filled.rows(Role.AUDITOR, queued) == [(0,)]
    again = actions.propose(proposal("rerun_partition", "fct_orders", DAY), ANNA)
    filled.call(Role.OPERATOR, "end_reruns", "shop", [DAY])
    with pytest.raises(Refused, match="is over"):
        actions.roll_back(again.action_id, ANNA, "too late")


def test_taking_back_a_rerun_does_not_end_a_rebuild_that_waited_anyway(filled):
    run = filled.admit("shop", DAY)
    filled.renew(run, "stg_orders", DAY, amounts=(5, 6))
    queued = "select count(*) from interlock.rebuild where done_at is null"
    waiting = filled.rows(Role.AUDITOR, queued)
    done = actions.propose(proposal("rerun_partition", "fct_orders", DAY, NEXT), ANNA)
    assert done.result == {"queued": [NEXT]}
    actions.roll_back(done.action_id, ANNA, "not needed")
    assert filled.rows(Role.AUDITOR, queued) == waiting != [(0,)]


def test_what_is_paused_waits_without_being_tried(filled):
    run = filled.admit("shop", DAY)
    filled.renew(run, "stg_orders", DAY, amounts=(5, 6))  # fct_orders and price_list are to be rebuilt
    filled.finish(run)
    actions.propose(proposal("rerun_partition", "total_orders", "all"), ANNA)
    assert rebuilds.pending() == {"shop": [DAY, "all"]}
    for dataset in ("fct_orders", "total_orders"):
        actions.propose(proposal("pause_pipeline", dataset), ANNA)
    assert rebuilds.pending() == {"shop": [DAY]}
    filled.as_(Role.OPERATOR).execute(
        statement("recovery/count_attempt.sql").encode(), {"domain": "shop", "partitions": [DAY, "all"]}
    )
    filled.call(Role.OPERATOR, "end_reruns", "shop", [DAY, "all"])
    tried = "select d.name, r.attempts from interlock.rebuild r join interlock.dataset d using (dataset_id)"
    assert filled.rows(Role.AUDITOR, f"{tried} where r.done_at is null order by 1") == [
        ("fct_orders", 0), ("price_list", 1), ("total_orders", 0),
    ]  # fmt: skip
    carried_out("pause_pipeline", domain="*")
    assert rebuilds.pending() == {}
