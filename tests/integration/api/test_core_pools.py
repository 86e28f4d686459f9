"""Connections that are kept: nothing that one request did is seen by the next, and none waits for itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from interlock.db import pools
from interlock.db.connection import Role, connect


@pytest.fixture(autouse=True)
def kept(database: Any) -> Iterator[pools.Pools]:
    """One connection for each role, for one thread at a time."""
    yield pools.install(1)
    pools.close()


def _pid(connection: Any) -> int:
    return int(connection.info.backend_pid)


def _fails_after_setting_the_clock() -> None:
    with connect(Role.OPERATOR) as operator:
        operator.execute("select interlock.set_clock('2013-01-08T06:00:00Z', 'tester')")
        raise ZeroDivisionError


def _loses_its_connection() -> None:
    with connect(Role.OPERATOR) as operator:
        with connect(Role.ADMIN, autocommit=True) as admin:
            admin.execute("select pg_terminate_backend(%s, 5000)", [_pid(operator)])
        operator.execute("select 1")


def test_a_connection_comes_back_as_it_was():
    with connect(Role.LOADER) as first:
        first.execute("set timezone to 'Asia/Tokyo'")
        first.execute("create temporary table seen as select 1")
        first.execute("select pg_advisory_lock(1)")
        first.execute("listen something")
    with connect(Role.LOADER, autocommit=True) as second:
        assert _pid(second) == _pid(first)
        assert second.execute("show timezone").fetchone() == ("UTC",)
        assert second.execute("select to_regclass('seen')").fetchone() == (None,)
        assert second.execute("select count(*) from pg_listening_channels()").fetchone() == (0,)
        held = "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()"
        assert second.execute(held).fetchone() == (0,)


def test_what_failed_is_rolled_back_and_what_ended_well_is_committed():
    with pytest.raises(ZeroDivisionError):
        _fails_after_setting_the_clock()
    with connect(Role.OPERATOR) as operator:
        assert operator.execute("select count(*) from interlock.clock").fetchone() == (0,)
        operator.execute("select interlock.set_clock('2013-01-08T06:00:00Z', 'tester')")
    with connect(Role.AUDITOR) as auditor:
        assert auditor.execute("select count(*) from interlock.clock").fetchone() == (1,)


def test_who_holds_a_connection_is_not_made_to_wait_for_another():
    with connect(Role.OPERATOR) as outer, connect(Role.OPERATOR) as inner, connect(Role.CONSUMER):
        assert _pid(inner) != _pid(outer)


def test_a_connection_that_the_server_ended_meanwhile_is_not_lent():
    with connect(Role.OPERATOR) as first:
        ended = _pid(first)
    with connect(Role.ADMIN, autocommit=True) as admin:
        admin.execute("select pg_terminate_backend(%s, 5000)", [ended])
    with connect(Role.OPERATOR) as second:
        assert second.execute("select 1").fetchone() == (1,)
        assert _pid(second) != ended


def test_a_connection_that_was_lost_in_use_is_not_kept():
    with pytest.raises(psycopg.OperationalError):
        _loses_its_connection()
    with connect(Role.OPERATOR) as second:
        assert second.execute("select 1").fetchone() == (1,)
