"""Actions from proposal to execution and back: each does once, exactly, what was approved, or says why not."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from tests.integration.control.people import ANNA, BEN, CARL, carried_out, found_bad, person, proposal, rule

from interlock.control import actions
from interlock.control.actions import NotEntitled
from interlock.control.questions import ActionState, Right
from interlock.control.records import Verb
from interlock.db.connection import Role
from interlock.db.failures import Refusal, Refused
from interlock.errors import UsageError

DAY, NEXT = "2013-01-05", "2013-01-06"
VIA = {"via": "command line"}


def version_of(platform: Any, dataset: str, partition: str = DAY) -> int:
    return int(platform.call(Role.CONSUMER, "ask", dataset, partition)["version"])


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


def events_of(action_id: int) -> list[str]:
    return [link.kind for link in actions.story(action_id).events]


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


def test_an_increment_that_was_quarantined_stays_so_until_it_is_delivered_again(filled):
    bad = version_of(filled, "sizes", "all")
    actions.propose(proposal("quarantine_partition", "sizes", "all"), ANNA)
    run = filled.admit("shop", "all")
    filled.deliver(run, "sizes", "all", (3, 4))
    assert filled.state("sizes", "all") == "quarantined"
    assert actions.find(kind="quarantine_partition")[0].version == bad


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


def test_executing_twice_does_once_and_a_key_is_one_action(filled):
    asked = proposal("quarantine_partition", "fct_orders", DAY, key="incident 7")
    done = actions.propose(asked, ANNA)
    assert actions.execute(done.action_id, ANNA) == done
    assert actions.propose(asked, BEN) == done
    assert events_of(done.action_id).count("withdrawn") == 1
    with pytest.raises(Refused, match="quarantined already"):
        actions.propose(asked.model_copy(update={"key": None}), BEN)
    with pytest.raises(UsageError, match="is that of action"):
        actions.propose(asked.model_copy(update={"partitions": (NEXT,)}), BEN)


def test_two_who_want_the_same_at_once_both_find_the_one_action_by_their_own_keys(filled):
    first, second = (proposal("pause_pipeline", domain="shop", key=key) for key in ("a", "b"))
    waiting = actions.propose(first, rule())
    assert actions.propose(second, rule("other")).action_id == waiting.action_id
    done = actions.answer(waiting.action_id, BEN, Verb.APPROVE, "yes", **VIA)
    assert actions.propose(first, rule()) == actions.propose(second, rule("other")) == done


def test_approved_twice_from_two_places_at_once_it_is_done_once_and_each_answer_is_one_record(filled):
    run = filled.admit("shop", DAY)
    filled.renew(run, "fct_orders", DAY, amounts=(5, 6))
    filled.finish(run)
    waiting = actions.propose(proposal("rollback_partition", "fct_orders", DAY), ANNA)
    ended: list[Any] = []

    def approve(via: str) -> None:
        try:
            ended.append(actions.answer(waiting.action_id, BEN, Verb.APPROVE, "yes", via=via).state)
        except Exception as error:
            ended.append(error)

    threads = [threading.Thread(target=approve, args=(via,)) for via in ("airflow", "command line") * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ended == [ActionState.EXECUTED] * 4
    action = actions.get(waiting.action_id)
    assert len(action.answers) == 1
    assert events_of(action.action_id).count("action_executed") == events_of(action.action_id).count("rolled_back") == 1


def test_what_was_approved_and_is_not_so_any_more_is_invalidated_and_nothing_is_done(filled):
    run = filled.admit("shop", DAY)
    filled.renew(run, "fct_orders", DAY, amounts=(5, 6))
    waiting = actions.propose(proposal("rollback_partition", "fct_orders", DAY), ANNA)
    approved = actions.answer(waiting.action_id, BEN, Verb.APPROVE, "yes", execute=False, **VIA)
    assert approved.state is ActionState.APPROVED
    newest = filled.renew(run, "fct_orders", DAY, amounts=(9,))
    after = actions.execute(waiting.action_id, ANNA)
    assert after.state is ActionState.INVALIDATED
    assert version_of(filled, "fct_orders") == newest
    assert "serves version" in actions.story(waiting.action_id).events[-1].payload


def test_what_would_touch_more_than_was_approved_is_invalidated(filled):
    version = version_of(filled, "readings")
    asked = proposal("quarantine_partition", "readings", DAY, version=version)
    approved = actions.propose(asked, ANNA, execute=False)
    edges = [
        {"upstream": u, "downstream": d, "mapping": m, "lookback": n, "reopens": r}
        for u, d, m, n, r in filled.rows(
            Role.AUDITOR,
            "select u.name, d.name, e.mapping, e.lookback, e.reopens from interlock.edge e"
            " join interlock.dataset u on u.dataset_id = e.upstream_id"
            " join interlock.dataset d on d.dataset_id = e.downstream_id",
        )
    ]
    new = {"upstream": "stg_readings", "downstream": "price_list", "mapping": "same", "lookback": 0, "reopens": True}
    filled.call(Role.OPERATOR, "register_lineage", Jsonb([*edges, new]))
    after = actions.execute(approved.action_id, ANNA)
    assert after.state is ActionState.INVALIDATED
    assert "1 more datasets (price_list)" in actions.story(approved.action_id).events[-1].payload
    assert filled.state("readings", DAY) == "safe"


def test_what_came_to_matter_more_than_when_it_was_approved_is_invalidated(filled):
    approved = actions.propose(proposal("quarantine_partition", "orders", DAY), ANNA, execute=False)
    filled.register_one("agg_orders", criticality="highest")
    after = actions.execute(approved.action_id, ANNA)
    assert (after.state, filled.state("orders", DAY)) == (ActionState.INVALIDATED, "safe")
    assert "criticality is highest" in (after.failure or "")


def test_an_executor_that_dies_in_the_middle_leaves_the_action_to_be_gone_on_with(filled):
    approved = actions.propose(proposal("quarantine_partition", "fct_orders", DAY), ANNA, execute=False)
    dying = filled.session(Role.CONTROLLER, autocommit=False)
    dying.execute("select interlock.begin_execution(%s, 'dying')", [approved.action_id])
    dying.execute("select interlock.withdraw_version(%s)", [approved.action_id])
    with filled.database.connect(Role.ADMIN, autocommit=True) as administrator:
        administrator.execute("select pg_terminate_backend(%s, 5000)", [dying.info.backend_pid])
    dying.close()
    assert (filled.state("fct_orders", DAY), actions.get(approved.action_id).state) == ("safe", ActionState.APPROVED)
    assert [action.state for action in actions.sweep(rule("sweep"))] == [ActionState.EXECUTED]
    assert filled.state("fct_orders", DAY) == "quarantined"
    assert events_of(approved.action_id).count("action_executed") == 1


def test_two_hundred_correlated_proposals_are_one_action_with_the_evidence_of_all(filled):
    orders = version_of(filled, "orders")
    root = actions.propose(
        proposal("quarantine_partition", "orders", DAY, evidence=(found_bad("orders", DAY, orders, root="recall:7"),)),
        rule(),
    )
    states = set()
    facts = [
        found_bad(dataset, DAY, version_of(filled, dataset), root="recall:7")
        for dataset in ("stg_orders", "fct_orders", "agg_orders", "price_list")
    ]
    for number in range(200):
        fact = facts[number % 4]
        asked = proposal("quarantine_partition", str(fact.dataset), DAY, evidence=(fact,))
        states.add(actions.propose(asked, rule()).state)
    assert states == {ActionState.REJECTED}
    assert len(actions.get(root.action_id).evidence) == 5
    assert actions.find(states=[ActionState.EXECUTED]) == [actions.get(root.action_id)]


def test_what_is_merely_claimed_moves_no_policy(filled):
    version = version_of(filled, "orders")
    claimed = found_bad("orders", DAY, version).model_copy(update={"dataset": "fct_orders", "version": 1})
    asked = proposal("quarantine_partition", "fct_orders", DAY, evidence=(claimed,))
    waiting = actions.propose(asked, rule())
    assert waiting.state is ActionState.PROPOSED
    assert "no_sufficient_evidence" in {reason.code for reason in waiting.decision.reasons}


def test_after_so_many_automatic_actions_in_an_hour_a_person_decides(filled):
    states = []
    for dataset in ("stg_orders", "fct_orders", "agg_orders", "price_list"):
        for day in (DAY, NEXT):
            fact = found_bad(dataset, day, version_of(filled, dataset, day))
            states.append(
                actions.propose(proposal("quarantine_partition", dataset, day, evidence=(fact,)), rule()).state
            )
    assert states == [ActionState.EXECUTED] * 6 + [ActionState.PROPOSED] * 2


def test_nobody_decides_beyond_their_rights(filled):
    with pytest.raises(NotEntitled):
        actions.propose(proposal("quarantine_partition", "fct_orders", DAY), person("dora", rights=(Right.READ,)))
    elsewhere = actions.propose(proposal("quarantine_partition", "fct_orders", DAY), person("eve", "weather"))
    assert (elsewhere.state, {reason.code for reason in elsewhere.decision.reasons}) == (
        ActionState.REJECTED, {"proposer_out_of_domain"},
    )  # fmt: skip
    waiting = actions.propose(proposal("pause_pipeline", domain="shop"), rule())
    for actor in (person("eve", "weather"), rule("another")):
        with pytest.raises(NotEntitled):
            actions.answer(waiting.action_id, actor, Verb.APPROVE, "yes", **VIA)
    assert actions.answer(waiting.action_id, CARL, Verb.REJECT, "no", **VIA).state is ActionState.REJECTED
    with pytest.raises(Refused, match="takes no answers"):
        actions.answer(waiting.action_id, BEN, Verb.APPROVE, "yes", **VIA)


def test_who_proposed_takes_it_back_without_the_right_to_answer(filled):
    proposer = person("anna", "shop", rights=(Right.PROPOSE,))
    waiting = actions.propose(proposal("quarantine_partition", "fct_orders", DAY), proposer)
    assert waiting.state is ActionState.PROPOSED
    back = actions.answer(waiting.action_id, proposer, Verb.REJECT, "not needed", **VIA)
    assert (back.state, back.answers) == (ActionState.REJECTED, ())


def test_what_nobody_answers_in_time_expires(filled):
    waiting = actions.propose(proposal("pause_pipeline", domain="shop"), rule())
    with filled.database.connect(Role.ADMIN, autocommit=True) as administrator:
        administrator.execute("update interlock.action set expires_at = clock_timestamp() - interval '1 second'")
    assert [action.state for action in actions.sweep(rule("sweep"))] == [ActionState.EXPIRED]
    with pytest.raises(Refused, match="expired"):
        actions.answer(waiting.action_id, BEN, Verb.APPROVE, "yes", **VIA)


def test_without_a_policy_engine_nothing_is_done_and_it_is_said_why(filled, monkeypatch):
    monkeypatch.setenv("INTERLOCK_OPA_URL", "http://127.0.0.1:9")
    from interlock.settings import settings

    settings.cache_clear()
    refused = actions.propose(proposal("quarantine_partition", "fct_orders", DAY), ANNA)
    assert refused.state is ActionState.REJECTED
    assert "127.0.0.1:9" in (refused.decision.failure or "")
    assert filled.state("fct_orders", DAY) == "safe"


def test_a_preview_says_what_would_be_and_writes_nothing(filled):
    before = filled.rows(Role.AUDITOR, "select count(*) from interlock.event")
    seen = actions.preview(proposal("quarantine_partition", "orders", DAY), ANNA)
    assert seen.decision.allow
    assert seen.obstacle is None
    assert seen.radius.touches["fct_orders"] == (DAY,)
    assert filled.rows(Role.AUDITOR, "select count(*) from interlock.event") == before
    with pytest.raises(UsageError, match="no dataset is named"):
        actions.preview(proposal("quarantine_partition", "nothing", DAY), ANNA)


def test_no_right_reaches_past_the_state_machine(filled):
    approved = actions.propose(proposal("quarantine_partition", "fct_orders", DAY), ANNA, execute=False)
    controller = filled.session(Role.CONTROLLER)
    for statement in (
        f"select interlock.withdraw_version({approved.action_id})",
        f"select interlock.move_action({approved.action_id}, 'approved', 'executed', 'me')",
        f"select interlock.begin_execution({approved.action_id}, 'me')",  # and nothing done
        "update interlock.action set state = 'executed'",
        "update interlock.partition set withdrawn_at = now(), withdrawn_version = version",
        "insert into interlock.pause (domain, action_id, paused_by, reason) values ('shop', 1, 'me', 'x')",
    ):
        with pytest.raises(psycopg.Error):
            controller.execute(statement)
    for role in (Role.OPERATOR, Role.PUBLISHER, Role.CONSUMER, Role.DEVELOPER):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            filled.session(role).execute(f"select interlock.begin_execution({approved.action_id}, 'me')")
    assert filled.state("fct_orders", DAY) == "safe"
