"""Causes travel down the lineage with the shortest path, and clear when what they name is mended and rebuilt."""

from __future__ import annotations

import pytest
from tests.integration.control.people import carried_out

from interlock.db.connection import Role
from interlock.db.failures import Refused

DAY, NEXT, LATER = "2013-01-05", "2013-01-06", "2013-01-07"
DOWNSTREAM_OF_ORDERS = ("stg_orders", "fct_orders", "agg_orders", "price_list", "fct_conditions")


def causes(platform, dataset, partition):
    """Code and path of the open causes."""
    return [(r["code"], r["path"]) for r in platform.reasons(dataset, partition)]


def queued(platform):
    """What waits to be rebuilt."""
    return set(
        platform.rows(
            Role.OPERATOR,
            "select d.name, r.partition from interlock.rebuild r join interlock.dataset d using (dataset_id)"
            " where r.done_at is null",
        )
    )


@pytest.fixture
def run(filled):
    """A run of the shop for the first day."""
    return filled.admit("shop", DAY)


def mend(platform, run, *names):
    """Rebuild datasets of the day in order."""
    for name in names:
        platform.renew(run, name, "all" if name == "total_orders" else DAY)


def test_a_failed_delivery_makes_everything_built_from_it_unsafe_with_the_shortest_path(filled, run):
    filled.fail(run, filled.load(run, "orders", DAY, (7,)), DAY)
    assert causes(filled, "orders", DAY) == [("gate_failed", ["orders"])]
    assert causes(filled, "fct_conditions", DAY) == [
        ("input_unsafe", ["orders", "stg_orders", "fct_orders", "fct_conditions"])
    ]
    assert causes(filled, "total_orders", "all") == [
        ("input_unsafe", ["orders", "stg_orders", "fct_orders", "agg_orders", "total_orders"])
    ]
    for name in DOWNSTREAM_OF_ORDERS:
        assert (filled.state(name, DAY), filled.state(name, NEXT)) == ("unsafe", "safe")
        assert filled.amounts(name, DAY) == []
        assert filled.amounts(name, NEXT) == [1, 2]


def test_a_failure_before_anything_was_built_marks_what_would_have_been_built(platform):
    run = platform.admit("shop", DAY)
    platform.fail(run, platform.load(run, "orders", DAY), DAY)
    for name in DOWNSTREAM_OF_ORDERS:
        assert platform.state(name, DAY) == "unsafe"
        assert causes(platform, name, DAY)[0][1][0] == "orders"


def test_a_correction_clears_step_by_step_as_each_dependant_is_rebuilt(filled, run):
    filled.fail(run, filled.load(run, "orders", DAY, (7,)), DAY)
    filled.deliver(run, "orders", DAY, (5, 6))
    assert filled.state("orders", DAY) == "rebuilding"
    assert causes(filled, "stg_orders", DAY) == [("input_replaced", ["orders", "stg_orders"])]
    assert causes(filled, "fct_orders", DAY) == [("input_unsafe", ["orders", "stg_orders", "fct_orders"])]
    assert queued(filled) == {("stg_orders", DAY)}
    filled.renew(run, "stg_orders", DAY, amounts=(5, 6))
    assert queued(filled) == {("fct_orders", DAY), ("price_list", DAY)}
    assert filled.amounts("fct_orders", DAY) == []
    mend(filled, run, "fct_orders")
    assert queued(filled) == {("price_list", DAY), ("agg_orders", DAY), ("fct_conditions", DAY)}
    mend(filled, run, "agg_orders", "price_list", "total_orders")
    filled.finish(run)
    weather = filled.admit("weather", DAY)
    mend(filled, weather, "fct_conditions")
    filled.finish(weather)
    assert {row[0] for row in filled.rows(Role.CONSUMER, "select state from interlock.safety")} == {"safe"}
    assert queued(filled) == set()
    assert not filled.rows(Role.AUDITOR, "select from interlock.cause where cleared_at is null")


def test_a_version_that_is_judged_good_again_needs_no_rebuild_of_what_was_built_from_it(filled, run):
    good = filled.call(Role.CONSUMER, "ask", "orders", DAY)["version"]
    filled.fail(run, filled.load(run, "orders", DAY, (7,)), DAY)
    filled.judge(run, good, DAY)
    filled.publish(run, DAY, good)
    filled.finish(run)
    assert {row[0] for row in filled.rows(Role.CONSUMER, "select state from interlock.safety")} == {"safe"}
    assert queued(filled) == set()


def test_a_replaced_input_reopens_what_was_built_from_it_and_queues_the_rebuild_at_once(filled):
    weather = filled.admit("weather", DAY)
    publisher = filled.session(Role.PUBLISHER, autocommit=False)
    load = filled.load(weather, "readings", DAY, (9,))
    filled.judge(weather, load, DAY)
    publisher.execute("select interlock.publish(%s, %s, %s, %s)", [weather.run_id, weather.token, DAY, [load]])
    assert (queued(filled), filled.amounts("fct_conditions", DAY)) == (set(), [1, 2])
    publisher.commit()
    assert queued(filled) == {("stg_readings", DAY)}
    assert filled.amounts("fct_conditions", DAY) == []
    filled.renew(weather, "stg_readings", DAY)
    assert queued(filled) == {("fct_conditions", DAY), ("fct_conditions", NEXT)}
    assert causes(filled, "fct_conditions", NEXT) == [("input_replaced", ["stg_readings", "fct_conditions"])]
    assert filled.state("fct_orders", DAY) == "safe"


def test_a_partition_that_arrives_late_reopens_the_window_that_did_without_it(platform):
    platform.fill(NEXT)
    weather = platform.admit("weather", DAY)
    platform.deliver(weather, "readings", DAY)
    platform.renew(weather, "stg_readings", DAY)
    assert causes(platform, "fct_conditions", NEXT) == [("input_replaced", ["stg_readings", "fct_conditions"])]


def test_a_window_with_an_unsafe_day_cannot_be_sealed_without_it(filled):
    weather = filled.admit("weather", DAY, NEXT)
    filled.fail(weather, filled.load(weather, "readings", DAY, (9,)), DAY)
    filled.workspace(weather)
    filled.pin(weather, "fct_conditions", skip=[("stg_readings", DAY)])
    filled.make(weather, "fct_conditions", NEXT)
    with pytest.raises(Exception, match=r"stg_readings.*not pinned"):
        filled.seal(weather, "fct_conditions", NEXT)


def test_a_new_dimension_reopens_only_the_readers_that_ask_for_it(filled, run):
    filled.deliver(run, "sizes", "all", (8,))
    filled.renew(run, "stg_sizes", "all")
    filled.renew(run, "dim_sizes", "all")
    filled.finish(run)
    assert [filled.state("fct_orders", day) for day in (DAY, NEXT)] == ["safe", "safe"]
    assert [filled.state("price_list", day) for day in (DAY, NEXT)] == ["unsafe", "unsafe"]
    assert queued(filled) == {("price_list", DAY), ("price_list", NEXT)}


def test_an_unsafe_dimension_makes_unsafe_only_the_readers_that_ask_for_it(filled, run):
    filled.fail(run, filled.load(run, "sizes", "all", (8,)), "all")
    assert filled.state("fct_orders", DAY) != "unsafe"
    assert filled.state("price_list", DAY) == "unsafe"


def test_a_dimension_replaced_meanwhile_does_not_refuse_a_reader_that_it_would_not_reopen(filled, run):
    filled.workspace(run)
    fact = filled.build(run, "fct_orders", DAY)
    filled.judge(run, fact, DAY)
    filled.deliver(run, "sizes", "all", (8,))
    filled.renew(run, "stg_sizes", "all")
    filled.renew(run, "dim_sizes", "all")
    assert filled.publish(run, DAY, fact) == 1


def test_a_new_day_reopens_an_aggregate_over_all_days(filled):
    filled.fill(LATER, weather=False)
    run = filled.admit("shop", "2013-01-08")
    filled.deliver(run, "orders", "2013-01-08")
    for name in ("stg_orders", "fct_orders", "agg_orders"):
        filled.renew(run, name, "2013-01-08")
    assert causes(filled, "total_orders", "all") == [("input_replaced", ["agg_orders", "total_orders"])]


def test_siblings_of_one_publish_are_not_reopened_but_other_days_of_them_are(filled, run):
    filled.deliver(run, "orders", DAY, (5,))
    filled.renew(run, "stg_orders", DAY)
    filled.workspace(run)
    fact = filled.build(run, "fct_orders", DAY)
    aggregate = filled.build(run, "agg_orders", DAY)
    prices = filled.build(run, "price_list", DAY)
    for version in (fact, aggregate, prices):
        filled.judge(run, version, DAY)
    assert filled.publish(run, DAY, fact, aggregate, prices) == 3
    for name in ("fct_orders", "agg_orders", "price_list"):
        assert filled.state(name, DAY) == "rebuilding"
    assert filled.state("fct_conditions", DAY) == "unsafe"
    assert queued(filled) == {("fct_conditions", DAY), ("total_orders", "all")}


def test_two_causes_both_have_to_clear(filled, run):
    weather = filled.admit("weather", DAY)
    filled.fail(run, filled.load(run, "orders", DAY, (7,)), DAY)
    filled.fail(weather, filled.load(weather, "readings", DAY, (7,)), DAY)
    assert [path[0] for _, path in causes(filled, "fct_conditions", DAY)] == ["readings", "orders"]
    filled.deliver(weather, "readings", DAY, (3,))
    filled.renew(weather, "stg_readings", DAY)
    assert {path[0] for _, path in causes(filled, "fct_conditions", DAY)} == {"orders", "stg_readings"}
    with pytest.raises(Exception, match=r"not safe|not pinned"):
        mend(filled, weather, "fct_conditions")


def test_a_failed_rerun_withholds_by_default_and_a_new_good_version_clears_it(filled, run):
    filled.workspace(run)
    filled.fail(run, filled.build(run, "fct_orders", DAY), DAY)
    assert filled.amounts("fct_orders", DAY) == []
    mend(filled, run, "fct_orders")
    assert filled.amounts("fct_orders", DAY) == [1, 2]
    assert causes(filled, "agg_orders", DAY) == [("input_replaced", ["fct_orders", "agg_orders"])]


def test_the_last_good_version_stays_served_where_the_contract_says_so_and_the_held_one_is_told(platform):
    platform.register(fct_orders={"on_gate_failure": "serve-last-good"})
    platform.fill(DAY)
    run = platform.admit("shop", DAY)
    served = platform.call(Role.CONSUMER, "ask", "fct_orders", DAY)["version"]
    platform.workspace(run)
    held = platform.build(run, "fct_orders", DAY, amounts=(9,))
    platform.fail(run, held, DAY)
    platform.finish(run)
    answer = platform.call(Role.CONSUMER, "ask", "fct_orders", DAY)
    assert (answer["state"], answer["version"]) == ("safe", served)
    assert answer["reasons"][0]["code"] == "held_candidate"
    assert str(held) in answer["reasons"][0]["message"]
    assert platform.amounts("fct_orders", DAY) == [1, 2]
    assert platform.state("agg_orders", DAY) == "safe"


def test_the_served_version_itself_found_bad_is_no_last_good_one(platform):
    platform.register(fct_orders={"on_gate_failure": "serve-last-good"})
    platform.fill(DAY)
    run = platform.admit("shop", DAY)
    platform.fail(run, platform.call(Role.CONSUMER, "ask", "fct_orders", DAY)["version"], DAY)
    assert platform.state("fct_orders", DAY) == "unsafe"


def test_there_is_no_last_good_version_of_a_partition_that_was_never_served(platform):
    platform.register(fct_orders={"on_gate_failure": "serve-last-good"})
    platform.fill(DAY)
    run = platform.admit("shop", NEXT)
    platform.deliver(run, "orders", NEXT)
    platform.renew(run, "stg_orders", NEXT)
    platform.workspace(run)
    platform.fail(run, platform.build(run, "fct_orders", NEXT), NEXT)
    assert platform.state("fct_orders", NEXT) == "unsafe"


def test_a_model_that_cannot_be_built_makes_its_partition_unsafe(filled, run):
    filled.call(Role.BUILDER, "report_build_failure", run.run_id, run.token, "fct_orders", DAY, "column does not exist")
    assert causes(filled, "fct_orders", DAY) == [("build_failed", ["fct_orders"])]
    assert filled.state("agg_orders", DAY) == "unsafe"


def test_a_second_finding_replaces_the_first_and_hangs_no_double_causes(filled, run):
    for _ in range(2):
        filled.fail(run, filled.load(run, "orders", DAY, (7,)), DAY)
    assert len(causes(filled, "orders", DAY)) == 1
    assert len(causes(filled, "fct_conditions", DAY)) == 1


def test_a_rollback_serves_only_what_its_inputs_still_match(filled, run):
    first = filled.call(Role.CONSUMER, "ask", "fct_orders", DAY)["version"]
    mend(filled, run, "fct_orders")
    carried_out("rollback_partition", "fct_orders", DAY, version=first)
    assert filled.call(Role.CONSUMER, "ask", "fct_orders", DAY)["version"] == first
    assert filled.state("agg_orders", DAY) == "rebuilding"
    filled.deliver(run, "orders", DAY, (5,))
    mend(filled, run, "stg_orders", "fct_orders")
    with pytest.raises(Refused, match="not what is served"):
        carried_out("rollback_partition", "fct_orders", DAY, version=first)


def test_what_each_partition_was_built_from_is_kept(filled):
    rows = filled.rows(
        Role.AUDITOR,
        "select u.name, i.input_partition from interlock.input i join interlock.dataset u on u.dataset_id = i.input_id"
        " join interlock.partition p on p.version = i.version and p.partition = i.partition"
        " join interlock.dataset d on d.dataset_id = p.dataset_id"
        " where d.name = 'fct_conditions' and i.partition = %s order by 1, 2",
        NEXT,
    )
    assert rows == [("fct_orders", NEXT), ("stg_readings", DAY), ("stg_readings", NEXT)]
