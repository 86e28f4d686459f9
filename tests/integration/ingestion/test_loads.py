"""From the landing folder into raw: what is loaded, what changes nothing, what is held back, and what waits."""

from __future__ import annotations

import gzip

import pytest

from interlock.db.connection import Role
from interlock.ingestion import errors, loads
from interlock.ingestion.landing import pending

DAY = "2013-01-05"
HEADER = "id,day,amount\n"
GOOD = HEADER + "1,2013-01-05,10\n2,2013-01-05,20\n"
OTHER = HEADER + "1,2013-01-05,11\n"


def test_a_delivery_is_in_raw_as_it_was_written_with_its_load_its_file_and_its_row_numbers(feed):
    feed.deliver('id,day,amount\n001,NA,"a ""b"",\nc"\n,"",2\n')
    result = feed.load()
    assert feed.rows() == [
        ("001", "NA", 'a "b",\nc', 1, "orders/orders_2013-01-05.csv", result.load_id),
        (None, "", "2", 2, "orders/orders_2013-01-05.csv", result.load_id),
    ]
    assert (result.outcome, result.rows) == ("loaded", 2)


def test_columns_are_taken_by_name_whatever_their_order_and_whatever_stands_before_them(feed):
    feed.deliver(b'\xef\xbb\xbf"amount",id,"day"\r\n10,1,2013-01-05\r\n')
    feed.load()
    assert [row[:3] for row in feed.rows()] == [("1", "2013-01-05", "10")]


def test_nothing_of_a_load_can_be_read_before_its_gate_accepted_it(feed):
    feed.deliver(GOOD)
    feed.load()
    query = "select count(*) from raw_shop.orders_accepted"
    assert feed.platform.rows(Role.DEVELOPER, query) == [(0,)]


def test_the_same_content_again_changes_nothing_and_is_recorded(feed):
    feed.deliver(GOOD)
    first = feed.load()
    feed.accept(first)
    feed.admit()
    again = feed.load()
    assert (again.outcome, again.load_id, again.rows) == ("duplicate", first.load_id, 0)
    assert len(feed.rows()) == 2
    assert [d[0] for d in feed.deliveries()] == ["loaded", "duplicate"]


def test_the_same_content_compressed_is_the_same_delivery(feed):
    path = feed.deliver(GOOD)
    feed.accept(feed.load())
    path.unlink()
    feed.deliver(gzip.compress(GOOD.encode()), path.name + ".gz")
    assert feed.load().outcome == "duplicate"


def test_other_content_is_a_new_load_beside_the_old_one(feed):
    feed.deliver(GOOD)
    first = feed.load()
    feed.accept(first)
    feed.deliver(OTHER)
    second = feed.load()
    assert second.outcome == "loaded"
    assert [row[5] for row in feed.rows()] == [first.load_id, first.load_id, second.load_id]
    assert [row[3] for row in feed.rows()] == [1, 2, 1]


def test_content_that_was_accepted_before_the_newest_load_is_loaded_once_more(feed):
    feed.deliver(GOOD)
    feed.accept(feed.load())
    feed.deliver(OTHER)
    feed.reject(feed.load())
    feed.deliver(GOOD)
    again = feed.load()
    assert (again.outcome, len(feed.rows())) == ("loaded", 5)


@pytest.mark.parametrize("verdict", ["none", "rejected"])
def test_content_that_its_gate_has_not_accepted_is_handed_to_the_gate_again_without_being_loaded_again(feed, verdict):
    feed.deliver(GOOD)
    first = feed.load()
    if verdict == "rejected":
        feed.reject(first)
    feed.admit()
    again = feed.load()
    assert (again.outcome, again.load_id, again.rows) == ("loaded", first.load_id, 2)
    assert len(feed.rows()) == 2


def test_the_good_file_put_back_after_a_refused_one_goes_to_the_gate_so_that_the_cause_can_clear(feed):
    feed.deliver(GOOD)
    first = feed.load()
    feed.accept(first)
    feed.deliver("nonsense")
    assert feed.load().outcome == "refused"
    assert feed.state() == "unsafe"
    feed.deliver(GOOD)
    again = feed.load()
    assert (again.outcome, again.load_id) == ("loaded", first.load_id)
    feed.accept(again)
    feed.platform.finish(feed.run)
    assert feed.state() == "safe"


def test_a_refused_correction_leaves_the_accepted_rows_served_where_the_contract_says_so(feed):
    feed.platform.register_one("orders", on_gate_failure="serve-last-good")
    feed.deliver(GOOD)
    feed.accept(feed.load())
    feed.platform.finish(feed.run)
    feed.deliver("nonsense")
    feed.admit()
    assert feed.load().outcome == "refused"
    feed.platform.finish(feed.run)
    assert feed.state() == "safe"


def test_a_header_without_rows_is_loaded_where_the_contract_accepts_it(feed_of):
    feed = feed_of(empty="accept")
    feed.deliver(HEADER)
    result = feed.load()
    assert (result.outcome, result.rows, result.load_id is not None) == ("loaded", 0, True)


def test_an_absent_file_is_a_transient_failure_that_names_the_file_and_accuses_nobody(feed):
    with pytest.raises(errors.NotDelivered, match=r"orders/orders_2013-01-05\.csv .*landing here") as raised:
        feed.load()
    assert raised.value.retry_helps
    assert (feed.deliveries(), feed.reasons()[0]["code"]) == ([], "never_judged") or feed.state() == "checking"


def test_an_absent_file_is_an_empty_load_where_the_contract_accepts_it_and_a_late_one_replaces_it(feed_of):
    feed = feed_of(absent="accept")
    empty = feed.load()
    assert (empty.outcome, empty.rows) == ("loaded", 0)
    feed.accept(empty)
    assert feed.load().outcome == "absent"
    feed.deliver(GOOD)
    late = feed.load()
    assert (late.outcome, late.rows) == ("loaded", 2)
    assert [d[0] for d in feed.deliveries()] == ["loaded", "absent", "absent", "loaded"]


def test_a_file_that_was_cleared_away_after_it_was_accepted_changes_nothing(feed):
    path = feed.deliver(GOOD)
    first = feed.load()
    feed.accept(first)
    path.unlink()
    result = feed.load()
    assert (result.outcome, result.load_id, len(feed.rows())) == ("absent", first.load_id, 2)


def test_a_refused_correction_that_vanished_has_not_made_the_old_rows_right(feed):
    feed.deliver(GOOD)
    feed.accept(feed.load())
    path = feed.deliver("nonsense")
    feed.load()
    path.unlink()
    assert feed.load().outcome == "absent"
    assert feed.state() == "unsafe"
    assert feed.deliveries()[-1][2] is None  # nothing that a gate would take up


def test_names_that_only_resemble_the_pattern_are_no_deliveries(feed):
    for name in (
        "orders_2013-01-05.csv.part",
        "orders_2013-01-05.csv.tmp",
        "xorders_2013-01-05.csv",
        "orders_2013-01-06.csv",
    ):
        feed.deliver(GOOD, name)
    with pytest.raises(errors.NotDelivered):
        feed.load()
    assert [d.file for d in pending(feed.contract, [DAY, "2013-01-06"])] == ["orders/orders_2013-01-06.csv"]


def test_a_delivery_whose_name_says_another_day_is_refused(feed):
    feed.deliver(GOOD, "orders_2013-01-06.csv")
    [other] = pending(feed.contract, ["2013-01-06"])
    as_asked = other.model_copy(update={"partition": DAY})
    result = loads.load(feed.connection, feed.run.run_id, feed.run.token, feed.contract, as_asked)
    assert type(result.error) is errors.PartitionDenied
    assert "2013-01-05, but its name says 2013-01-06" in result.error.message


def test_plain_and_compressed_side_by_side_are_refused_since_nobody_can_tell_which_counts(feed):
    feed.deliver(GOOD)
    feed.deliver(gzip.compress(OTHER.encode()), "orders_2013-01-05.csv.gz")
    assert type(feed.load().error) is errors.AmbiguousDelivery


def test_a_range_finds_what_single_days_find(feed):
    days = [f"2013-01-{n:02}" for n in range(1, 29)]
    for day in days[::2]:
        feed.deliver(GOOD, f"orders_{day}.csv")
    together = pending(feed.contract, days)
    one_by_one = [delivery for day in days for delivery in pending(feed.contract, [day])]
    assert together == one_by_one
    assert len(together) == 14
