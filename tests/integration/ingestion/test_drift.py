"""A header that differs from the contract: the contract says what becomes of it, and nothing of it is loaded."""

from __future__ import annotations

import gzip

import psycopg
import pytest

from interlock.db.connection import Role
from interlock.ingestion import errors


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
