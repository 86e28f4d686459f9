"""A range is built as one version over several months, and published, judged and replaced partition by partition."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.types.json import Jsonb

from interlock.db.connection import Role

DAYS = ("2013-01-30", "2013-01-31", "2013-02-01", "2013-03-01")


@pytest.fixture
def run(platform):
    """A run over three months whose deliveries are accepted."""
    run = platform.admit("shop", *DAYS)
    for day in DAYS:
        platform.deliver(run, "orders", day)
    return run


@pytest.fixture
def version(platform, run):
    """One sealed version of all its days."""
    platform.workspace(run)
    return platform.build(run, "stg_orders", *DAYS)


def plan(platform, query):
    """The plan of a query, as text."""
    return "\n".join(row[0] for row in platform.rows(Role.ADMIN, f"explain {query}"))


def test_each_partition_of_a_range_has_its_own_verdict_and_its_own_publish(platform, run, version):
    platform.judge(run, version, *DAYS[:2])
    platform.fail(run, version, DAYS[2])
    for day in DAYS[:2]:
        assert platform.publish(run, day, version) == 1
    for day in DAYS[2:]:
        with pytest.raises(psycopg.Error, check=lambda error: error.sqlstate == "IL008"):
            platform.publish(run, day, version)
    assert len(platform.amounts("stg_orders")) == 4
    assert platform.amounts("stg_orders", DAYS[2]) == []
    assert [platform.state("stg_orders", day) for day in DAYS] == ["rebuilding", "rebuilding", "unsafe", "checking"]


def test_only_the_months_that_are_published_are_attached(platform, run, version):
    platform.judge(run, version, *DAYS)
    platform.publish(run, DAYS[0], version)
    attached = "select bucket::text from interlock.version_table where attached_at is not null order by 1"
    assert platform.rows(Role.AUDITOR, attached) == [("2013-01-01",)]
    platform.publish(run, DAYS[3], version)
    assert platform.rows(Role.AUDITOR, attached) == [("2013-01-01",), ("2013-03-01",)]


def test_a_day_of_a_range_can_be_replaced_alone(platform, run, version):
    platform.judge(run, version, *DAYS)
    for day in DAYS:
        platform.publish(run, day, version)
    platform.workspace(run)
    day = platform.build(run, "stg_orders", DAYS[1], amounts=(9,))
    platform.judge(run, day, DAYS[1])
    platform.publish(run, DAYS[1], day)
    assert [platform.amounts("stg_orders", d) for d in DAYS] == [[1, 2], [9], [1, 2], [1, 2]]


def test_reading_one_day_touches_the_tables_of_that_day_alone(platform, run, version):
    platform.judge(run, version, *DAYS)
    for day in DAYS:
        platform.publish(run, day, version)
    for day in DAYS[:2]:
        platform.workspace(run)
        single = platform.build(run, "stg_orders", day)
        platform.judge(run, single, day)
        platform.publish(run, day, single)
    found = plan(platform, f"select * from safe.stg_orders where day = '{DAYS[0]}'")
    assert f"stg_orders__v{version}__2013_01" in found
    assert "2013_02" not in found
    assert f"stg_orders__v{single}" not in found


def test_a_pinned_range_shows_exactly_the_pinned_versions_of_exactly_the_pinned_days(platform, run, version):
    platform.judge(run, version, *DAYS)
    for day in DAYS:
        platform.publish(run, day, version)
    platform.workspace(run)
    single = platform.build(run, "stg_orders", DAYS[1], amounts=(9,))
    platform.judge(run, single, DAYS[1])
    platform.publish(run, DAYS[1], single)
    workspace = platform.workspace(run)
    for days, expected in (
        (DAYS[:2], [1, 2, 9]),
        (DAYS[2:], [1, 1, 2, 2]),
        (DAYS[1:2], [9]),
        ((), []),
    ):
        pins = [{"partition": d, "version": single if d == DAYS[1] else version} for d in days]
        platform.call(Role.BUILDER, "pin_input", run.run_id, run.token, "stg_orders", Jsonb(pins))
        query = f"select amount from {workspace}.stg_orders order by 1"
        assert [row[0] for row in platform.rows(Role.BUILDER, query)] == expected


def test_pinned_views_do_not_depend_on_how_the_session_writes_dates(platform, run, version):
    platform.judge(run, version, *DAYS)
    for day in DAYS:
        platform.publish(run, day, version)
    workspace = platform.workspace(run)
    platform.as_(Role.BUILDER).execute("set datestyle = 'SQL, DMY'")
    pins = [{"partition": d, "version": version} for d in DAYS]
    platform.call(Role.BUILDER, "pin_input", run.run_id, run.token, "stg_orders", Jsonb(pins))
    assert platform.rows(Role.BUILDER, f"select count(*) from {workspace}.stg_orders") == [(8,)]


def test_a_range_in_one_table_or_with_a_month_too_many_is_not_sealed(platform, run):
    workspace = platform.workspace(run)
    platform.pin(run, "stg_orders")
    builder = platform.as_(Role.BUILDER)
    builder.execute(f"create table {workspace}.stg_orders (id integer, day date, amount integer)".encode())
    with pytest.raises(psycopg.Error, match="months in one table"):
        platform.seal(run, "stg_orders", *DAYS)
    builder.execute(f"drop table {workspace}.stg_orders".encode())
    platform.make(run, "stg_orders", *DAYS)
    builder.execute(
        f"create table {workspace}.extra partition of {workspace}.stg_orders"
        " for values from ('2014-01-01') to ('2014-02-01')".encode()
    )
    with pytest.raises(psycopg.Error, match="no month of its partitions"):
        platform.seal(run, "stg_orders", *DAYS)


def test_a_partition_without_rows_is_a_partition(platform, run):
    platform.workspace(run)
    platform.pin(run, "stg_orders")
    platform.make(run, "stg_orders", DAYS[0])
    version = platform.seal(run, "stg_orders", *DAYS[:2])
    counted = "select partition, rows from interlock.version_partition where version = %s order by 1"
    assert platform.rows(Role.AUDITOR, counted, version) == [(DAYS[0], 2), (DAYS[1], 0)]


def test_a_new_version_of_a_dimension_passes_over_the_old_ones(filled):
    run = filled.admit("shop", "2013-01-05")
    for amount in range(3):
        filled.deliver(run, "sizes", "all", (amount,))
        version = filled.renew(run, "stg_sizes", "all", amounts=(amount,))
    found = "\n".join(
        row[0] for row in filled.rows(Role.ADMIN, "explain (analyze, costs off) select * from safe.stg_sizes")
    )
    assert found.count("never executed") == 3, found
    assert filled.amounts("stg_sizes") == [2]
    assert f"stg_sizes__v{version}" in found
