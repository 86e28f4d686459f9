"""From the landing folder into raw: what is loaded, what changes nothing, what is held back, and what waits."""

from __future__ import annotations

import gzip
import hashlib
import os

import psycopg
import pytest

from interlock.db.connection import Role
from interlock.db.failures import Refused, RefusedForNow
from interlock.ingestion import errors, loads, marks, sources
from interlock.ingestion.landing import pending

DAY = "2013-01-05"
HEADER = "id,day,amount\n"
GOOD = HEADER + "1,2013-01-05,10\n2,2013-01-05,20\n"
OTHER = HEADER + "1,2013-01-05,11\n"
WRONG_MARK = {"rows": 3, "sha256": "0" * 64}


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


# Completion marks


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


# Drift


@pytest.mark.parametrize(
    ("header", "drift", "outcome"),
    [
        ("id,day", {"missing": "quarantine"}, "quarantined"),
        ("id,day", {"extra": "quarantine"}, "refused"),
        ("id,day,amount,more", {"extra": "quarantine"}, "quarantined"),
        ("id,day,sum", {"renamed": "quarantine"}, "quarantined"),
        ("id,day,sum", {"missing": "quarantine", "extra": "quarantine"}, "refused"),
        ("id,sum,more", {"missing": "quarantine"}, "refused"),
        ("id,sum,more", {"missing": "quarantine", "extra": "quarantine"}, "quarantined"),
    ],
)
def test_the_drift_policy_decides_and_the_stricter_part_of_it_wins(feed_of, header, drift, outcome):
    feed = feed_of(drift=drift)
    feed.deliver(header + "\n" + ",".join("1" for _ in header.split(",")) + "\n")
    result = feed.load()
    assert (result.outcome, type(result.error)) == (outcome, errors.ColumnsDrifted)
    assert (feed.rows(), feed.state()) == ([], "unsafe")


def test_a_quarantined_delivery_is_kept_line_by_line_once_and_for_the_operator_alone(feed_of):
    feed = feed_of(drift={"missing": "quarantine"})
    lines = ["id,day", '1,"x', '",\\N', "", "2,é"]
    feed.deliver(gzip.compress("\r\n".join(lines).encode() + b"\r\n"), "orders_2013-01-05.csv.gz")
    first = feed.load()
    feed.admit()
    feed.load()
    kept = feed.platform.rows(Role.OPERATOR, "select line_number, line from raw_shop.quarantined_line order by 1")
    assert kept == list(enumerate(lines, 1))
    assert first.rows == len(lines)
    [reason] = feed.reasons()
    assert reason["evidence"]["quarantine_table"] == "raw_shop.quarantined_line"
    for role in (Role.DEVELOPER, Role.CONSUMER, Role.BUILDER):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            feed.platform.rows(role, "select * from raw_shop.quarantined_line")


def test_lines_can_be_added_to_no_delivery_but_the_open_one(feed_of):
    feed = feed_of(drift={"missing": "quarantine"})
    feed.deliver("id,day\n1,2\n")
    feed.load()
    feed.connection.execute("select set_config('interlock.quarantine_id', '1', false)")
    with pytest.raises(psycopg.errors.Error) as refused:
        feed.connection.execute("insert into raw_shop.quarantined_line (line) values ('slipped in')")
    assert refused.value.sqlstate == "IL010"


def test_what_cannot_even_be_kept_is_refused(feed_of):
    feed = feed_of(drift={"missing": "quarantine"})
    feed.deliver("id,day\n1,\x01\n")
    result = feed.load()
    assert result.outcome == "refused"
    assert "control characters" in result.error.evidence["not_kept"]


# Increments


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


# Rights and failures of the world


def test_a_run_that_lost_its_claim_loads_nothing(feed):
    feed.deliver(GOOD)
    feed.run.token -= 1
    with pytest.raises((Refused, RefusedForNow)):
        feed.load()
    assert feed.rows() == []


def test_a_landing_folder_that_cannot_be_read_is_transient_and_shows_no_login(feed, monkeypatch):
    from interlock.ingestion.landing import Landing

    feed.deliver(GOOD)
    root = Landing("ftp://user:hidden@127.0.0.1:1/landing")
    with pytest.raises(errors.LandingUnreachable) as raised:
        root.facts("orders/orders.csv")
    assert raised.value.retry_helps
    assert "hidden" not in str(raised.value)


def test_an_object_store_is_a_landing_folder_too(feed, monkeypatch):
    import fsspec

    from interlock.settings import settings

    monkeypatch.setenv("INTERLOCK_LANDING_URL", "memory://bucket/landing")
    settings.cache_clear()
    fsspec.filesystem("memory").pipe("/bucket/landing/orders/orders_2013-01-05.csv", GOOD.encode())
    monkeypatch.setattr(marks, "SETTLE_SECONDS", 0)
    assert feed.load().rows == 2


def test_chunks_may_end_anywhere(feed, monkeypatch):
    """Characters, quotes and line ends are cut by chunk ends; what is read must not depend on it."""
    text = HEADER + "".join(f'{n},"ü€𝄞\r\n""{n}""",x\n' for n in range(40))
    for size in (7, 11, 64):
        for module in (sources, sources.compression, sources.csv):
            monkeypatch.setattr(module, "CHUNK_BYTES", max(size, len(HEADER)))
        feed.deliver(text + f"{size},,\n")
        assert feed.load().rows == 41
    assert {row[1] for row in feed.rows() if row[0] == "7" and row[1]} == {'ü€𝄞\r\n"7"'}


def test_the_memory_of_a_load_does_not_grow_with_its_file(feed, tmp_path):
    """Peaks are measured for Python's own memory; the connection's buffer is bounded by its library."""
    import tracemalloc

    line = "1,2013-01-05," + "".join(str(n % 10) for n in range(80)) + "\n"
    peaks = []
    for megabytes in (4, 32):
        feed.deliver(HEADER + line * (megabytes * 2**20 // len(line)))
        tracemalloc.start()
        feed.load()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 16 * 2**20
    assert peaks[1] < 2 * peaks[0]
