"""Nothing is served without a passing verdict on exactly that sealed version, a live claim, and living inputs."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
import pytest
from psycopg.types.json import Jsonb

from interlock.db.connection import Role

DAY, NEXT = "2013-01-05", "2013-01-06"
PASSING = [{"clause": "rows", "success": True}, {"clause": "keys", "success": True}]


def refused(code: str):
    """Expect the database to refuse with this code."""
    return pytest.raises(psycopg.Error, check=lambda error: error.sqlstate == code)


@pytest.fixture
def run(platform):
    """A run of the shop for one day whose raw delivery is accepted."""
    run = platform.admit("shop", DAY)
    platform.deliver(run, "orders", DAY)
    return run


@pytest.fixture
def candidate(platform, run):
    """A sealed candidate that no gate has seen."""
    platform.workspace(run)
    return platform.build(run, "stg_orders", DAY)


def test_a_partition_that_nothing_is_known_of_is_not_safe(platform):
    answer = platform.call(Role.CONSUMER, "ask", "fct_orders", DAY)
    assert (answer["state"], answer["safe"], answer["reasons"][0]["code"]) == ("unknown", False, "never_seen")


def test_a_candidate_without_a_verdict_is_not_published(platform, run, candidate):
    with refused("IL008"):
        platform.publish(run, DAY, candidate)
    assert platform.state("stg_orders", DAY) == "checking"


def test_a_candidate_that_failed_is_not_published_and_the_partition_is_unsafe(platform, run, candidate):
    [(_, outcome, _)] = platform.fail(run, candidate, DAY)
    assert outcome == "failed"
    with refused("IL008"):
        platform.publish(run, DAY, candidate)
    assert platform.state("stg_orders", DAY) == "unsafe"
    assert platform.amounts("fct_orders") == []


@pytest.mark.parametrize(
    "evidence",
    [
        pytest.param([], id="nothing was evaluated"),
        pytest.param(None, id="there is no evidence"),
        pytest.param(PASSING[:1], id="a clause is missing"),
        pytest.param([*PASSING, {"clause": "keys", "success": False}], id="a clause succeeded and failed"),
        pytest.param([PASSING[0], {"clause": "keys"}], id="a clause has no outcome"),
        pytest.param([PASSING[0], {"clause": "keys", "success": "true"}], id="an outcome is no boolean"),
        pytest.param([PASSING[0], {"clause": "keys", "success": None}], id="an outcome is null"),
    ],
)
def test_a_verdict_passes_only_when_every_blocking_clause_has_succeeded(platform, run, candidate, evidence):
    [(_, outcome, _)] = platform.judge(run, candidate, DAY, evidence=evidence)
    assert outcome == "failed"
    with refused("IL008"):
        platform.publish(run, DAY, candidate)


def account(**changes):
    """Evidence of one clause whose account balances, and says what sealing counted."""
    counts = {"input": "orders", "unit": "rows", "is_sum": False, "dropped": {}, "added": {}, "lost": 0, "doubled": 0}
    return [*PASSING, {"clause": "accounts", "success": True, "account": counts | {"read": 2, "written": 2} | changes}]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"lost": 1}, id="a row is lost"),
        pytest.param({"doubled": 1}, id="a row is doubled"),
        pytest.param({"read": 3}, id="more was read than written"),
        pytest.param({"read": 3, "written": 3}, id="other rows were counted than were sealed"),
        pytest.param({"dropped": {"why": 1}}, id="what was dropped is there"),
    ],
)
def test_a_verdict_whose_accounts_do_not_balance_has_failed_whatever_the_gate_says(platform, run, candidate, changes):
    [(_, outcome, _)] = platform.judge(run, candidate, DAY, evidence=account(**changes))
    assert outcome == "failed"
    with refused("IL008"):
        platform.publish(run, DAY, candidate)
    assert platform.state("stg_orders", DAY) == "unsafe"
    entered = platform.rows(Role.AUDITOR, "select balances from interlock.ledger where version = %s", candidate)
    assert entered == [(False,)]


def test_a_verdict_whose_accounts_balance_passes(platform, run, candidate):
    [(_, outcome, _)] = platform.judge(run, candidate, DAY, evidence=account())
    assert outcome == "passed"


def test_a_load_that_stored_other_rows_than_were_read_is_refused(platform, run):
    loader = platform.as_(Role.LOADER)
    with refused("IL011"), loader.transaction():
        loader.execute("create temp sequence if not exists interlock_row_number")
        load = loader.execute(
            "select interlock.begin_load(%s, %s, 'orders', %s, null, 'f', 'h')", [run.run_id, run.token, DAY]
        ).fetchone()[0]
        loader.execute("insert into raw_shop.orders (id) values ('1')")
        loader.execute("select interlock.finish_load(%s, 2, 1, 'h')", [load])


def test_a_failed_warning_is_carried_and_does_not_block(platform, run, candidate):
    platform.judge(run, candidate, DAY, evidence=[*PASSING, {"clause": "nice", "success": False}])
    platform.publish(run, DAY, candidate)
    answer = platform.call(Role.CONSUMER, "ask", "stg_orders", DAY)
    assert (answer["safe"], answer["warnings"]) == (True, 1)


def test_a_contract_without_blocking_clauses_passes_nothing(platform, run):
    platform.register(stg_orders={"clauses": [], "contract_version": "1.1.0", "content_digest": "c2"})
    platform.workspace(run)
    version = platform.build(run, "stg_orders", DAY)
    assert platform.judge(run, version, DAY)[0][1] == "failed"


def test_a_verdict_under_clauses_that_are_no_longer_active_does_not_publish(platform, run, candidate):
    platform.judge(run, candidate, DAY)
    platform.register(stg_orders={"clause_digest": "d2", "contract_version": "2.0.0", "content_digest": "c2"})
    with refused("IL008"):
        platform.publish(run, DAY, candidate)


def test_a_verdict_stands_on_the_clauses_that_the_gate_says_it_judged_by(platform, run, candidate):
    platform.judge(run, candidate, DAY, clause_digest="d0")
    with refused("IL008"):
        platform.publish(run, DAY, candidate)


def test_what_is_served_under_earlier_clauses_says_so(platform, run, candidate):
    platform.judge(run, candidate, DAY)
    platform.publish(run, DAY, candidate)
    platform.register(stg_orders={"clause_digest": "d2", "contract_version": "2.0.0", "content_digest": "c2"})
    answer = platform.call(Role.CONSUMER, "ask", "stg_orders", DAY)
    assert answer["contract_version"] == "1.0.0"
    assert answer["reasons"][0]["code"] == "judged_by_earlier_clauses"


def test_a_table_that_is_not_sealed_cannot_be_judged(platform, run):
    load = platform.load(run, "orders", DAY, (3,), finish=False)
    with refused("IL008"):
        platform.judge(run, load, DAY)


def test_a_verdict_on_a_partition_that_the_version_does_not_cover_is_refused(platform, run, candidate):
    run = platform.admit("shop", DAY, NEXT, key="test:1")
    with refused("IL008"):
        platform.judge(run, candidate, NEXT)


def test_a_stale_token_neither_publishes_nor_judges_nor_seals(platform, run, candidate):
    platform.judge(run, candidate, DAY)
    platform.call(Role.OPERATOR, "start_phase", run.run_id, "publish", "30 min")
    with refused("IL005"):
        platform.publish(run, DAY, candidate)
    with refused("IL005"):
        platform.judge(run, candidate, DAY)
    with refused("IL005"):
        platform.seal(run, "stg_orders", DAY)


def test_a_run_whose_lease_ran_out_publishes_nothing(platform):
    run = platform.admit("shop", DAY, lease="0 s")
    with refused("IL005"):
        platform.load(run, "orders", DAY)


def test_a_run_writes_neither_to_another_domain_nor_to_a_day_that_it_was_not_admitted_for(platform, run, candidate):
    weather = platform.admit("weather", DAY)
    platform.judge(run, candidate, DAY)
    with refused("IL005"):
        platform.publish(weather, DAY, candidate)
    with refused("IL005"):
        platform.load(weather, "orders", DAY)
    with refused("IL005"):
        platform.load(run, "orders", NEXT)


def test_two_runs_of_one_partition_never_interleave(platform, run):
    with refused("IL001"):
        platform.admit("shop", NEXT, DAY)
    platform.admit("shop", NEXT)
    platform.finish(run)
    platform.admit("shop", DAY)


def test_the_same_work_tried_again_takes_over_and_the_former_run_is_closed(platform, run):
    platform.admit("shop", DAY, key="test:1")
    with refused("IL005"):
        platform.load(run, "orders", DAY)
    assert platform.rows(Role.OPERATOR, "select state from interlock.run where run_id = %s", run.run_id) == [
        ("failed",)
    ]


def test_a_claim_bound_to_a_connection_is_free_once_that_is_gone(platform):
    holder = platform.session(Role.OPERATOR)
    holder.execute(
        "select * from interlock.admit_run('cli:1', 'shop', array[%s], 'cli', 'x', '1 hour', pg_backend_pid())", [DAY]
    )
    with refused("IL001"):
        platform.admit("shop", DAY)
    pid = holder.info.backend_pid
    holder.close()
    while platform.rows(Role.OPERATOR, "select from pg_stat_get_activity(%s)", pid):
        pass
    platform.admit("shop", DAY)


def test_two_days_go_on_side_by_side_until_both_would_change_a_dimension(platform, run):
    other = platform.admit("shop", NEXT)
    platform.deliver(other, "orders", NEXT)
    platform.deliver(run, "sizes", "all")
    with refused("IL001"):
        platform.load(other, "sizes", "all")
    platform.finish(run)
    platform.deliver(other, "sizes", "all")


def test_an_increment_older_than_the_one_that_is_served_is_not_accepted(platform, run):
    early = platform.load(run, "sizes", "all")
    late = platform.load(run, "sizes", "all", (5,))
    for load in (early, late):
        platform.judge(run, load, "all")
    platform.publish(run, "all", late)
    with refused("IL009"):
        platform.publish(run, "all", early)


def test_an_input_replaced_since_the_build_refuses_the_publish(platform, run, candidate):
    platform.judge(run, candidate, DAY)
    platform.deliver(run, "orders", DAY, (7,))
    with refused("IL009"):
        platform.publish(run, DAY, candidate)


def test_an_input_that_became_unsafe_since_the_build_refuses_the_publish(platform, run, candidate):
    platform.judge(run, candidate, DAY)
    platform.fail(run, platform.load(run, "orders", DAY, (7,)), DAY)
    with refused("IL009"):
        platform.publish(run, DAY, candidate)


def test_a_candidate_built_from_a_failed_sibling_is_not_published(platform, run, candidate):
    platform.judge(run, candidate, DAY)
    platform.publish(run, DAY, candidate)
    platform.deliver(run, "sizes", "all")
    platform.renew(run, "stg_sizes", "all")
    platform.renew(run, "dim_sizes", "all")
    platform.workspace(run)
    fact = platform.build(run, "fct_orders", DAY)
    aggregate = platform.build(run, "agg_orders", DAY)
    platform.judge(run, aggregate, DAY)
    platform.fail(run, fact, DAY)
    with refused("IL009"):
        platform.publish(run, DAY, aggregate)
    with refused("IL008"):
        platform.publish(run, DAY, fact, aggregate)
    assert platform.state("agg_orders", DAY) == "unsafe"


def test_an_unsafe_input_cannot_be_pinned_and_what_was_not_pinned_cannot_be_sealed(platform, run):
    platform.workspace(run)
    load = platform.rows(Role.OPERATOR, "select max(load_id) from interlock.load")[0][0]
    platform.fail(run, platform.load(run, "orders", DAY, (7,)), DAY)
    with refused("IL006"):
        platform.call(
            Role.BUILDER, "pin_input", run.run_id, run.token, "orders", Jsonb([{"partition": DAY, "version": load}])
        )
    platform.make(run, "stg_orders", DAY)
    with refused("IL006"):
        platform.seal(run, "stg_orders", DAY)


def test_publishing_what_is_served_already_changes_nothing(platform, run, candidate):
    platform.judge(run, candidate, DAY)
    assert platform.publish(run, DAY, candidate) == 1
    before = platform.rows(Role.AUDITOR, "select * from interlock.partition")
    assert platform.publish(run, DAY, candidate) == 0
    assert platform.rows(Role.AUDITOR, "select * from interlock.partition") == before


def test_an_old_verdict_does_not_talk_down_a_newer_finding(platform, run):
    good = platform.rows(Role.OPERATOR, "select max(load_id) from interlock.load")[0][0]
    platform.fail(run, platform.load(run, "orders", DAY, (7,)), DAY)
    with refused("IL008"):
        platform.publish(run, DAY, good)
    platform.judge(run, good, DAY)
    assert platform.publish(run, DAY, good) == 1
    assert platform.state("orders", DAY) == "rebuilding"


def test_all_or_nothing_of_a_call_is_published(platform, run, candidate):
    platform.judge(run, candidate, DAY)
    with refused("IL008"):
        platform.publish(run, DAY, candidate, candidate + 1000)
    assert platform.call(Role.CONSUMER, "ask", "stg_orders", DAY)["version"] is None


def test_safety_is_not_decided_under_an_old_snapshot(platform, run, candidate):
    platform.judge(run, candidate, DAY)
    publisher = platform.session(Role.PUBLISHER, autocommit=False)
    publisher.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    with refused("25000"):
        publisher.execute("select interlock.publish(%s, %s, %s, %s)", [run.run_id, run.token, DAY, [candidate]])


def test_everything_that_was_published_is_in_the_events(platform, run, candidate):
    platform.judge(run, candidate, DAY)
    platform.publish(run, DAY, candidate)
    [(actor, payload, at)] = platform.rows(
        Role.AUDITOR,
        "select e.actor, e.payload, e.at from interlock.event e join interlock.dataset d using (dataset_id)"
        " where e.kind = 'published' and d.name = 'stg_orders'",
    )
    assert actor == "tester"
    assert payload["version"] == candidate
    assert at <= datetime.now(UTC)


def test_a_version_that_was_withdrawn_is_hidden_and_not_brought_back_by_a_rerun(platform, run, candidate):
    platform.judge(run, candidate, DAY)
    platform.publish(run, DAY, candidate)
    platform.session(Role.OWNER).execute(
        "update interlock.partition set withdrawn_at = now(), withdrawn_version = version where version = %s",
        [candidate],
    )
    assert platform.state("stg_orders", DAY) == "quarantined"
    assert platform.amounts("stg_orders") == []
    with refused("IL008"):
        platform.publish(run, DAY, candidate)
    platform.workspace(run)
    other = platform.build(run, "stg_orders", DAY, amounts=(3,))
    platform.judge(run, other, DAY)
    platform.publish(run, DAY, other)
    assert platform.amounts("stg_orders") == [3]
