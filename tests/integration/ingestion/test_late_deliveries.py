"""Late deliveries: what lies there for a day that was run already is found, once, and at a cost that does not grow."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from interlock.db.connection import Role
from interlock.ingestion import landing
from interlock.recovery.late import late_deliveries

DAY = "2013-01-05"
HEADER = "id,day,amount\n"
GOOD = HEADER + "1,2013-01-05,10\n2,2013-01-05,20\n"
OTHER = HEADER + "1,2013-01-05,11\n"


def days_before(number):
    return str(date.fromisoformat(DAY) - timedelta(days=number))


def late(feed):
    """What would be queued: the files of each day."""
    found = late_deliveries(feed.platform.as_(Role.OPERATOR), feed.contract)
    return {day: [delivery.file for delivery in deliveries] for day, deliveries in found.items()}


def known(feed, *days):
    """Days that a run was admitted for."""
    if feed.runs:
        feed.platform.finish(feed.runs.pop())
    feed.platform.finish(feed.platform.admit("shop", *days))
    feed.admit()


@pytest.fixture
def taken_up(feed):
    """A day that is accepted."""
    feed.deliver(GOOD)
    feed.accept(feed.load())
    return feed


def test_nothing_is_late_where_everything_was_taken_up(taken_up):
    assert late(taken_up) == {}


def test_a_corrected_file_and_one_for_an_earlier_day_are_late(taken_up):
    known(taken_up, days_before(2))
    taken_up.deliver(OTHER)
    taken_up.deliver(GOOD, f"orders_{days_before(2)}.csv")
    assert late(taken_up) == {
        DAY: [f"orders/orders_{DAY}.csv"],
        days_before(2): [f"orders/orders_{days_before(2)}.csv"],
    }
    taken_up.load()
    assert DAY in late(taken_up)  # its gate has not spoken: were the run killed here, it must be found again
    taken_up.accept(taken_up.load())
    assert set(late(taken_up)) == {days_before(2)}


def test_a_later_day_is_the_schedules_and_a_day_that_never_ran_is_nobodys(taken_up):
    known(taken_up, "2013-01-06", DAY)
    taken_up.deliver(GOOD, "orders_2013-01-06.csv")
    taken_up.deliver(GOOD, f"orders_{days_before(1)}.csv")
    assert late(taken_up) == {}


def test_what_is_older_than_the_contract_looks_back_is_left(feed_of):
    feed = feed_of(late=timedelta(days=2))
    feed.deliver(GOOD)
    feed.accept(feed.load())
    known(feed, days_before(3), days_before(2))
    for number in (2, 3):
        feed.deliver(GOOD, f"orders_{days_before(number)}.csv")
    assert set(late(feed)) == {days_before(2)}
    never = feed.contract.model_copy(
        update={"delivery": feed.contract.delivery.model_copy(update={"late": timedelta(0)})}
    )
    assert late_deliveries(feed.platform.as_(Role.OPERATOR), never) == {}


def test_a_file_that_was_refused_is_not_found_again_until_it_is_another(taken_up):
    taken_up.deliver("nonsense")
    assert DAY in late(taken_up)
    taken_up.load()
    assert late(taken_up) == {}
    taken_up.deliver(OTHER)
    assert DAY in late(taken_up)


def test_a_file_without_the_mark_that_its_contract_requires_is_still_being_written(feed_of):
    feed = feed_of(mark="required")
    feed.deliver(GOOD, mark=True)
    feed.accept(feed.load())
    path = feed.deliver(OTHER)
    path.with_name(path.name + ".done").unlink()
    assert late(feed) == {}
    feed.deliver(OTHER, mark=True)
    assert set(late(feed)) == {DAY}


def test_a_late_increment_older_than_those_accepted_is_found(feed_of):
    feed = feed_of("refunds")
    feed.deliver(GOOD, f"refunds_{DAY}_2013-01-06_2.csv")
    feed.accept(feed.load())
    feed.deliver(OTHER, f"refunds_{DAY}_2013-01-05_1.csv")
    assert late(feed) == {DAY: [f"refunds/refunds_{DAY}_2013-01-05_1.csv"]}
    feed.accept(feed.load())
    assert late(feed) == {}


def test_a_folder_with_years_in_it_costs_one_listing_and_a_look_at_the_days_that_count(taken_up, monkeypatch):
    for number in range(1, 400):
        (taken_up.path(f"orders_{days_before(number)}.csv")).write_text(GOOD)
    known(taken_up, *(days_before(number) for number in range(1, 400)))
    asked = []
    for name in ("names", "facts"):
        real = getattr(landing.Landing, name)
        monkeypatch.setattr(
            landing.Landing, name, lambda self, of, name=name, real=real: asked.append(name) or real(self, of)
        )
    assert len(late(taken_up)) == 7
    assert asked.count("names") <= 1
    assert asked.count("facts") <= 2 * 8
