"""A partition turned out bad: who was told that it was safe while it was, what rests on it, and who is told of that."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta

import pytest
from tests.integration.control.people import ANNA, BEN, VIA, carried_out, version_of
from tests.integration.receivers import receiving
from tests.integration.safety.relying import ADA, DAY, NEXT, mend, relied, turn_bad

from interlock.control import actions
from interlock.control.audit import trail
from interlock.control.records import Verb
from interlock.db.connection import Role
from interlock.errors import UsageError
from interlock.safety import recall_messages
from interlock.safety.answers import ask
from interlock.safety.notices import drain
from interlock.safety.recall import consumers, recall
from interlock.safety.reliances import Asker, Kind, Via


def test_who_asked_while_it_was_safe_is_listed_with_the_version_and_who_asked_after_is_not(filled, recorder):
    before = ask("fct_orders", DAY)
    recorder.note(ADA.checked(before))
    run = turn_bad(filled)
    recorder.note(Asker("late", Via.API).checked(ask("fct_orders", DAY)))
    mend(filled, run)
    after = ask("fct_orders", DAY)
    recorder.note(Asker("eve", Via.API).checked(after))
    assert recorder.flush()

    found = recall("fct_orders", DAY)
    [fallen] = found.fallen
    assert fallen.version == before.version
    assert found.stands
    assert found.stands.version == after.version
    [one] = fallen.relied
    assert (one.who, one.via, one.kind, one.times, one.versions) == ("ada", Via.API, Kind.CHECK, 1, (before.version,))
    [stood] = fallen.stood
    assert stood.since < one.first_at < fallen.ended_at
    assert fallen.ended_by.code == "input_unsafe"
    assert relied("fct_orders", since=one.last_at + timedelta(seconds=1)) == {before.version: []}


def test_what_was_built_from_it_is_followed_to_the_runs_and_to_whoever_relied_on_that(filled, recorder, dashboard):
    root = version_of(filled, "orders")
    fact = ask("fct_orders", DAY)
    recorder.note(Asker("ada", Via.CLIENT, dashboard).read("fct_orders", {DAY: fact.version}))
    recorder.note(ADA.checked(ask("fct_orders", NEXT)))
    turn_bad(filled)
    recorder.flush()

    [fallen] = recall("orders", DAY).fallen
    assert (fallen.version, fallen.ended_by.code) == (root, "gate_failed")
    assert [(one.consumer, one.owner, one.kind, one.dataset, one.partitions) for one in fallen.relied] == [
        ("dashboard", "bi-team", Kind.READ, "fct_orders", (DAY,))
    ]
    built = {(item.dataset, item.partition): item for item in fallen.built}
    assert built["fct_orders", DAY].path == ("orders", "stg_orders", "fct_orders")
    assert {"agg_orders", "price_list", "total_orders", "fct_conditions"} <= {item.dataset for item in fallen.built}
    assert not any(item.stands for item in fallen.built)
    assert built["fct_orders", DAY].run_id
    assert built["fct_orders", DAY].actor == "tester"
    assert {(one.kind, one.name, one.owner, one.contact) for one in fallen.registered} == {
        ("consumer", "dashboard", "bi-team", "bi@example.org"), ("metric", "revenue", None, None)
    }  # fmt: skip
    assert [one.name for one in consumers()] == ["dashboard"]


def test_an_answer_about_the_dataset_rests_on_the_days_of_its_window(filled, recorder):
    recorder.note(ADA.checked(ask("fct_orders")))
    recorder.flush()
    assert ask("fct_orders").safe
    turn_bad(filled, NEXT)
    recorder.note(Asker("late", Via.API).checked(ask("fct_orders")))
    recorder.flush()
    version = version_of(filled, "fct_orders", NEXT)
    assert relied("fct_orders", NEXT) == {version: ["ada"]}
    turn_bad(filled, DAY)
    assert list(relied("fct_orders", DAY).values()) == [[]]  # the window is one day, and this one is before it


def test_a_metrics_value_is_listed_once_for_all_the_days_that_it_rests_on(filled, recorder):
    days = {day: version_of(filled, "fct_orders", day) for day in (DAY, NEXT)}
    for _ in range(2):
        for note in ADA.given("revenue", 12.5, f"{DAY} to {NEXT}", {"fct_orders": days}):
            recorder.note(note)
    recorder.flush()
    turn_bad(filled)
    for dataset in ("orders", "fct_orders"):
        [fallen] = recall(dataset, DAY).fallen
        [one] = fallen.relied
        assert (one.kind, one.metric, one.value, one.times) == (Kind.METRIC, "revenue", 12.5, 2)
        assert one.partitions == (DAY,)
    [kept] = filled.rows(Role.AUDITOR, "select partitions, versions from interlock.reliance_basis")
    assert kept == ([DAY, NEXT], [days[DAY], days[NEXT]])
    run = filled.admit("shop", NEXT)
    filled.fail(run, filled.load(run, "sizes", "all"), "all")
    [one] = recall("sizes", "all").fallen[0].relied
    assert (one.times, one.partitions) == (2, (DAY, NEXT))


def test_what_is_safe_again_as_it_was_is_not_recalled(filled, recorder):
    recorder.note(ADA.checked(ask("price_list", DAY)))
    recorder.flush()
    version = version_of(filled, "price_list")
    quarantined = carried_out("quarantine_partition", "price_list", DAY, version=version)
    assert relied("price_list") == {version: ["ada"]}
    assert recall("price_list", DAY).fallen[0].ended_by.code == "quarantined"
    back = actions.roll_back(quarantined.action_id, ANNA, "it was right")
    actions.answer(back.action_id, BEN, Verb.APPROVE, "yes", **VIA)
    found = recall("price_list", DAY)
    assert found.fallen == ()
    assert found.stands
    assert found.stands.version == version


def test_a_version_that_another_one_replaced_is_recalled_too(filled, recorder):
    recorder.note(ADA.checked(ask("price_list", DAY)))
    recorder.flush()
    was = version_of(filled, "price_list")
    run = filled.admit("shop", DAY)
    now = filled.renew(run, "price_list", DAY, amounts=(7,))
    [fallen] = recall("price_list", DAY).fallen
    assert (fallen.version, fallen.ended_by.code, len(fallen.stood)) == (was, "replaced", 1)
    assert str(now) in fallen.ended_by.message
    assert [one.who for one in fallen.relied] == ["ada"]


def test_logins_that_could_have_read_it_in_sql_are_possible_readers(filled):
    from interlock.db import consumers as logins

    logins.create("recall_reader", "tests")
    try:
        turn_bad(filled)
        logins.create("recall_latecomer", "tests")
        [fallen] = recall("fct_orders", DAY).fallen
    finally:
        for name in ("recall_reader", "recall_latecomer"):
            logins.drop(name, "tests")
    own = {one.login for one in fallen.possible_readers if not one.is_shared}
    assert "recall_reader" in own
    assert "recall_latecomer" not in own
    assert "interlock_consumer" in {one.login for one in fallen.possible_readers if one.is_shared}
    assert not {"interlock_loader", "interlock_builder"} & {one.login for one in fallen.possible_readers}
    [after] = recall("fct_orders", DAY).fallen
    assert [one.login for one in after.possible_readers if one.is_gone] == ["recall_reader"]


def test_what_was_never_safe_or_never_there_is_said(filled):
    with pytest.raises(UsageError, match="no dataset 'fct_ordres'") as refused:
        recall("fct_ordres", DAY)
    assert "fct_orders" in refused.value.fix
    with pytest.raises(UsageError, match="never safe in version 999999"):
        recall("fct_orders", DAY, version=999_999)
    assert recall("fct_orders", "2013-03-01").fallen == ()


def test_owners_are_told_once_for_each_time_that_it_ceased_to_be_safe(filled, recorder, dashboard, monkeypatch):
    recorder.note(Asker("ada", Via.CLIENT, dashboard).checked(ask("fct_orders", DAY)))
    recorder.note(Asker("ben", Via.API).checked(ask("fct_orders", DAY)))
    recorder.flush()
    with receiving(monkeypatch, "bi-team") as owners:
        run = turn_bad(filled)
        drain()
        found = recall("fct_orders", DAY)
        assert {(one.recipient, one.has_address) for one in recall_messages.letters(found)} == {
            ("bi-team", True), ("ben", False)
        }  # fmt: skip
        assert [one.recipient for one in recall_messages.tell(found, "tester")] == ["bi-team"]
        assert recall_messages.tell(found, "tester") == []
        drain()
        [told] = owners["bi-team"].messages
        assert told["title"].startswith("Recalled: fct_orders 2013-01-05")
        for part in (
            "dashboard (ada, by client)",
            "What to do over",
            "interlock check fct_orders --partition 2013-01-05",
        ):
            assert part in told["message"]
        assert "ben" not in told["message"]
        [event] = [link for link in trail() if link.kind == "recalled"]
        assert json.loads(event.payload)["told"] == ["bi-team"]
        assert event.actor == "tester"
        assert [one.recipient for one in recall("fct_orders", DAY).fallen[0].told] == ["bi-team"]

        mend(filled, run)
        recorder.note(Asker("ada", Via.CLIENT, dashboard).checked(ask("fct_orders", DAY)))
        recorder.flush()
        turn_bad(filled)
        assert [one.recipient for one in recall_messages.tell(recall("fct_orders", DAY), "tester")] == ["bi-team"]


def test_a_registered_consumer_without_a_record_is_told_that_it_may_have_read_it(filled, dashboard, monkeypatch):
    with receiving(monkeypatch, "bi-team"):
        turn_bad(filled)
        [letter] = recall_messages.letters(recall("orders", DAY))
    assert letter.recipient == "bi-team"
    assert "may have read it: dashboard (fct_orders)" in letter.body


def test_the_command_says_who_and_what_to_do_next(filled, recorder, dashboard):
    recorder.note(Asker("ada", Via.CLIENT, dashboard).checked(ask("fct_orders", DAY)))
    recorder.flush()
    turn_bad(filled)
    environment = {**os.environ, "COLUMNS": "200", "INTERLOCK_NOTIFY_URLS": '{"bi-team": ["json://127.0.0.1:1/"]}'}
    command = [sys.executable, "-m", "interlock", "recall", "orders", "--partition", DAY]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 3, done.stderr
    for part in (
        "was safe, and is not",
        "dashboard",
        "check fct_orders",
        "not safe any more",
        "Possible readers",
        "--tell",
    ):
        assert part in done.stdout
    bare = subprocess.run([*command, "--json"], capture_output=True, text=True, env=environment, check=False)
    assert json.loads(bare.stdout)["fallen"][0]["relied"][0]["who"] == "ada"
