"""The one answer: its shape, its states, the clock, the lease, and the dataset as a whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from interlock import clock
from interlock.db.connection import Role
from interlock.errors import CouldNotAsk, Exit, UsageError
from interlock.safety.answer import State
from interlock.safety.answers import answer_from, ask
from interlock.safety.explanations import explain
from interlock.safety.matrix import matrix
from interlock.transform import metrics

DAY, NEXT = "2013-01-05", "2013-01-06"
SHAPE = {
    "dataset", "partition", "state", "safe", "reasons", "version", "contract_version", "verdict_id", "as_of",
    "valid_until", "freshness", "waiver", "bootstrapped", "warnings", "clock_offset_seconds",
}  # fmt: skip


def set_clock(platform, instant):
    """Let the platform live at `instant`."""
    clock.set_to(platform.as_(Role.OPERATOR), instant, "tester")


def later(**difference):
    """An instant from now."""
    return datetime.now(UTC) + timedelta(**difference)


def test_every_answer_has_the_same_shape(filled):
    filled.admit("shop", "2013-01-07")
    asked = [("fct_orders", day) for day in (DAY, None, "2013-01-07", "1999-01-01", "all")]
    for dataset, partition in (*asked, ("dim_sizes", None), ("dim_sizes", DAY)):
        assert set(filled.call(Role.CONSUMER, "ask", dataset, partition)) == SHAPE
        assert ask(dataset, partition).dataset == dataset


def test_a_safe_partition_is_safe_for_every_way_of_asking(filled):
    answer = ask("fct_orders", DAY)
    assert (answer.state, answer.safe, answer.exit_code, answer.reasons) == (State.SAFE, True, Exit.OK, ())
    assert answer.valid_until is not None
    assert answer.valid_until > answer.as_of
    assert filled.call(Role.CONSUMER, "is_safe", "fct_orders", DAY) is True
    filled.as_(Role.CONSUMER).execute("select interlock.require_safe('fct_orders', %s)", [DAY])


def test_a_partition_that_is_not_safe_raises_where_safety_is_required(filled):
    run = filled.admit("shop", DAY)
    filled.fail(run, filled.load(run, "orders", DAY), DAY)
    with pytest.raises(psycopg.Error, match="2 keys are doubled", check=lambda error: error.sqlstate == "IL020"):
        filled.as_(Role.CONSUMER).execute("select interlock.require_safe('fct_orders', %s)", [DAY])
    assert ask("fct_orders", DAY).exit_code is Exit.UNSAFE
    assert filled.call(Role.CONSUMER, "is_safe", "fct_orders", DAY) is False


def test_a_first_build_is_checking_and_a_rebuild_stays_safe(filled):
    filled.admit("shop", DAY, "2013-01-07")
    assert ask("fct_orders", "2013-01-07").state is State.CHECKING
    assert ask("fct_orders", "2013-01-07").exit_code is Exit.UNKNOWN
    assert (ask("fct_orders", DAY).state, ask("fct_orders", DAY).exit_code) == (State.REBUILDING, Exit.OK)
    assert filled.amounts("fct_orders", DAY) == [1, 2]


def test_an_answer_that_can_no_longer_be_renewed_decays_to_unknown(filled):
    set_clock(filled, later(days=8))
    for dataset, partition in (("fct_orders", DAY), ("dim_sizes", "all")):
        answer = ask(dataset, partition)
        assert (answer.state, answer.safe, answer.reasons[0].code) == (State.UNKNOWN, False, "lease_ran_out")
        assert filled.call(Role.CONSUMER, "is_safe", dataset, partition) is False
        assert filled.amounts(dataset) == []
    filled.call(Role.OPERATOR, "renew_leases", "tester")
    assert ask("fct_orders", DAY).state is State.SAFE
    assert filled.amounts("dim_sizes") == [1, 2]


def test_a_clock_that_is_set_back_leaves_no_lease_that_takes_years_to_run_out(filled):
    set_clock(filled, datetime(2013, 1, 7, tzinfo=UTC))
    answer = ask("fct_orders", DAY)
    assert answer.valid_until is not None
    assert answer.valid_until <= datetime(2013, 1, 14, 1, tzinfo=UTC)
    assert answer.clock_offset_seconds is not None
    assert answer.clock_offset_seconds < 0
    clock.clear(filled.as_(Role.OPERATOR), "tester")
    assert ask("fct_orders", DAY).state is State.UNKNOWN


def test_renewing_skips_a_dataset_whose_served_version_is_gone(filled):
    filled.session(Role.OWNER).execute(
        "alter table curated.fct_orders__2013_01 detach partition versions.fct_orders__v"
        + str(ask("fct_orders", DAY).version)
    )
    rows = filled.rows(Role.OPERATOR, "select dataset from interlock.renew_leases('tester')")
    assert "fct_orders" not in {row[0] for row in rows}
    assert "agg_orders" in {row[0] for row in rows}


def test_a_dataset_is_safe_when_every_partition_of_its_window_is(platform):
    platform.register(fct_orders={"window_partitions": 2})
    platform.fill(DAY)
    assert ask("fct_orders").reasons[0].code == "window_incomplete"
    platform.fill(NEXT)
    assert ask("fct_orders").state is State.SAFE
    run = platform.admit("shop", DAY)
    platform.fail(run, platform.load(run, "orders", DAY), DAY)
    answer = ask("fct_orders")
    assert (answer.state, answer.safe, answer.partition) == (State.UNSAFE, False, None)
    assert {reason.partition for reason in answer.reasons} == {DAY}


def test_a_bad_newest_day_does_not_hide_behind_a_good_one(filled):
    run = filled.admit("shop", "2013-01-07")
    filled.fail(run, filled.load(run, "orders", "2013-01-07"), "2013-01-07")
    assert ask("fct_orders").state is State.UNSAFE
    assert filled.call(Role.CONSUMER, "is_safe", "fct_orders", None) is False
    assert ask("fct_orders", NEXT).safe


def test_a_dataset_that_is_older_than_its_promise_is_stale_and_not_safe(platform):
    platform.register(fct_orders={"freshness": "36:00:00"})
    set_clock(platform, datetime(2013, 1, 7, 6, tzinfo=UTC))
    platform.fill(DAY, NEXT)
    answer = ask("fct_orders")
    assert (answer.state, answer.freshness.sla_seconds) == (State.SAFE, 36 * 3600)
    assert answer.valid_until == datetime(2013, 1, 8, 12, tzinfo=UTC)
    set_clock(platform, datetime(2013, 1, 8, 13, tzinfo=UTC))
    answer = ask("fct_orders")
    assert (answer.state, answer.safe, answer.reasons[0].code) == (State.UNKNOWN, False, "stale")
    assert ask("fct_orders", NEXT).safe


def test_an_unknown_name_is_wrong_usage_and_names_what_is_near(filled):
    with pytest.raises(UsageError, match="fct_orders"):
        ask("fct_order", DAY)
    for partition in ("2013-1-5", "yesterday", "2013-02-30", ""):
        with pytest.raises(UsageError):
            ask("fct_orders", partition)


def test_a_database_that_is_not_there_could_not_be_asked(filled, monkeypatch):
    monkeypatch.setenv("INTERLOCK_CONSUMER_URL", "postgresql://interlock_consumer@127.0.0.1:1/nothing")
    with pytest.raises(CouldNotAsk):
        ask("fct_orders", DAY)


def test_an_answer_of_another_shape_is_no_answer(filled):
    document = filled.call(Role.CONSUMER, "ask", "fct_orders", DAY)
    for wrong in (None, {}, document | {"extra": 1}, document | {"safe": None}, document | {"state": "fine"}):
        with pytest.raises(CouldNotAsk):
            answer_from(wrong)


def test_a_bootstrapped_verdict_says_so(filled):
    run = filled.admit("shop", DAY)
    filled.workspace(run)
    version = filled.build(run, "fct_orders", DAY)
    filled.judge(run, version, DAY, bootstrapped=True)
    filled.publish(run, DAY, version)
    assert ask("fct_orders", DAY).bootstrapped


def test_an_explanation_has_the_evidence_of_where_it_began(filled):
    run = filled.admit("shop", DAY)
    filled.fail(run, filled.load(run, "orders", DAY), DAY)
    found = explain("fct_conditions", DAY)
    assert found.answer.reasons[0].path == ("orders", "stg_orders", "fct_orders", "fct_conditions")
    first = found.judgements[0]
    assert (first.dataset, first.outcome, [f.clause for f in first.findings]) == ("orders", "failed", ["keys"])
    assert first.findings[0].observed == 2
    filled.deliver(run, "orders", DAY)
    assert explain("stg_orders", DAY).rebuild_queued_at is not None


def test_the_matrix_shows_the_newest_days_one_by_one_and_counts_the_rest(filled):
    run = filled.admit("shop", "2013-01-09")
    filled.fail(run, filled.load(run, "orders", "2013-01-09"), "2013-01-09")
    found = matrix("shop", days=4)
    assert found.days == ("2013-01-06", "2013-01-07", "2013-01-08", "2013-01-09")
    row = next(row for row in found.rows if row.dataset == "fct_orders")
    assert row.states == {"2013-01-06": State.SAFE, "2013-01-09": State.UNSAFE}
    assert row.earlier == {State.SAFE: 1}
    assert [(t.dataset, t.first, t.reason) for t in found.troubles] == [("orders", "2013-01-09", "2 keys are doubled")]
    assert {row.domain for row in matrix().rows} == {"shop", "weather"}


def test_the_open_causes_beside_the_pointer_are_those_that_are_open(filled):
    run = filled.admit("shop", DAY)
    for _ in range(2):
        filled.fail(run, filled.load(run, "orders", DAY), DAY)
    filled.deliver(run, "orders", DAY)
    filled.renew(run, "stg_orders", DAY)
    assert (
        filled.rows(
            Role.AUDITOR,
            "select p.* from interlock.partition p where p.open_causes <> (select count(*) from interlock.cause c"
            " where (c.dataset_id, c.partition) = (p.dataset_id, p.partition) and c.cleared_at is null)",
        )
        == []
    )


def test_a_database_on_which_nothing_was_ever_run_says_so_in_words(empty_database, monkeypatch):
    monkeypatch.setenv("INTERLOCK_CONSUMER_URL", empty_database.administrator_url)
    for question in (lambda: ask("fct_flights"), lambda: metrics.metric("cancellation_rate")):
        with pytest.raises(CouldNotAsk, match=r"^There is nothing to ask in this database yet") as asked:
            question()
        assert "not safe" in asked.value.fix
