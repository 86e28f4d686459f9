"""What is hidden stays hidden however it is read: through views of views, prepared statements, cursors, COPY."""

from __future__ import annotations

import json

import psycopg
import pytest
from tests.integration.control.people import DAY, NEXT, carried_out, version_of

from interlock.db import consumers
from interlock.db.connection import Role

READ = "select day::text, amount from safe.fct_orders order by day, amount"
BOTH = [(DAY, 1), (DAY, 2), (NEXT, 1), (NEXT, 2)]
OTHER = BOTH[2:]


def quarantine(platform, dataset="orders") -> None:
    """Take the day out of sight, with all that was built from it."""
    carried_out("quarantine_partition", dataset, DAY, version=version_of(platform, dataset))


@pytest.fixture
def analyst(filled):
    """A consumer's login with a schema of its own."""
    address = consumers.create("analyst", by="a test")
    with filled.database.connect(Role.ADMIN) as connection:
        connection.execute("create schema theirs authorization analyst")
    opened: list[psycopg.Connection] = []

    def session() -> psycopg.Connection:
        opened.append(psycopg.connect(address, autocommit=True))
        return opened[-1]

    yield session
    for connection in opened:
        connection.close()
    with filled.database.connect(Role.ADMIN) as connection:
        connection.execute("drop schema theirs cascade")
    consumers.drop("analyst", by="a test")


def copied(connection, query: str) -> list[tuple[str, ...]]:
    with connection.cursor().copy(f"copy ({query}) to stdout") as copy:
        return list(copy.rows())


def test_views_of_views_prepared_statements_and_copies_show_nothing_of_a_quarantined_day(filled, analyst):
    reader = analyst()
    reader.execute("create view theirs.orders as select * from safe.fct_orders")
    reader.execute("create view theirs.by_day as select day, sum(amount) as amount from theirs.orders group by day")
    reader.execute("create view theirs.owned with (security_invoker) as select * from theirs.orders")
    reader.execute(f"prepare read_it as {READ}")
    reader.execute("prepare read_one(date) as select amount from theirs.owned where day = $1 order by 1")
    for _ in range(6):  # past the point from which PostgreSQL keeps a generic plan
        assert reader.execute("execute read_it").fetchall() == BOTH
        assert reader.execute(f"execute read_one('{DAY}')").fetchall() == [(1,), (2,)]
    assert len(copied(reader, READ)) == 4

    quarantine(filled)
    fresh = analyst()
    for connection in (reader, fresh):
        assert connection.execute(READ).fetchall() == OTHER
        assert connection.execute("select day::text, amount from theirs.by_day").fetchall() == [(NEXT, 3)]
        assert [row[0] for row in copied(connection, READ)] == [NEXT, NEXT]
        assert [row[0] for row in copied(connection, "table theirs.owned")] != [], "the other day is still read"
    assert reader.execute("execute read_it").fetchall() == OTHER
    assert reader.execute(f"execute read_one('{DAY}')").fetchall() == []


def test_a_cursor_that_is_open_reads_on_what_it_began_with_and_the_next_one_does_not(filled, analyst):
    """A snapshot is kept: whoever must not act on it asks again before acting, in a transaction that begins then."""
    reader = analyst()
    with reader.transaction():
        with reader.cursor(name="open") as cursor:
            cursor.execute(READ)
            first = cursor.fetchmany(1)
            quarantine(filled)
            assert first + cursor.fetchall() == BOTH
        assert reader.execute(READ).fetchall() == OTHER, "the next statement of the same transaction sees it"
        assert reader.execute(f"select interlock.is_safe('fct_orders', '{DAY}')").fetchone() == (False,)
    held = analyst()
    with held.transaction():
        held.execute(f"declare kept cursor with hold for {READ}")
    assert held.execute("fetch all from kept").fetchall() == OTHER


def test_in_a_long_snapshot_the_answer_and_the_rows_are_of_the_same_instant(filled, analyst):
    reader = analyst()
    reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    with reader.transaction():
        assert reader.execute(READ).fetchall() == BOTH
        quarantine(filled)
        assert reader.execute(f"select interlock.is_safe('fct_orders', '{DAY}')").fetchone() == (True,)
        assert reader.execute(READ).fetchall() == BOTH
    assert reader.execute(READ).fetchall() == OTHER


def test_no_function_in_a_query_is_shown_a_hidden_row(filled, analyst):
    reader = analyst()
    reader.execute(
        "create function theirs.peek(amount integer) returns boolean language plpgsql cost 0.0001 as"
        " $$ begin raise notice 'saw %', amount; return true; end $$"
    )
    reader.execute("create view theirs.peeking as select * from safe.fct_orders where theirs.peek(amount)")
    quarantine(filled)
    said: list[str] = []
    reader.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
    reader.execute(f"select * from theirs.peeking where day = '{DAY}' and theirs.peek(amount)").fetchall()
    assert said == []
    reader.execute("select * from theirs.peeking").fetchall()
    assert sorted(said) == ["saw 1", "saw 2"], "those of the day that is safe"


def test_a_range_is_required_in_the_statement_that_reads_it(filled, analyst):
    reader = analyst()
    require = f"interlock.require_days('fct_orders', '{DAY}', '{NEXT}') is not null"
    read = f"select count(*) from safe.fct_orders where {require}"
    assert reader.execute(read).fetchone() == (4,)
    quarantine(filled)
    with pytest.raises(psycopg.Error, match=f"not safe on 1 of the days from {DAY} to {NEXT}: {DAY} is") as refused:
        reader.execute(read)
    assert refused.value.sqlstate == "IL020"
    with pytest.raises(psycopg.Error, match="is not safe on 1 of"):
        reader.execute(read.replace("count(*)", "amount") + f" and day = '{NEXT}'")
    with pytest.raises(psycopg.Error, match="is no range of days"):
        reader.execute(f"select interlock.require_days('fct_orders', '{NEXT}', '{DAY}')")
    with pytest.raises(psycopg.Error, match="fct_order"):
        reader.execute(f"select interlock.require_days('fct_order', '{DAY}', '{NEXT}')")


def test_a_range_has_all_of_its_days_in_every_time_zone(filled, analyst):
    """Where a zone skips a midnight, a series of instants would end a day too soon."""
    reader = analyst()
    reader.execute("set timezone = 'America/Sao_Paulo'")
    with pytest.raises(psycopg.Error) as refused:
        reader.execute("select interlock.require_days('fct_orders', '2013-10-18', '2013-10-22')")
    assert json.loads(refused.value.diag.message_detail or "")["unsafe"][-1] == "2013-10-22"
