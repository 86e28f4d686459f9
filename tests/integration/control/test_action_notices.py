"""The policy's obligations are kept: owners, and those of consumers, are told once of each step of an action."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg.types.json import Jsonb
from tests.integration.control.people import ANNA, BEN, found_bad, person, proposal, rule
from tests.integration.receivers import receiving

from interlock.control import actions
from interlock.control.questions import ActionState
from interlock.control.records import Verb
from interlock.db.connection import Role
from interlock.safety.notices import drain

DAY, NEXT = "2013-01-05", "2013-01-06"
VIA = {"via": "command line"}
DEPENDENTS = [
    {"kind": "consumer", "name": "board", "owner": "Sales", "datasets": ["agg_orders"]},
    {"kind": "consumer", "name": "till", "contact": "shop-team", "datasets": ["price_list"]},
    {"kind": "consumer", "name": "nobodys", "datasets": ["agg_orders"]},
    {"kind": "consumer", "name": "elsewhere", "owner": "Others", "datasets": ["dim_sizes"]},
]


@pytest.fixture
def owners(filled, monkeypatch):
    """The endpoints of both teams, and of the owners of consumers."""
    filled.call(Role.OPERATOR, "register_dependents", Jsonb(DEPENDENTS))
    with receiving(monkeypatch, "shop-team", "weather-team", "Sales", "Others") as receivers:
        drain()
        yield receivers


def waiting(*partitions: str, **more: Any) -> actions.Action:
    """What a rule proposes without evidence, which waits for a person."""
    return actions.propose(proposal("quarantine_partition", "orders", *(partitions or (DAY,)), **more), rule())


def told(owners: Any) -> dict[str, list[str]]:
    """Who was told what since the last time."""
    drain()
    titles = {owner: receiver.titles for owner, receiver in owners.items() if receiver.titles}
    for receiver in owners.values():
        receiver.messages.clear()
    return titles


def notices(platform: Any) -> list[tuple[Any, ...]]:
    return platform.rows(Role.AUDITOR, "select what, recipient from interlock.action_notice order by 1, 2")


def test_owners_are_told_once_that_an_action_waits_for_them_and_how_to_answer(filled, owners):
    action = waiting()
    drain()
    [message] = owners["shop-team"].messages
    assert message["title"] == f"Waits for approval: {action.title} (action {action.action_id})"
    for text in (
        "Proposed by rule:served_version_found_bad: because",
        "It touches 7 partitions and 14 rows of agg_orders, fct_conditions, fct_orders,",
        "It needs 1 approval until",
        f"interlock action show {action.action_id}",
        f"interlock action approve {action.action_id} --reason",
    ):
        assert text in message["message"]
    # Of another domain's action, an owner whose data it touches is told as well, and not asked.
    assert "action approve" not in owners["weather-team"].messages[0]["message"]
    changed = action.decision.model_dump(mode="json") | {"approvals_required": 2}
    filled.call(Role.CONTROLLER, "record_decision", action.action_id, Jsonb(changed))
    assert drain().sent == 0
    assert not owners["Sales"].messages


def test_what_was_done_by_rule_is_told_in_one_message_with_what_it_hides_and_so_is_its_way_back(filled, owners):
    version = int(filled.call(Role.CONSUMER, "ask", "orders", DAY)["version"])
    asked = proposal("quarantine_partition", "orders", DAY, evidence=(found_bad("orders", DAY, version),))
    done = actions.propose(asked, rule())
    drain()
    [message] = owners["shop-team"].messages
    assert message["title"] == f"Done, to be reviewed: {done.title} (action {done.action_id})"
    for text in (
        "review it afterwards",
        "Your consumers that it concerns: till.",
        "Not safe to act on:\n- orders 2013-01-05\n",
        "- agg_orders 2013-01-05 (by way of orders > stg_orders > fct_orders > agg_orders)",
        f"interlock action rollback {done.action_id}",
    ):
        assert text in message["message"]
    [elsewhere], [consumers] = owners["weather-team"].messages, owners["Sales"].messages
    assert elsewhere["title"] == consumers["title"] == f"Done: {done.title} (action {done.action_id})"
    assert "- fct_conditions 2013-01-05" in elsewhere["message"]
    assert "Your consumers that it concerns: board." in consumers["message"]
    assert "rollback" not in elsewhere["message"] + consumers["message"]
    told(owners)

    back = actions.roll_back(done.action_id, ANNA, "the producer was wrong")
    actions.answer(back.action_id, ANNA, Verb.APPROVE, "looked at it", **VIA)
    drain()
    assert f"It takes back action {done.action_id}." in owners["Sales"].messages[0]["message"]
    assert "Safe to act on again:\n- orders 2013-01-05" in owners["shop-team"].messages[0]["message"]
    once = [f"Done: {back.title} (action {back.action_id})"]
    assert told(owners) == {"shop-team": once, "weather-team": once, "Sales": once}
    assert told(owners) == {}


def test_what_was_approved_before_anybody_heard_that_it_waits_is_told_as_done_alone(filled, owners):
    action = waiting()
    actions.answer(action.action_id, BEN, Verb.APPROVE, "yes", **VIA)
    assert told(owners)["shop-team"] == [f"Done: {action.title} (action {action.action_id})"]


def test_what_is_refused_is_told_to_nobody(filled, owners):
    refused = actions.propose(proposal("quarantine_partition", "orders", DAY), person("eve", "weather"))
    rejected = actions.answer(waiting().action_id, BEN, Verb.REJECT, "no", **VIA)
    assert (refused.state, rejected.state) == (ActionState.REJECTED, ActionState.REJECTED)
    assert refused.decision.obligations
    assert told(owners) == {}


def test_consumers_are_not_told_of_what_takes_nothing_from_them(filled, owners):
    done = [
        actions.propose(proposal("pause_pipeline", domain="shop"), ANNA),
        actions.propose(proposal("rerun_partition", "orders", DAY), ANNA),
    ]
    assert {action.state for action in done} == {ActionState.EXECUTED}
    assert all("board" in action.radius.consumers for action in done)
    assert told(owners).keys() == {"shop-team", "weather-team"}


@pytest.mark.parametrize(("state", "headline"), [("failed", "Could not be done"), ("invalidated", "Not done")])
def test_what_came_to_nothing_is_told_to_owners_without_what_the_database_said(filled, owners, state, headline):
    action = actions.propose(proposal("quarantine_partition", "orders", DAY), ANNA, execute=False)
    details = Jsonb({"failure": "Key (amount)=(4711) is there"})
    filled.call(Role.CONTROLLER, "move_action", action.action_id, "approved", state, "anna", details)
    drain()
    assert "4711" not in str(owners["shop-team"].messages)
    title = [f"{headline}: {action.title} (action {action.action_id})"]
    assert told(owners) == {"shop-team": title, "weather-team": title}


def test_a_step_that_did_not_come_about_is_told_to_nobody(filled, owners):
    action = actions.propose(proposal("quarantine_partition", "orders", DAY), ANNA, execute=False)
    dying = filled.session(Role.CONTROLLER, autocommit=False)
    dying.execute("select interlock.begin_execution(%s, 'dying')", [action.action_id])
    dying.rollback()
    assert notices(filled) == []
    assert told(owners) == {}


def test_what_an_owner_did_not_accept_is_kept_and_what_was_sent_is_pruned_when_it_is_old(filled, owners):
    owners["shop-team"].status = 500
    action = waiting()
    assert (drain().kept, notices(filled)) == (1, [("awaits_approvals", o) for o in ("shop-team", "weather-team")])
    owners["shop-team"].status = 200
    assert told(owners)["shop-team"] == [f"Waits for approval: {action.title} (action {action.action_id})"]
    with filled.database.connect(Role.ADMIN, autocommit=True) as administrator:
        administrator.execute(
            "update interlock.action_notice set sent_at = now() - interval '9 days' where recipient = 'shop-team'"
        )
    assert filled.call(Role.OPERATOR, "prune_notices", "7 d") == 1
    assert notices(filled) == [("awaits_approvals", "weather-team")]


def test_an_action_is_called_what_it_is_called_everywhere_else(filled, owners):
    made = waiting()
    query = "select to_jsonb(a) from interlock.action a where action_id = %s"
    [(row,)] = filled.rows(Role.AUDITOR, query, made.action_id)
    row |= {"key": "many", "partitions": [f"2013-01-{day:02}" for day in range(1, 6)], "version": None}
    many, _ = filled.call(Role.CONTROLLER, "propose_action", Jsonb(row), Jsonb([]))
    filled.call(Role.CONTROLLER, "record_decision", many, Jsonb(row["decision"]))
    everywhere = actions.propose(proposal("pause_pipeline", domain="*"), rule())
    said = "\n".join(told(owners)["shop-team"])
    for action in (made, actions.get(many), everywhere):
        assert f": {action.title} (action {action.action_id})" in said
