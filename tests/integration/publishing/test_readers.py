"""Readers see one whole version throughout, wait for nobody, and hold nobody up."""

from __future__ import annotations

import psycopg
import pytest

from interlock.db.connection import Role

DAY, NEXT = "2013-01-05", "2013-01-06"
TABLES = ("stg_orders", "fct_orders", "agg_orders", "price_list", "dim_sizes", "total_orders")


@pytest.fixture
def correction(filled):
    """A correction of the day, built and judged up to the last publish: a function that publishes the curated layer."""
    return correction_of(filled)


def correction_of(filled):
    """See the fixture."""
    run = filled.admit("shop", DAY)
    filled.deliver(run, "orders", DAY, (5, 6))
    filled.renew(run, "stg_orders", DAY, amounts=(5, 6))
    filled.workspace(run)
    versions = [filled.build(run, name, DAY, amounts=(5, 6)) for name in ("fct_orders", "agg_orders", "price_list")]
    for version in versions:
        filled.judge(run, version, DAY)
    filled.as_(Role.PUBLISHER).execute("select set_config('lock_timeout', '1ms', false)")
    return lambda: filled.publish(run, DAY, *versions)


def lock_waits(platform):
    """Backends that wait for a lock of another one."""
    return platform.rows(Role.OPERATOR, "select pid from pg_locks where not granted")


def test_readers_of_every_kind_neither_delay_a_publish_nor_wait_for_it(filled):
    """The publish runs in this one thread while they hold their locks: had it to wait for one, it would time out."""
    idle = filled.session(Role.CONSUMER, autocommit=False)
    snapshot = filled.session(Role.CONSUMER, autocommit=False)
    snapshot.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    cursor_holder = filled.session(Role.CONSUMER, autocommit=False)
    backwards = filled.session(Role.CONSUMER, autocommit=False)
    for table in TABLES:
        idle.execute(f"select * from safe.{table}").fetchall()
        snapshot.execute(f"select * from safe.{table}").fetchall()
    for table in reversed(TABLES):
        backwards.execute(f"select * from safe.{table}").fetchall()
    cursor = cursor_holder.cursor(name="open")
    cursor.itersize = 1
    cursor.execute("select amount from safe.fct_orders order by day, amount")
    seen = [cursor.fetchone()[0]]

    run = filled.admit("shop", DAY)
    filled.deliver(run, "orders", DAY, (5, 6))
    filled.renew(run, "stg_orders", DAY, amounts=(5, 6))
    publisher = filled.session(Role.PUBLISHER, autocommit=False)
    filled.workspace(run)
    versions = [filled.build(run, name, DAY, amounts=(5, 6)) for name in ("fct_orders", "agg_orders", "price_list")]
    for version in versions:
        filled.judge(run, version, DAY)
    publisher.execute("select interlock.publish(%s, %s, %s, %s)", [run.run_id, run.token, DAY, versions])

    # Published but not committed: every reader still reads, and reads what was there.
    for reader in (idle, snapshot, backwards, cursor_holder):
        reader.execute("set local lock_timeout = '1ms'")
        assert reader.execute("select count(*) from safe.stg_orders").fetchone() is not None
    assert lock_waits(filled) == []
    publisher.commit()

    read = "select amount from safe.fct_orders where day = %s order by 1"
    assert idle.execute(read, [DAY]).fetchall() == [(5,), (6,)]
    assert snapshot.execute(read, [DAY]).fetchall() == [(1,), (2,)]
    assert snapshot.execute("select interlock.is_safe('fct_orders', %s)", [DAY]).fetchone() == (True,)
    seen += [row[0] for row in cursor]
    cursor.close()
    assert seen == [1, 2, 1, 2]
    snapshot.commit()
    assert snapshot.execute(read, [DAY]).fetchall() == [(5,), (6,)]


def test_a_reader_who_joins_the_datasets_of_a_layer_sees_them_change_together(filled, correction):
    join = (
        "select f.amount, a.amount from safe.fct_orders f join safe.agg_orders a using (day, id)"
        " where day = %s order by 1"
    )
    reader = filled.session(Role.CONSUMER, autocommit=False)
    reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    assert reader.execute(join, [DAY]).fetchall() == []  # the staged correction hides them until they are rebuilt
    correction()
    assert reader.execute(join, [DAY]).fetchall() == []
    reader.commit()
    assert reader.execute(join, [DAY]).fetchall() == [(5, 5), (6, 6)]


def test_a_publish_that_dies_before_its_commit_changes_nothing(filled, correction):
    before = filled.rows(Role.AUDITOR, "select * from interlock.partition order by 1, 2")
    connection = filled.as_(Role.PUBLISHER)
    connection.autocommit = False
    assert correction() == 3
    connection.rollback()
    connection.autocommit = True
    assert filled.rows(Role.AUDITOR, "select * from interlock.partition order by 1, 2") == before
    assert correction() == 3
    assert filled.amounts("fct_orders", DAY) == [5, 6]


def test_a_cheap_function_in_the_askers_query_sees_no_hidden_row(filled):
    """Such a function runs before a filter that costs more: without the policy it would be shown every version."""
    run = filled.admit("shop", DAY)
    filled.workspace(run)
    filled.fail(run, filled.build(run, "fct_orders", DAY, amounts=(666,)), DAY)
    developer = filled.session(Role.DEVELOPER)
    seen: list[str] = []
    developer.add_notice_handler(lambda notice: seen.append(notice.message_primary or ""))
    developer.execute(
        "create function pg_temp.leak(integer) returns boolean language plpgsql cost 0.0000001 as"
        " $$ begin raise notice 'saw %', $1; return true; end $$"
    )
    for query in (
        "select from safe.fct_orders where pg_temp.leak(amount)",
        "select from safe.dim_sizes where pg_temp.leak(amount)",
    ):
        developer.execute(query)
    assert len(seen) == 2 + 2  # the other day's two rows, and the dimension's two
    developer.execute("select from safe.fct_orders where day = %s and pg_temp.leak(amount)", [DAY])
    assert len(seen) == 4


def test_days_far_apart_are_read_each_from_its_own_table(filled):
    far = ("2012-02-29", "2013-01-09", "2014-03-01")
    filled.fill(*far)
    days = filled.rows(
        Role.CONSUMER, "select day::text, array_agg(amount order by amount) from safe.fct_orders group by 1"
    )
    assert dict(days) == {day: [1, 2] for day in (*far, DAY, NEXT)}


def test_the_version_that_was_replaced_is_hidden_and_kept(filled, correction):
    correction()
    assert filled.amounts("fct_orders", DAY) == [5, 6]
    owner = filled.session(Role.OWNER)
    assert owner.execute("select amount from curated.fct_orders where day = %s order by 1", [DAY]).fetchall() == [
        (1,), (2,), (5,), (6,)
    ]  # fmt: skip


def test_publishes_of_one_month_at_the_same_time_both_succeed(platform):
    """The first publish of a month makes the month's table; whoever comes second waits for it and goes on."""
    import threading

    runs = {}
    for domain, feed, staged in (("shop", "orders", "stg_orders"), ("weather", "readings", "stg_readings")):
        run = platform.admit(domain, DAY)
        platform.deliver(run, feed, DAY)
        platform.workspace(run)
        version = platform.build(run, staged, DAY)
        platform.judge(run, version, DAY)
        runs[domain] = (run, version, platform.session(Role.PUBLISHER))
    failures: list[Exception] = []

    def publish(run, version, connection):
        try:
            connection.execute("select interlock.publish(%s, %s, %s, %s)", [run.run_id, run.token, DAY, [version]])
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=publish, args=item) for item in runs.values()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert platform.amounts("stg_orders", DAY) == platform.amounts("stg_readings", DAY) == [1, 2]


def prepared(session, day=DAY):
    """What a statement reads that is prepared, and so keeps its plan for as long as PostgreSQL lets it."""
    session.execute("set plan_cache_mode = force_generic_plan")
    return session.execute(
        "select amount from safe.fct_orders where day = %s order by 1", [day], prepare=True
    ).fetchall()


def test_a_prepared_statement_fails_rather_than_miss_what_was_published_in_its_transaction(filled, correction):
    reader = filled.session(Role.CONSUMER, autocommit=False)
    assert prepared(reader) == []  # what the day was built from is replaced already
    correction()
    with pytest.raises(psycopg.errors.SerializationFailure, match="published anew after this statement was planned"):
        prepared(reader)
    reader.rollback()
    assert prepared(reader) == [(5,), (6,)]


@pytest.mark.parametrize("day", ["2013-01-09", "2013-02-01"], ids=["in a known month", "in a month of its own"])
@pytest.mark.parametrize("dataset", ["fct_orders", "total_orders"])
def test_a_first_version_is_not_missed_by_a_plan_that_had_nothing_to_look_at(filled, day, dataset):
    """Nothing of such a plan ever looks at a row: its day is in no table, or no table is left of it."""
    query = f"select count(*) from safe.{dataset}" + (f" where day = '{day}'" if dataset == "fct_orders" else "")
    reader = filled.session(Role.CONSUMER, autocommit=False)
    (before,) = reader.execute(query.encode(), prepare=True).fetchone()
    filled.fill(day, weather=False)
    with pytest.raises(psycopg.errors.SerializationFailure):
        reader.execute(query.encode(), prepare=True)
    reader.rollback()
    assert reader.execute(query.encode(), prepare=True).fetchone()[0] == (before or 2)


def test_a_plan_that_is_made_while_a_publish_is_not_committed_is_made_anew_after_it(filled, correction):
    readers = [filled.session(Role.CONSUMER, autocommit=autocommit) for autocommit in (True, False)]
    publisher = filled.as_(Role.PUBLISHER)
    with publisher.transaction():
        correction()
        for reader in readers:
            assert prepared(reader) == []
    assert prepared(readers[0]) == [(5,), (6,)]
    with pytest.raises(psycopg.errors.SerializationFailure):
        prepared(readers[1])


def test_a_plan_that_is_made_in_an_old_snapshot_serves_the_new_one(filled, correction):
    reader = filled.session(Role.CONSUMER, autocommit=False)
    reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    assert reader.execute("select interlock.is_safe('fct_orders', %s)", [DAY]).fetchone() == (False,)
    correction()
    assert prepared(reader) == []
    reader.commit()
    assert prepared(reader) == [(5,), (6,)]


def test_a_plan_over_another_month_is_made_anew_too(filled):
    february = "select amount from safe.fct_orders where day between '2013-02-01' and '2013-02-28' order by 1"
    filled.fill("2013-02-01", weather=False)
    correction = correction_of(filled)
    reader = filled.session(Role.CONSUMER)
    assert reader.execute(february, prepare=True).fetchall() == [(1,), (2,)]
    correction()
    assert reader.execute(february, prepare=True).fetchall() == [(1,), (2,)]
