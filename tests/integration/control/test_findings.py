"""A fact leads to one action at most, is answered while what it is about is served, and never gets lost."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from tests.integration.control.people import ANNA, carried_out, person
from typer.testing import CliRunner

from interlock.cli import app
from interlock.control import actions, audit, findings, policy, rules
from interlock.control.actions import NotEntitled
from interlock.control.decisions import Decision, Engine
from interlock.control.findings import Fact, Finding
from interlock.control.questions import ActionState, Right
from interlock.db.connection import Role
from interlock.errors import TransientFailure, UsageError

DAY, NEXT = "2013-01-05", "2013-01-06"


def bad(dataset: str = "orders", partition: str = DAY, **more: Any) -> Finding:
    more = {"kind": Fact.PRODUCER_RECALL, "message": "The till was closed.", **more}
    return Finding(dataset=dataset, partition=partition, **more)


def version_of(platform: Any, dataset: str, partition: str = DAY) -> int:
    return int(platform.call(Role.CONSUMER, "ask", dataset, partition)["version"])


def hold(platform: Any, run: Any, dataset: str, day: str) -> int:
    """A candidate that fails its gate."""
    platform.workspace(run)
    version = int(platform.build(run, dataset, day))
    platform.fail(run, version, day)
    return version


def test_a_served_version_that_was_found_bad_is_quarantined_by_rule_on_that_fact(filled):
    version = version_of(filled, "orders")
    number = findings.report(bad(), ANNA)
    found = findings.get(number)
    assert (found.version, found.root, found.reported_by) == (version, f"finding:{number}", ANNA)
    action = actions.get(found.answered_by)
    assert (action.state, action.kind, action.partitions, action.version) == (
        ActionState.EXECUTED, "quarantine_partition", (DAY,), version,
    )  # fmt: skip
    assert (action.actor.name, action.rationale) == ("rule:served_version_found_bad", "The till was closed.")
    assert action.evidence == (found.as_evidence,)
    assert (filled.state("orders", DAY), filled.state("fct_orders", DAY)) == ("quarantined", "unsafe")
    assert [link.kind for link in audit.trail()].count("finding_reported") == 1

    # The same fact, and every sweep, change nothing.
    assert findings.report(bad(version=version), ANNA) == number
    assert rules.react(ANNA) == []
    assert len(actions.find(kind="quarantine_partition")) == 1


def test_a_version_that_nobody_is_served_any_more_is_noted_and_left(filled):
    former = version_of(filled, "orders")
    run = filled.admit("shop", DAY)
    filled.deliver(run, "orders", DAY, (5, 6))
    found = findings.get(findings.report(bad(version=former), ANNA))
    assert (found.answered_by, found.note) == (None, f"version {former} is not what is served")
    assert actions.find() == []
    with pytest.raises(UsageError, match="there is no version 999999 of"):
        findings.report(bad(version=999_999), ANNA)


def test_days_of_one_version_with_one_root_are_one_action(filled):
    run = filled.admit("shop", DAY, NEXT)
    version = filled.renew(run, "fct_orders", DAY, NEXT)
    facts = [bad("fct_orders", day, kind=Fact.FAILED_RECONCILIATION, root="books:7") for day in (DAY, NEXT)]
    findings.report_all(facts, ANNA)
    (action,) = actions.find(kind="quarantine_partition")
    assert (action.partitions, action.version, len(action.evidence)) == ((DAY, NEXT), version, 2)
    assert action.state is ActionState.EXECUTED


def test_what_was_found_again_after_a_release_is_news_and_a_named_root_is_not(filled):
    findings.report(bad(), ANNA)
    first = findings.report(bad("orders", NEXT, root="recall:7"), ANNA)
    for partition in (DAY, NEXT):
        carried_out("release_partition", "orders", partition)
    assert findings.report(bad("orders", NEXT, root="recall:7"), ANNA) == first
    again = findings.get(findings.report(bad(), ANNA))
    assert again.finding_id > first
    assert again.answered_by is not None


def test_a_fact_waits_for_the_policy_and_for_whoever_died_before_the_rules_had_answered(filled, monkeypatch):
    down = Decision.refusal("the engine is down", revision="", engine=Engine.REGO)
    with monkeypatch.context() as patched:
        patched.setattr(policy, "decide", lambda *_: down)
        number = findings.report(bad(), ANNA)
    assert findings.get(number).answered_by is None
    assert filled.state("orders", DAY) == "safe"
    # The more often it came to nothing, the later it is tried again; here it was reported a minute ago.
    with filled.database.connect(Role.ADMIN, autocommit=True) as connection:
        connection.execute("alter table interlock.finding disable trigger guard_finding")
        connection.execute("update interlock.finding set reported_at = reported_at - interval '1 minute'")
        connection.execute("alter table interlock.finding enable trigger guard_finding")
    (action,) = rules.react(ANNA)
    assert action.state is ActionState.EXECUTED
    assert findings.get(number).answered_by == action.action_id

    with monkeypatch.context() as patched:
        died = TransientFailure("gone")
        patched.setattr(rules, "answer", lambda: (_ for _ in ()).throw(died))
        number = findings.report(bad("orders", NEXT), ANNA)
    assert findings.get(number).answered_by is None
    assert [action.state for action in rules.react(ANNA)] == [ActionState.EXECUTED]
    assert findings.find(is_open=True) == []


def test_a_dataset_whose_candidates_are_held_in_a_row_is_paused_once_a_streak(filled):
    run = filled.admit("shop", DAY, NEXT)
    held = []
    for day in (DAY, NEXT, DAY):
        assert rules.react(ANNA) == []
        held.append(hold(filled, run, "agg_orders", day))
    (action,) = rules.react(ANNA)
    assert (action.kind, action.dataset, action.state) == ("pause_pipeline", "agg_orders", ActionState.EXECUTED)
    assert (action.evidence[0].count, action.evidence[0].root) == (3, f"held:agg_orders:{held[0]}")
    assert rules.react(ANNA) == []
    again = Finding(kind=Fact.HELD_CANDIDATES, dataset="agg_orders", count=3, message="Three were held.")
    assert findings.get(findings.report(again, ANNA)).note == "agg_orders stands still already"
    # Whoever resumes it has looked: the same streak does not pause it again.
    carried_out("resume_pipeline", "agg_orders")
    hold(filled, run, "agg_orders", NEXT)
    assert rules.react(ANNA) == []
    # Once something has passed, the next streak is another one.
    filled.renew(run, "agg_orders", DAY)
    assert filled.rows(Role.CONTROLLER, "select * from interlock.held_streaks(1)") == []


def test_facts_are_reported_with_the_right_to_and_never_changed(filled):
    for nobody in (person("ann", rights=(Right.READ,)), person("ann", "weather")):
        with pytest.raises(NotEntitled):
            findings.report(bad(), nobody)
    assert findings.find() == []
    findings.report(bad(), ANNA)
    for change in ("update interlock.finding set message = 'x'", "update interlock.finding set note = 'x'",
                   "delete from interlock.finding"):  # fmt: skip
        with pytest.raises(psycopg.Error) as refused:
            filled.session(Role.OWNER).execute(change.encode())
        assert refused.value.sqlstate == "IL010"
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        filled.call(Role.CONSUMER, "report_finding", Jsonb({}), Jsonb({}))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        filled.call(Role.OPERATOR, "leave_finding", 1, "nothing to see")


def test_the_command_reports_who_found_it_and_prints_what_the_rule_did(filled, monkeypatch):
    monkeypatch.setattr("interlock.control.credentials.from_environment", lambda: ANNA)
    words = ["finding", "report", "orders", "-p", DAY, "--kind", "failed_check", "--reason", "two tills"]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 0, told.output
    assert f"failed_check orders {DAY} version" in told.output
    assert "two tills" in told.output
    assert "EXECUTED" in told.output.upper()
    assert filled.state("orders", DAY) == "quarantined"
    listed = CliRunner().invoke(app, ["finding", "list", "orders"])
    assert "by anna: two tills\n    answered by action 1\n" in listed.output
