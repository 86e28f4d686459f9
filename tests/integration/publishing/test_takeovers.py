"""A writer that stands still in a transaction keeps nobody waiting, and when it goes on it writes nothing.

Its process was stopped, its laptop closed, its machine vanished: in the database its transaction is open, and what it
locked is locked. What is under way of a run that lost its claim is ended by whoever takes over. What everybody waits
for (the lock under which safety is decided) falls free because the server waits for a writer only so long.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg.pq import ExecStatus, TransactionStatus

from interlock.db import connection as connections
from interlock.db.connection import WRITERS, Role
from interlock.db.failures import failure_of
from interlock.errors import TransientFailure

DAY, NEXT = "2013-01-05", "2013-01-06"


class Standing:
    """A run whose one process stands still in the middle of a write, and may lose its claim meanwhile."""

    def __init__(self, platform: Any, *days: str) -> None:
        self.platform = platform
        self.holder = platform.session(Role.OPERATOR)
        self.run_id, self.token = self.holder.execute(
            "select * from interlock.admit_run(%s, 'shop', %s, 'cli', 'x', '1 hour', pg_backend_pid())",
            ["standing", list(days)],
        ).fetchone()[:2]

    def begin(self, role: Role, function: str, *arguments: Any) -> psycopg.Connection[Any]:
        """Let it write in a transaction that it does not end."""
        writer = self.platform.session(role, autocommit=False)
        writer.execute(
            f"select interlock.{function}({', '.join(['%s'] * (len(arguments) + 2))})",
            [self.run_id, self.token, *arguments],
        )
        return writer

    def lose_claim(self) -> None:
        """As if its lease had run out."""
        pid = self.holder.info.backend_pid
        self.holder.close()
        while self.platform.rows(Role.OPERATOR, "select from pg_stat_get_activity(%s)", pid):
            pass

    def load(self, feed: str = "orders", partition: str = DAY) -> psycopg.Connection[Any]:
        """Between the opening of a load and its rows."""
        return self.begin(Role.LOADER, "begin_load", feed, partition, None, "file.csv", "h")

    def copy(self) -> psycopg.Connection[Any]:
        """In the middle of the rows: the server sees a COPY that is under way, and no idle transaction."""
        writer = self.load()
        writer.execute("create temp sequence interlock_row_number")
        writer.pgconn.exec_(b"copy raw_shop.orders (id, day) from stdin")
        writer.pgconn.put_copy_data(b"1\t2013-01-05\n")
        return writer


@pytest.fixture
def standing(platform: Any) -> Callable[..., Standing]:
    """Makes runs that stand still."""
    return partial(Standing, platform)


def is_ended(writer: psycopg.Connection[Any]) -> bool:
    """Whether it can commit no more, and is told so as what a rerun may mend."""
    try:
        if writer.pgconn.transaction_status == TransactionStatus.ACTIVE:
            writer.pgconn.put_copy_end()
            return writer.pgconn.get_result().status == ExecStatus.FATAL_ERROR
        writer.execute("commit")
    except psycopg.Error as error:
        return isinstance(failure_of(error), TransientFailure)
    finally:
        writer.close()
    return False


@pytest.mark.parametrize("write", ["load", "copy"])
def test_the_next_run_takes_a_claim_whose_writer_stands_still_in_its_transaction(platform, standing, write):
    stopped = standing(DAY)
    writer = getattr(stopped, write)()
    stopped.lose_claim()
    run = platform.admit("shop", DAY)
    load = platform.deliver(run, "orders", DAY)
    assert is_ended(writer)
    assert platform.rows(Role.OPERATOR, "select load_id from interlock.load where state <> 'loading'") == [(load,)]


def test_the_same_work_tried_again_does_not_wait_for_the_attempt_that_stands_still(platform, standing):
    stopped = standing(DAY)
    writer = stopped.load()
    token = platform.call(Role.OPERATOR, "start_phase", stopped.run_id, "load", "30 min")[1]
    assert token > stopped.token
    assert is_ended(writer)


def test_an_attempt_that_was_overtaken_by_the_next_one_does_not_end_its_run(platform, standing):
    stopped = standing(DAY)
    platform.call(Role.OPERATOR, "start_phase", stopped.run_id, "load", "30 min")
    platform.call(Role.OPERATOR, "finish_run", stopped.run_id, "failed", "its lease ran out", stopped.token)
    assert platform.rows(Role.OPERATOR, "select state from interlock.run where run_id = %s", stopped.run_id) == [
        ("running",)
    ]
    with pytest.raises(psycopg.Error, check=lambda error: error.sqlstate == "IL001"):
        platform.admit("shop", DAY)


def test_a_run_of_another_day_takes_the_dimensions_of_one_that_stands_still(platform, standing):
    stopped = standing(DAY)
    writer = stopped.load("sizes", "all")
    stopped.lose_claim()
    platform.deliver(platform.admit("shop", NEXT), "sizes", "all")
    assert is_ended(writer)


def test_a_run_that_is_given_up_from_outside_stops_writing(platform, standing):
    stopped = standing(DAY)
    writer = stopped.load()
    platform.call(Role.OPERATOR, "finish_run", stopped.run_id, "failed", "stopped by an operator")
    assert is_ended(writer)
    platform.admit("shop", DAY)


def test_a_writer_that_lives_is_not_disturbed_by_runs_of_other_partitions(platform, standing):
    living = standing(DAY)
    writer = living.load()
    platform.admit("shop", NEXT)
    with pytest.raises(psycopg.Error, check=lambda error: error.sqlstate == "IL001"):
        platform.admit("shop", DAY)
    writer.execute("select 1")


def test_what_everybody_waits_for_is_free_again_soon_after_a_publish_that_stands_still(platform, standing, monkeypatch):
    run = platform.admit("shop", DAY)
    load = platform.load(run, "orders", DAY)
    platform.judge(run, load, DAY)
    monkeypatch.setattr(connections, "WRITER_IDLE_SECONDS", 1)
    writer = platform.session(Role.PUBLISHER, autocommit=False)
    writer.execute("select interlock.publish(%s, %s, %s, %s)", [run.run_id, run.token, DAY, [load]])
    other = platform.admit("weather", DAY)
    platform.deliver(other, "readings", DAY)
    assert is_ended(writer)
    assert platform.publish(run, DAY, load) == 1


@pytest.mark.parametrize("role", WRITERS)
def test_whoever_writes_is_given_up_on_in_time(database, role):
    with database.connect(role) as connection:
        found = {
            name: connection.execute(f"show {name}".encode()).fetchone()[0]
            for name in ("idle_in_transaction_session_timeout", "tcp_keepalives_idle", "tcp_keepalives_count")
        }
    assert found == {
        "idle_in_transaction_session_timeout": "1min", "tcp_keepalives_idle": "30", "tcp_keepalives_count": "3"
    }  # fmt: skip


def test_of_a_run_that_died_after_its_last_write_no_claim_is_left_once_another_one_did_its_work(platform, standing):
    dead = standing(DAY)
    writer = dead.load("sizes", "all")  # which claims `all` for it
    writer.commit()
    dead.lose_claim()
    platform.finish(platform.admit("shop", DAY, NEXT))
    assert platform.rows(Role.OPERATOR, "select domain, partition, run_id from interlock.claim") == []
