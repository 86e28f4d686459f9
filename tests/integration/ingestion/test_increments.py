"""Increments: which they are, in which order they count, and what a correction, a refusal or a late one does."""

from __future__ import annotations

import psycopg
import pytest

from interlock.db.connection import Role
from interlock.ingestion import errors, loads
from interlock.ingestion.records import Records

DAY = "2013-01-05"
HEADER = "id,day,amount\n"
GOOD = HEADER + "1,2013-01-05,10\n2,2013-01-05,20\n"
OTHER = HEADER + "1,2013-01-05,11\n"


@pytest.fixture
def increments(feed_of):
    return feed_of("sizes")


def test_increments_are_all_loaded_in_order_and_then_not_even_read_again(increments, monkeypatch):
    increments.deliver(GOOD, "sizes_2013-02-01.csv")
    increments.deliver(GOOD, "sizes_2013-01-01.csv")
    results = increments.load_all()
    assert [(r.outcome, r.file) for r in results] == [
        ("loaded", "sizes/sizes_2013-01-01.csv"), ("loaded", "sizes/sizes_2013-02-01.csv"),
    ]  # fmt: skip
    for result in results:
        increments.accept(result)
    increments.admit()
    monkeypatch.setattr(loads, "opened", None)
    assert [r.outcome for r in increments.load_all()] == ["duplicate"]


def test_an_increment_that_was_written_again_is_read_again(increments):
    increments.deliver(GOOD, "sizes_2013-01-01.csv")
    increments.accept(increments.load())
    increments.deliver(OTHER, "sizes_2013-01-01.csv")
    assert increments.load().outcome == "loaded"
    increments.deliver(OTHER, "sizes_2013-01-01.csv")


def test_a_refused_increment_holds_back_those_after_it(increments):
    increments.deliver(GOOD, "sizes_2013-01-01.csv")
    increments.deliver("nonsense", "sizes_2013-02-01.csv")
    increments.deliver(GOOD, "sizes_2013-03-01.csv")
    results = increments.load_all()
    assert [r.outcome for r in results] == ["loaded", "refused"]
    increments.accept(results[0])
    assert increments.state() == "unsafe"


def test_a_refused_increment_that_was_withdrawn_lets_the_accepted_ones_be_judged_again(increments):
    increments.deliver(GOOD, "sizes_2013-01-01.csv")
    first = increments.load()
    increments.accept(first)
    path = increments.deliver("nonsense", "sizes_2013-02-01.csv")
    increments.load()
    assert increments.state() == "unsafe"
    path.unlink()
    again = increments.load()
    assert (again.outcome, again.load_id) == ("loaded", first.load_id)
    increments.accept(again)
    increments.platform.finish(increments.run)
    assert increments.state() == "safe"


def test_an_increment_whose_name_says_a_day_that_is_none_is_refused(increments):
    increments.deliver(GOOD, "sizes_2013-02-30.csv")
    increments.deliver(GOOD, "sizes_2013-01-01.csv")
    result = increments.load()
    assert (type(result.error), result.file) == (errors.PartitionDenied, "sizes/sizes_2013-02-30.csv")


def test_of_a_feed_that_replaces_everything_only_the_newest_delivery_counts(feed_of):
    feed = feed_of("sizes", mode="full-partition")
    feed.deliver(OTHER, "sizes_2013-01-01.csv")
    feed.deliver(GOOD, "sizes_2013-02-01.csv")
    assert feed.load().file == "sizes/sizes_2013-02-01.csv"


# Increments of a day


@pytest.fixture
def refunds(feed_of):
    """A day that is delivered in increments, each with a date and a number."""

    return feed_of("refunds")


def increment(sequence, delivered="2013-01-05"):
    return f"refunds_{DAY}_{delivered}_{sequence}.csv"


def row(number):
    return f"{HEADER}{number},{DAY},{number}0\n"


def accepted(feed):
    """What staged models read: which increment each row came with."""
    return feed.platform.rows(
        Role.DEVELOPER,
        "select id, _delivered_on::text, _sequence from raw_shop.refunds_accepted order by 2, 3, _load_id, _row_number",
    )


def take_up(feed):
    """One run: load all, accept all."""
    feed.admit()
    results = feed.load_all()
    for result in results:
        if result.outcome == "loaded":
            feed.accept(result)
    feed.platform.finish(feed.run)
    return [result.outcome for result in results]


def test_increments_of_a_day_stand_beside_each_other_in_the_order_of_their_names_whenever_they_come(refunds):
    refunds.deliver(row(3), increment(10))
    refunds.deliver(row(2), increment(9))
    nine, ten = refunds.load_all()
    assert (nine.file, ten.file) == (f"refunds/{increment(9)}", f"refunds/{increment(10)}")
    refunds.accept(nine)
    refunds.accept(ten)
    refunds.deliver(row(4), increment(1, "2013-01-06"))
    refunds.deliver(row(1), increment(1))
    assert take_up(refunds) == ["loaded", "loaded"]
    in_order = [("1", "2013-01-05", 1), ("2", "2013-01-05", 9), ("3", "2013-01-05", 10), ("4", "2013-01-06", 1)]
    assert accepted(refunds) == in_order
    assert take_up(refunds) == ["duplicate"]
    assert accepted(refunds) == in_order


def test_a_correction_takes_the_place_of_its_increment_and_of_no_other(refunds):
    refunds.deliver(row(1), increment(1))
    refunds.deliver(row(2), increment(2))
    take_up(refunds)
    refunds.deliver(row(7), increment(1))
    assert take_up(refunds) == ["loaded"]
    assert accepted(refunds) == [("7", DAY, 1), ("2", DAY, 2)]
    assert refunds.state() == "safe"


def test_an_old_content_that_is_put_back_with_its_old_time_is_a_correction_again(refunds):
    path = refunds.deliver(row(1), increment(1))
    kept = path.with_name("kept")
    path.rename(kept)
    kept.rename(path)
    take_up(refunds)
    path.rename(kept)
    refunds.deliver(row(2), increment(1))
    take_up(refunds)
    kept.replace(path)
    assert take_up(refunds) == ["loaded"]
    assert accepted(refunds) == [("1", DAY, 1)]


def test_two_names_of_one_increment_are_refused_until_one_of_them_is_gone(refunds):
    refunds.deliver(row(1), increment(1))
    other = refunds.deliver(row(2), increment("01"))
    result = refunds.load()
    assert type(result.error) is errors.AmbiguousDelivery
    other.unlink()
    assert take_up(refunds) == ["loaded"]
    assert refunds.state() == "safe"


@pytest.mark.parametrize("hand", ["the loader", "the gate"])
def test_a_bad_increment_stays_a_finding_whatever_else_is_accepted_until_it_comes_right(refunds, hand):
    path = refunds.deliver("nonsense" if hand == "the loader" else row(1), increment(1))
    result = refunds.load()
    if hand == "the gate":
        refunds.reject(result)
    path.rename(path.with_name("elsewhere"))
    if hand == "the gate":
        refunds.deliver(row(2), increment(2))
        refunds.admit()
        refunds.accept(refunds.load())
        refunds.platform.finish(refunds.run)
        assert accepted(refunds) == [("2", DAY, 2)]
        [reason] = refunds.reasons()
        assert reason["message"] == f"Refused or rejected, and not delivered right since: refunds/{increment(1)}."
    refunds.deliver(row(1), increment(1))
    take_up(refunds)
    assert refunds.state() == "safe"


def test_a_refused_correction_that_vanished_has_not_made_the_increment_right(refunds):
    refunds.deliver(row(1), increment(1))
    refunds.deliver(row(2), increment(2))
    take_up(refunds)
    path = refunds.deliver("nonsense", increment(1))
    assert take_up(refunds) == ["refused"]
    path.unlink()
    take_up(refunds)
    assert refunds.state() == "unsafe"
    refunds.deliver(row(1), increment(1))
    take_up(refunds)
    assert refunds.state() == "safe"


def test_what_waited_behind_a_rejected_increment_is_loaded_again_to_come_after_its_correction(refunds):
    refunds.deliver(row(1), increment(1))
    refunds.deliver(row(2), increment(2))
    bad, waiting = refunds.load_all()
    refunds.reject(bad)
    refunds.deliver(row(3), increment(1))
    refunds.admit()
    corrected, again = refunds.load_all()
    assert waiting.load_id < corrected.load_id < again.load_id
    refunds.accept(corrected)
    refunds.accept(again)
    refunds.platform.finish(refunds.run)
    assert accepted(refunds) == [("3", DAY, 1), ("2", DAY, 2)]
    assert refunds.state() == "safe"


@pytest.mark.parametrize("sequence", ["a", "1.5", "-1", "1" * 19])
def test_a_sequence_that_is_no_number_is_refused_and_holds_up_the_others(refunds, sequence):
    path = refunds.deliver(row(1), increment(sequence))
    refunds.deliver(row(2), increment(2))
    result = refunds.load()
    assert (type(result.error), result.file) == (errors.PartitionDenied, f"refunds/{path.name}")
    path.unlink()
    assert take_up(refunds) == ["loaded"]
    assert refunds.state() == "safe"


# Snapshots that replace each other


@pytest.fixture
def snapshots(feed_of):
    return feed_of("colours")


def test_a_snapshot_that_is_older_than_the_served_one_is_recorded_and_changes_nothing(snapshots, caplog):
    newer = snapshots.deliver(GOOD, "colours_2013-02-01.csv")
    first = snapshots.load()
    snapshots.accept(first)
    newer.unlink()
    snapshots.deliver(OTHER, "colours_2013-01-01.csv")
    snapshots.admit()
    result = snapshots.load()
    assert (result.outcome, result.load_id, result.error) == ("outdated", None, None)
    assert "the one that is served is newer (2013-02-01)" in caplog.text
    snapshots.platform.finish(snapshots.run)
    assert {line[5] for line in snapshots.rows()} == {first.load_id}
    assert snapshots.deliveries()[-1] == ("outdated", "colours/colours_2013-01-01.csv", None)
    assert snapshots.state() == "safe"
    snapshots.deliver(OTHER, "colours_2013-02-01.csv")
    snapshots.admit()
    assert snapshots.load().outcome == "loaded"


def test_the_database_does_not_load_or_serve_an_older_snapshot_either(snapshots, monkeypatch):
    snapshots.deliver(OTHER, "colours_2013-01-01.csv")
    older = snapshots.load()
    snapshots.deliver(GOOD, "colours_2013-02-01.csv")
    snapshots.accept(snapshots.load())
    with pytest.raises(psycopg.errors.Error, match="is older than the one of 2013-02-01") as refused:
        snapshots.accept(older)
    assert refused.value.sqlstate == "IL013"
    # The newer one is accepted after the first look.
    snapshots.path("colours_2013-02-01.csv").unlink()
    real, looks = Records.served_delivery, iter([None])
    monkeypatch.setattr(Records, "served_delivery", lambda self, partition: next(looks, real(self, partition)))
    monkeypatch.setattr(Records, "newest", lambda *arguments: None)
    assert snapshots.load().outcome == "outdated"
