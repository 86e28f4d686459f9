"""`interlock action` and its shortcuts: a dry run writes nothing, and every end has its words and its exit code."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from click.testing import Result
from tests.integration.control.people import ANNA
from typer.testing import CliRunner

from interlock.cli import app, exit_code
from interlock.control import credentials, findings
from interlock.control.findings import Finding
from interlock.control.questions import Right
from interlock.db.connection import Role
from interlock.errors import Exit
from interlock.settings import settings

DAY = "2013-01-05"
QUARANTINE = ("action", "propose", "quarantine_partition", "--dataset", "fct_orders", "-p", DAY, "--reason", "sums")
PEOPLE = {
    "ann": (("shop",), (Right.PROPOSE, Right.APPROVE, Right.EXECUTE)),
    "bob": (("*",), (Right.APPROVE,)),
    "eve": (("weather",), tuple(Right)),
}

Run = Callable[..., Result]


@pytest.fixture
def interlock(filled: Any, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command as one of the people, or as nobody."""
    tokens = {}
    for person, (domains, scopes) in PEOPLE.items():
        grant = credentials.Grant(person=person, scopes=scopes, domains=domains, lasts=timedelta(days=1))
        tokens[person] = credentials.create(grant, "tester")[1]

    def run(*arguments: str, by: str | None = None) -> Result:
        monkeypatch.delenv("INTERLOCK_TOKEN", raising=False)
        if by:
            monkeypatch.setenv("INTERLOCK_TOKEN", str(tokens[by]))
        settings.cache_clear()
        return CliRunner().invoke(app, list(arguments))

    return run


def recorded(platform: Any) -> tuple[int, int]:
    """How many actions and events there are."""
    (counts,) = platform.rows(
        Role.OPERATOR, "select (select count(*) from interlock.action), (select max(position) from interlock.event)"
    )
    return tuple(counts)


def served(platform: Any) -> int:
    """The version of fct_orders that is served on the day."""
    query = "select version from interlock.partition where dataset_id = interlock.dataset_id_of('fct_orders')"
    return int(platform.rows(Role.ADMIN, f"{query} and partition = %s", DAY)[0][0])


def failed_with(result: Result) -> int:
    """The exit code of a command that raised."""
    assert isinstance(result.exception, Exception)
    return exit_code(result.exception)


def test_a_dry_run_tells_all_and_writes_nothing_and_its_last_line_submits_it(interlock, filled):
    before = recorded(filled)
    told = interlock(*QUARANTINE, by="ann")
    assert told.exit_code == Exit.OK
    assert recorded(filled) == before
    subject = f"quarantine_partition fct_orders {DAY} version {served(filled)}"
    assert told.output.startswith(f"WOULD RUN AT ONCE  {subject}\n")
    assert "agg_orders" in told.output
    assert "allows it without approval" in told.output
    assert "undone by   release_partition" in told.output
    command = shlex.split(told.output.splitlines()[-1])
    assert command[-1] == "--submit"
    assert interlock(*command[1:], by="ann").exit_code == Exit.OK
    assert filled.state("fct_orders", DAY) == "quarantined"


def test_another_person_approves_what_waits_and_the_audit_tells_the_whole_story(interlock, filled):
    done = interlock(*QUARANTINE, "--submit", by="ann")
    assert done.output.startswith("EXECUTED  #1 ")
    waits = interlock("action", "rollback", "1", "--reason", "they were\nright\x1b[2J", by="ann")
    assert (waits.exit_code, waits.output.split("  ")[0]) == (Exit.OK, "PROPOSED")
    assert "approvers   ann (whose own it is), bob" in waits.output
    assert waits.output.splitlines()[-2] == 'Approve it:   interlock action approve 2 --reason "..."'
    assert "by ann: they were right [2J\n" in waits.output
    assert "#2      proposed  1 approval  release_partition fct_orders" in interlock("action", "list").output
    approved = interlock("action", "approve", "#2", "--reason", "seen", by="bob")
    assert approved.output.startswith("EXECUTED  #2 ")
    assert filled.state("fct_orders", DAY) == "safe"
    assert "Nothing waits" in interlock("action", "list").output
    story = interlock("audit", "show", "2")
    assert story.exit_code == Exit.OK
    told = ["proposed by ann: they were right", "asks for 1 approval", "approved by bob, command line: seen"]
    told += ["allows it with 1 approval", "executed by bob", f"released fct_orders {DAY}", "rolled back action 1"]
    places = [story.output.index(words) for words in told]
    assert places == sorted(places)
    assert len(story.output.splitlines()) < 25
    events = json.loads(interlock("audit", "show", "2", "--json").output)["events"]
    assert [event["kind"] for event in events if event["payload"].get("action") == 2] == [
        "action_proposed", "action_decided", "action_answered", "action_decided", "action_approved", "action_executed",
        "released",
    ]  # fmt: skip
    chain = {event["position"] for event in map(json.loads, interlock("audit", "export").output.splitlines())}
    assert {event["position"] for event in events} <= chain


def test_the_story_of_what_a_rule_did_begins_with_its_evidence_and_says_when_it_was_tampered_with(interlock, filled):
    recall = {"kind": "producer_recall", "dataset": "fct_orders", "partition": DAY, "message": "doubled orders"}
    findings.report(Finding(**recall), ANNA)
    told = interlock("audit", "show", "1").output
    assert told.startswith("EXECUTED")
    assert "proposed by rule:served_version_found_bad (rule): " in told
    assert f"evidence: producer recall: fct_orders {DAY} version {served(filled)} (finding:1" in told
    assert "NOT" not in told
    with filled.database.connect(Role.ADMIN, autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute("update interlock.event set actor = 'ann' where kind = 'action_executed'")
    assert "NOT as it was recorded: event " in interlock("audit", "show", "1").output


def test_what_the_policy_refuses_exits_3_before_and_after_it_is_submitted(interlock, filled):
    told = interlock(*QUARANTINE, by="eve")
    assert (told.exit_code, told.output.split("  ")[0]) == (Exit.UNSAFE, "WOULD BE REFUSED")
    assert "--submit" not in told.output
    done = interlock(*QUARANTINE, "--submit", by="eve")
    assert (done.exit_code, done.output.split("  ")[0]) == (Exit.UNSAFE, "REJECTED")
    assert "may not propose in every domain" in done.output
    assert filled.state("fct_orders", DAY) == "safe"


def test_what_cannot_be_done_now_exits_3_before_and_after_it_is_submitted(interlock):
    interlock(*QUARANTINE, "--submit", by="ann")
    told = interlock(*QUARANTINE, by="ann")
    assert (told.exit_code, told.output.split("  ")[0]) == (Exit.UNSAFE, "CANNOT BE DONE NOW")
    assert "is quarantined already" in told.output
    assert failed_with(interlock(*QUARANTINE, "--submit", by="ann")) == Exit.UNSAFE
    assert failed_with(interlock("action", "approve", "1", "--reason", "late", by="bob")) == Exit.UNSAFE


def test_where_the_policy_cannot_be_asked_nothing_is_done_and_the_exit_code_is_5(interlock, filled, monkeypatch):
    monkeypatch.setenv("INTERLOCK_OPA_URL", "http://127.0.0.1:1")
    told = interlock(*QUARANTINE, by="ann")
    assert (told.exit_code, told.output.split("  ")[0]) == (Exit.COULD_NOT_ASK, "THE POLICY COULD NOT BE ASKED")
    done = interlock(*QUARANTINE, "--submit", by="ann")
    assert (done.exit_code, done.output.split("  ")[0]) == (Exit.COULD_NOT_ASK, "REJECTED")
    assert filled.state("fct_orders", DAY) == "safe"


def test_who_may_not_approve_exits_3_and_whoever_rejects_exits_0(interlock, filled):
    interlock("pause", "shop", "--reason", "the till is mended", by="ann")
    assert "PAUSED shop since" in interlock("status").output
    assert interlock("resume", "shop", "--reason", "done", by="ann").output.startswith("PROPOSED  #2")
    assert failed_with(interlock("action", "approve", "2", "--reason", "why not", by="eve")) == Exit.UNSAFE
    rejected = interlock("action", "reject", "2", "--reason", "not yet", by="bob")
    assert rejected.exit_code == Exit.OK
    assert "nothing was done: bob rejected it" in rejected.output
    assert "PAUSED shop since" in interlock("status").output


def test_a_frozen_domain_and_a_paused_dataset_are_seen_in_the_status_until_they_are_not(interlock):
    interlock("freeze", "shop", "--reason", "a strange night", by="ann")
    interlock("pause", "fct_orders", "--reason", "its sums are off", by="ann")
    told = interlock("status").output
    assert "FROZEN shop since" in told
    assert "PAUSED fct_orders since" in told
    interlock("unfreeze", "shop", "--reason", "a calm morning", by="ann")
    interlock("action", "approve", "3", "--reason", "calm", by="bob")
    assert "FROZEN" not in interlock("status").output


def test_what_does_not_exist_is_wrong_usage_and_what_does_is_named(interlock):
    wrong = [
        (("action", "propose", "quarantine", "--reason", "r"), "Did you mean quarantine_partition?"),
        (("action", "propose", "pause_pipeline", "--domain", "shops", "--reason", "r"), "Did you mean shop?"),
        (
            ("action", "propose", "pause_pipeline", "--dataset", "fct_order", "--reason", "r"),
            "Did you mean fct_orders?",
        ),
        (("action", "propose", "pause_pipeline", "--reason", "r"), "--domain '*' is the whole platform"),
        (("pause", "weathr", "--reason", "r"), "Did you mean weather?"),
        (("freeze", "fct_orders", "--reason", "r"), "Use one of: shop, weather."),
        (("action", "show", "7"), "There is no action 7"),
        (("action", "show", "seven"), "'seven' is no action"),
        (("action", "list", "--state", "open"), "Use some of: proposed"),
        ((*QUARANTINE, "--param", "x"), "--param name=value"),
        ((*QUARANTINE, "--from", DAY), "Give either --partition"),
    ]
    for arguments, said in wrong:
        result = interlock(*arguments, by="ann")
        assert failed_with(result) == Exit.USAGE
        assert said in str(result.exception)


def test_to_act_takes_a_token_and_to_look_takes_none(interlock):
    interlock(*QUARANTINE, "--submit", by="ann")
    assert failed_with(interlock(*QUARANTINE)) == Exit.USAGE
    assert failed_with(interlock("action", "rollback", "1", "--reason", "r")) == Exit.USAGE
    for look in (("action", "list", "--all"), ("action", "show", "1"), ("audit", "show", "1")):
        assert "quarantine_partition fct_orders" in interlock(*look).output
    assert json.loads(interlock("action", "show", "1", "--json").output)["state"] == "executed"
