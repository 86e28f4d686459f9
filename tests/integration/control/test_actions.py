"""The life of an action: it does once, exactly, what was approved, or says why not."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from tests.integration.control.people import (
    ANNA,
    BEN,
    CARL,
    DAY,
    NEXT,
    VIA,
    events_of,
    found_bad,
    person,
    proposal,
    rule,
    version_of,
)

from interlock.control import actions
from interlock.control.actions import NotEntitled
from interlock.control.questions import ActionState, Right
from interlock.control.records import Verb
from interlock.db.connection import Role
from interlock.db.failures import Refusal, Refused
from interlock.errors import UsageError


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


@pytest.mark.parametrize("claim", [{"dataset": "fct_orders", "version": 1}, {"at": -1}])
def test_what_is_merely_claimed_moves_no_policy(filled, claim):
    fact = found_bad("orders", DAY, version_of(filled, "orders"))
    claim = claim | ({"at": fact.at + claim["at"]} if "at" in claim else {})
    claimed = fact.model_copy(update=claim)
    asked = proposal("quarantine_partition", str(claimed.dataset), DAY, evidence=(claimed,))
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


def test_what_was_approved_is_taken_further_however_much_waits_for_people(filled):
    approved = actions.propose(proposal("quarantine_partition", "fct_orders", DAY), ANNA, execute=False)
    waiting = actions.propose(proposal("pause_pipeline", domain="shop"), rule())
    with filled.database.connect(Role.ADMIN, autocommit=True) as administrator:
        administrator.execute(
            "insert into interlock.action (key, kind, domains, partitions, parameters, rationale, actor, radius)"
            " select 'k' || n, a.kind, array['d' || n], '{}', '{}', 'r', a.actor, a.radius"
            " from interlock.action a, generate_series(1, 1000) n where a.action_id = %s",
            [waiting.action_id],
        )
    assert [action.action_id for action in actions.sweep(rule("sweep"))] == [approved.action_id]
    assert filled.state("fct_orders", DAY) == "quarantined"


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
    with pytest.raises(UsageError, match="needs a partition"):
        actions.preview(proposal("quarantine_partition", "orders", version=version_of(filled, "orders")), ANNA)


def test_an_action_takes_back_nothing_but_what_it_is_the_inverse_of(filled):
    held = actions.propose(proposal("quarantine_partition", "fct_orders", DAY), ANNA)
    for kind, dataset, partition in (
        ("rerun_partition", "fct_orders", DAY),
        ("release_partition", "fct_orders", NEXT),
        ("release_partition", "agg_orders", DAY),
    ):
        with pytest.raises(UsageError, match="taken back whole") as wrong:
            actions.propose(proposal(kind, dataset, partition, undoes=held.action_id), ANNA)
        assert f"interlock action rollback {held.action_id}" in (wrong.value.fix or "")
    ((row,),) = filled.rows(Role.AUDITOR, "select to_jsonb(a) from interlock.action a")
    with pytest.raises(psycopg.Error) as refused:
        filled.call(
            Role.CONTROLLER, "propose_action", Jsonb(row | {"key": "k", "partitions": [NEXT], "undoes": 1}), Jsonb([])
        )
    assert refused.value.sqlstate == Refusal.NOT_IN_STATE
    assert actions.find() == [held]


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
