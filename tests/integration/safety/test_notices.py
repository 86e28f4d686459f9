"""Owners are told once for each unsafe episode and once when it is over, one message for each fact."""

from __future__ import annotations

import pytest
from tests.integration.receivers import receiving

from interlock.db.connection import Role
from interlock.safety.notices import drain

DAY, NEXT = "2013-01-05", "2013-01-06"


@pytest.fixture
def owners(filled, monkeypatch):
    """The endpoints of both teams."""
    with receiving(monkeypatch, "shop-team", "weather-team") as receivers:
        drain()
        yield receivers


def unsent(platform):
    """How many notices wait."""
    return platform.rows(Role.AUDITOR, "select count(*) from interlock.notice where sent_at is null")[0][0]


def fail_the_day(platform, run):
    platform.fail(run, platform.load(run, "orders", DAY), DAY)


def mend_the_day(platform, run):
    platform.deliver(run, "orders", DAY)
    for name in ("stg_orders", "fct_orders", "agg_orders", "price_list"):
        platform.renew(run, name, DAY)
    platform.renew(run, "total_orders", "all")


def test_an_episode_is_told_once_to_each_owner_and_its_end_once(filled, owners):
    run = filled.admit("shop", DAY)
    fail_the_day(filled, run)
    assert drain().sent == 2
    fail_the_day(filled, run)
    assert drain().sent == 0
    [told] = owners["shop-team"].messages
    assert told["title"].startswith("Unsafe: orders 2013-01-05")
    assert "2 keys are doubled" in told["message"]
    assert "interlock explain orders --partition 2013-01-05" in told["message"]
    assert "fct_conditions 2013-01-05 (by way of orders > stg_orders" in owners["weather-team"].messages[0]["message"]
    mend_the_day(filled, run)
    drain()
    assert sum(title.startswith("Unsafe") for title in owners["shop-team"].titles) == 1
    cleared = "\n".join(m["message"] for m in owners["shop-team"].messages if m["title"].startswith("Safe again"))
    for name in ("orders", "stg_orders", "fct_orders", "agg_orders", "price_list", "total_orders"):
        assert cleared.count(f"- {name} ") == 1
    assert not any(title.startswith("Safe again") for title in owners["weather-team"].titles)
    assert drain().sent == 0


def test_a_second_episode_is_told_again(filled, owners):
    run = filled.admit("shop", DAY)
    for _ in range(2):
        fail_the_day(filled, run)
        drain()
        mend_the_day(filled, run)
        drain()
    assert sum(title.startswith("Unsafe: orders") for title in owners["shop-team"].titles) == 2


def test_what_nobody_accepted_is_kept_for_the_next_time(filled, owners):
    owners["shop-team"].status = 500
    run = filled.admit("shop", DAY)
    fail_the_day(filled, run)
    found = drain()
    assert (found.sent, found.kept) == (1, 1)
    assert owners["weather-team"].messages
    owners["shop-team"].status = 200
    assert drain().sent == 1
    assert unsent(filled) == 0
    assert len(owners["shop-team"].messages) == 1


def test_an_owner_without_an_address_is_told_by_the_log(filled, caplog):
    run = filled.admit("shop", DAY)
    fail_the_day(filled, run)
    with caplog.at_level("INFO"):
        assert drain().sent == 2
    assert "no notify_urls for 'shop-team'" in caplog.text
    assert unsent(filled) == 0


def test_an_episode_within_one_transaction_is_told_to_nobody(filled, owners):
    run = filled.admit("shop", DAY)
    filled.deliver(run, "orders", DAY)
    filled.renew(run, "stg_orders", DAY)
    drain()
    told = len(owners["shop-team"].messages)
    filled.workspace(run)
    fact = filled.build(run, "fct_orders", DAY)
    aggregate = filled.build(run, "agg_orders", DAY)
    for version in (fact, aggregate):
        filled.judge(run, version, DAY)
    filled.publish(run, DAY, fact, aggregate)
    drain()
    told = len(owners["shop-team"].messages)
    filled.renew(run, "total_orders", "all")
    drain()
    assert len(owners["shop-team"].messages) == told + 1
    publisher = filled.as_(Role.PUBLISHER)
    filled.workspace(run)
    fact = filled.build(run, "fct_orders", DAY, amounts=(4,))
    aggregate = filled.build(run, "agg_orders", DAY, amounts=(4,))
    for version in (fact, aggregate):
        filled.judge(run, version, DAY)
    with publisher.transaction():
        filled.publish(run, DAY, fact)
        filled.publish(run, DAY, aggregate)
    drain()
    assert not any("agg_orders" in message["title"] for message in owners["shop-team"].messages[told + 1 :])
