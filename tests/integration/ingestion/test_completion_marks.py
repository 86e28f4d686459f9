"""Completion marks: a file that can be listed need not be finished, and only its producer knows what it should hold."""

from __future__ import annotations

import gzip
import hashlib
import os

import pytest

from interlock.ingestion import errors, loads, marks

DAY = "2013-01-05"
HEADER = "id,day,amount\n"
GOOD = HEADER + "1,2013-01-05,10\n2,2013-01-05,20\n"
OTHER = HEADER + "1,2013-01-05,11\n"
WRONG_MARK = {"rows": 3, "sha256": "0" * 64}


def test_a_required_mark_is_waited_for(feed_of):
    feed = feed_of(mark="required")
    feed.deliver(GOOD)
    with pytest.raises(errors.NotComplete, match=r"orders_2013-01-05\.csv\.done is not"):
        feed.load()
    assert feed.deliveries() == []
    feed.deliver(GOOD, mark=True)
    assert feed.load().outcome == "loaded"


@pytest.mark.parametrize("policy", ["required", "optional"])
def test_a_file_that_is_not_what_its_mark_says_is_refused_with_both_values(feed_of, policy):
    feed = feed_of(mark=policy)
    feed.deliver(GOOD, mark=WRONG_MARK)
    result = feed.load()
    assert type(result.error) is errors.MarkMismatch
    assert "3 rows" in result.error.message
    assert "2 rows" in result.error.message
    assert hashlib.sha256(GOOD.encode()).hexdigest() in result.error.message
    assert (feed.rows(), feed.state()) == ([], "unsafe")


def test_the_mark_of_a_compressed_file_is_about_its_content(feed_of):
    feed = feed_of(mark="required")
    feed.deliver(gzip.compress(GOOD.encode()), "orders_2013-01-05.csv.gz", mark=True)
    assert feed.load().outcome == "loaded"


def test_a_mark_that_is_older_than_its_file_is_waited_for_where_it_does_not_fit(feed):
    path = feed.deliver(GOOD, mark=WRONG_MARK)
    mark = path.with_name(path.name + ".done")
    os.utime(mark, (0, 0))
    with pytest.raises(errors.NotComplete, match="older than the file"):
        feed.load()
    assert feed.deliveries() == []


def test_a_wrong_mark_beside_accepted_content_is_refused_as_well(feed):
    feed.deliver(GOOD, mark=True)
    feed.accept(feed.load())
    feed.deliver(GOOD, mark={**WRONG_MARK, "sha256": hashlib.sha256(GOOD.encode()).hexdigest()})
    assert type(feed.load().error) is errors.MarkMismatch


@pytest.mark.parametrize("text", ["", "{", '{"rows": 2}', '{"rows": -1, "sha256": ""}', "\xff"])
def test_a_mark_that_says_nothing_usable_is_refused(feed, text):
    feed.deliver(GOOD, mark=text)
    result = feed.load()
    assert type(result.error) is errors.MarkUnreadable
    assert "64 hexadecimal digits" in result.error.fix


def test_a_mark_is_not_looked_at_where_the_contract_says_none(feed_of):
    feed = feed_of(mark="none")
    feed.deliver(GOOD, mark=WRONG_MARK)
    assert feed.load().outcome == "loaded"


def test_a_file_that_changes_while_it_is_read_is_still_being_written_and_nothing_of_it_is_loaded(feed, monkeypatch):
    path = feed.deliver(GOOD)
    copied = loads.copy_records

    def copy_while_somebody_writes(*arguments):
        rows = copied(*arguments)
        path.write_text(GOOD + "3,2013-01-05,30\n")
        return rows

    monkeypatch.setattr(loads, "copy_records", copy_while_somebody_writes)
    with pytest.raises(errors.NotComplete, match="still being written"):
        feed.load()
    assert (feed.rows(), feed.deliveries()) == ([], [])


def test_a_fresh_file_without_a_mark_is_looked_at_twice(feed, monkeypatch):
    path = feed.deliver(GOOD)
    os.utime(path)
    monkeypatch.setattr(marks.time, "sleep", lambda seconds: path.write_text(OTHER))
    with pytest.raises(errors.NotComplete, match="still being written"):
        feed.load()
