"""What a producer took back is not loaded, does not come back by its file, and undoes nothing that stands instead."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

import pytest
from tests.integration.control.people import ANNA, carried_out

from interlock.control import actions, findings, rules
from interlock.control.findings import Fact, Finding
from interlock.control.questions import ActionState
from interlock.db.connection import Role
from interlock.ingestion import errors
from interlock.ingestion.landing import landing
from interlock.ingestion.recall_marks import RecallMark, recall_mark_of

HEADER = "id,day,amount\n"
GOOD = HEADER + "1,2013-01-05,10\n2,2013-01-05,20\n"
OTHER = HEADER + "1,2013-01-05,11\n"


def recall(path: Any, text: str = "the till was closed") -> Any:
    """The producer's mark, written after the file."""
    mark = path.with_name(path.name + ".recalled")
    mark.write_text(text)
    os.utime(mark, (path.stat().st_mtime + 5,) * 2)
    return mark


def correct(feed: Any, path: Any, content: str = OTHER) -> None:
    """The producer writes the file again, after its mark."""
    feed.deliver(content, path.name)
    os.utime(path, (path.stat().st_mtime + 30,) * 2)


def bad_load(load_id: int) -> Finding:
    return Finding(kind=Fact.FAILED_CHECK, dataset="sizes", partition="all", version=load_id, message="No such size.")


def sha256(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def is_refused(result: Any) -> bool:
    return (result.outcome, type(result.error)) == ("refused", errors.Recalled)


def test_a_file_that_was_recalled_before_it_was_loaded_is_refused_until_its_correction(feed):
    path = feed.deliver(GOOD)
    recall(path)
    result = feed.load()
    assert is_refused(result)
    assert result.error.message == f"orders/{path.name}: its producer recalled it: the till was closed."
    assert (feed.rows(), feed.state()) == ([], "unsafe")
    feed.admit()
    correct(feed, path)
    feed.accept(feed.load())
    feed.platform.finish(feed.run)
    assert feed.state() == "safe"


def test_the_recall_of_what_is_served_makes_it_unsafe_at_its_next_run_and_loads_nothing(feed):
    path = feed.deliver(GOOD)
    feed.accept(feed.load())
    before = feed.rows()
    recall(path)
    feed.admit()
    assert is_refused(feed.load())
    feed.platform.finish(feed.run)
    assert (feed.rows(), feed.state()) == (before, "unsafe")


def test_a_withdrawn_content_does_not_come_back_by_its_file_and_undoes_no_correction(feed):
    path = feed.deliver(GOOD)
    first = feed.load()
    feed.accept(first)
    carried_out("quarantine_partition", "orders", feed.partition)
    feed.admit()
    result = feed.load()
    assert is_refused(result)
    assert f"the content of load {first.load_id}, which was withdrawn: quarantined by anna" in result.error.message
    correct(feed, path)
    feed.accept(feed.load())
    feed.platform.finish(feed.run)
    feed.admit()
    feed.deliver(GOOD, path.name)
    assert is_refused(feed.load())
    feed.platform.finish(feed.run)
    assert feed.state() == "safe"
    assert {row[2] for row in feed.rows() if row[5] != first.load_id} == {"11"}
    assert [outcome for outcome, *_ in feed.deliveries()] == ["loaded", "refused", "loaded", "outdated"]


def test_what_was_released_may_be_delivered_again(feed):
    feed.deliver(GOOD)
    feed.accept(feed.load())
    carried_out("quarantine_partition", "orders", feed.partition)
    carried_out("release_partition", "orders", feed.partition)
    feed.admit()
    assert feed.load().outcome == "duplicate"
    assert feed.platform.rows(Role.LOADER, "select * from interlock.withdrawn_contents('orders', '2013-01-05')") == []


@pytest.mark.parametrize("how", ["recalled", "quarantined"])
def test_an_increment_that_was_withdrawn_holds_back_those_after_it_until_it_was_delivered_again(feed_of, how):
    feed = feed_of("sizes")
    path = feed.deliver(GOOD, "sizes_2013-01-01.csv")
    first = feed.load()
    feed.accept(first)
    if how == "recalled":
        recall(path)
    else:
        carried_out("quarantine_partition", "sizes", "all", version=first.load_id)
    feed.admit()
    feed.deliver(HEADER + "9,2013-01-05,9\n", "sizes_2013-02-01.csv")
    assert is_refused(feed.load())
    assert feed.state() == ("unsafe" if how == "recalled" else "quarantined")
    feed.admit()
    correct(feed, path)
    for result in feed.load_all():
        assert result.outcome == "loaded"
        feed.accept(result)
    feed.platform.finish(feed.run)
    assert feed.state() == "safe"


def test_of_two_increments_that_were_found_bad_the_second_is_withdrawn_once_the_first_is_mended(feed_of):
    feed = feed_of("sizes")
    path = feed.deliver(GOOD, "sizes_2013-01-01.csv")
    feed.deliver(HEADER + "9,2013-01-05,9\n", "sizes_2013-02-01.csv")
    for result in feed.load_all():
        feed.accept(result)
    loads = [load_id for _, _, load_id in feed.deliveries()]
    first, second = [findings.get(findings.report(bad_load(load_id), ANNA)) for load_id in loads]
    assert actions.get(first.answered_by).state is ActionState.EXECUTED
    assert (second.answered_by, second.note) == (None, None)
    feed.admit()
    correct(feed, path)
    feed.accept(feed.load_all()[0])
    assert feed.state() == "unsafe"
    (action,) = rules.react(ANNA)
    assert (action.state, action.version) == (ActionState.EXECUTED, second.version)
    assert feed.state() == "quarantined"


@pytest.mark.parametrize(
    ("text", "reason", "named"),
    [
        ("twice in the till\n", "twice in the till", None),
        (json.dumps({"reason": "twice", "sha256": "AB" * 32}), "twice", "ab" * 32),
        (json.dumps({"reason": "twice", "sha256": "AB"}), '{"reason": "twice", "sha256": "AB"}', None),
        ("", "no reason was given", None),
    ],
)
def test_a_mark_is_words_or_json_and_recalls_whatever_it_says(feed, text, reason, named):
    path = feed.deliver(GOOD)
    recall(path, text)
    mark = recall_mark_of(landing(), f"orders/{path.name}")
    assert (mark.reason, mark.sha256) == (reason, named)


def test_a_mark_means_the_content_that_it_names_or_what_lay_there_when_it_was_written(feed):
    path = feed.deliver(GOOD)
    recall(path, json.dumps({"sha256": sha256(OTHER)}))
    assert feed.load().outcome == "loaded"
    correct(feed, path)
    feed.admit()
    assert is_refused(feed.load())
    timeless = RecallMark(file="x", reason="y")
    assert timeless.covers(None, sha256(GOOD))
    assert timeless.covers(None, None)
