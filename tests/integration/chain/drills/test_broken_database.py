"""The database full, read-only, restarting or out of connections: nothing turns green, and the message says what to do.

A full disk is played by a trigger that raises what PostgreSQL raises then (SQLSTATE 53100), on one table of the
platform at a time: a volume of its own cannot be mounted where tests run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from interlock.db.connection import Role
from interlock.errors import InterlockError, TransientFailure
from interlock.pipeline import chain, phases
from interlock.pipeline.runs import Phase

if TYPE_CHECKING:
    from tests.integration.chain.drills.conftest import Drill

WEATHER, DAY = "airport_weather", "2013-01-08"
LATER = list(Phase)[1:]
RAW = ("observations",)

# The table that takes no row any more.
FULL = (
    "interlock.run",
    "raw_airport_weather.observations",
    "interlock.verdict",
    "interlock.event",
)


def _fails_for_now(run: Callable[[], Any]) -> str:
    """Runs what cannot work now; the words that an operator reads. It must say that a retry helps, and what to do."""
    try:
        report = run()
    except TransientFailure as error:
        return f"{error.message} {error.fix}"
    assert report.blocked
    assert all(item.retry_helps for item in report.blocked), report.blocked
    return "\n".join(f"{item.reason} {item.fix}" for item in report.blocked)


@pytest.mark.parametrize("table", FULL)
def test_a_full_disk_stops_the_run_and_says_so(drill: Drill, server: Any, table: str):
    with _full(server, drill.world.name, table):
        said = _fails_for_now(lambda: drill.world.run(WEATHER, DAY))
        assert "No space left on device" in said
        assert "`interlock maintain` prunes" in said
        drill.require_nothing_turned_green()
    drill.require_mended()


@contextmanager
def _full(server: Any, database: str, table: str) -> Iterator[None]:
    server.run(
        "create function public.full_disk() returns trigger language plpgsql as $$ begin"
        " raise exception 'could not extend file: No space left on device' using errcode = '53100'; end $$",
        f"create trigger full_disk before insert on {table} for each statement execute function public.full_disk()",
        database=database,
    )
    yield
    server.run(f"drop trigger full_disk on {table}", "drop function public.full_disk", database=database)


def test_a_database_that_was_set_read_only_still_answers_and_takes_no_run(drill: Drill, server: Any):
    server.run(f"alter database {drill.world.name} set default_transaction_read_only = on")
    said = _fails_for_now(lambda: drill.world.run(WEATHER, DAY))
    assert "read-only" in said
    assert "once it takes them" in said
    assert drill.world.state("fct_departure_conditions", "2013-01-07") == "safe"
    drill.require_nothing_turned_green()
    server.run(f"alter database {drill.world.name} reset default_transaction_read_only")
    drill.require_mended()


def test_a_database_that_becomes_read_only_between_phases_ends_where_it_would_have(drill: Drill, server: Any):
    chain.admit(WEATHER, [DAY], run_key="drilled", trigger="test", by="tester")
    for phase in LATER:
        if phase in (Phase.GATE_RAW, Phase.STAGE, Phase.PUBLISH_STAGED):
            server.run(f"alter database {drill.world.name} set default_transaction_read_only = on")
            with pytest.raises(TransientFailure, match="read-only"):
                chain.run_phase(phase, "drilled")
            server.run(f"alter database {drill.world.name} reset default_transaction_read_only")
            drill.require_nothing_turned_green(but=() if phase is Phase.GATE_RAW else RAW)
        chain.run_phase(phase, "drilled")
    drill.require_mended()


# A role that gets no connection (or no second one) any more.
TAKEN = {
    "interlock_operator": 0,
    "interlock_gate": 0,
    "interlock_builder": 1,
    "interlock_publisher": 0,
}


@pytest.mark.parametrize("role", TAKEN)
def test_a_role_without_a_free_connection_stops_the_run_for_now(drill: Drill, server: Any, role: str):
    server.run(f"alter role {role} connection limit {TAKEN[role]}")
    try:
        said = _fails_for_now(lambda: drill.world.run(WEATHER, DAY))
        assert "too many connections" in said
    finally:
        server.run(f"alter role {role} connection limit -1")
    drill.require_nothing_turned_green(but=RAW)
    drill.require_mended()


def test_a_consumer_who_gets_no_connection_could_not_ask_and_is_not_told_safe(drill: Drill, server: Any):
    from interlock.errors import Exit
    from interlock.safety import answers

    server.run("alter role interlock_consumer connection limit 0")
    try:
        with pytest.raises(InterlockError, match="too many connections") as failure:
            answers.ask("fct_departure_conditions", "2013-01-07")
        assert failure.value.exit_code is Exit.COULD_NOT_ASK
        assert "allow it more" in failure.value.fix
    finally:
        server.run("alter role interlock_consumer connection limit -1")


# What the run is about to do when the server is restarted under it.
MOMENTS = {
    "in a load": (phases.loads.marks, "require_unchanged"),
    "before dbt": (phases.candidates, "build"),
    "before a publish": (phases.publications, "publish"),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_server_that_is_restarted_within_a_phase_ends_the_run_for_now(
    drill: Drill, server: Any, monkeypatch: pytest.MonkeyPatch, moment: str
):
    module, name = MOMENTS[moment]
    real = getattr(module, name)

    def under_a_restart(*arguments: Any, **keywords: Any) -> Any:
        monkeypatch.setattr(module, name, real)
        _restart(server)
        return real(*arguments, **keywords)

    monkeypatch.setattr(module, name, under_a_restart)
    _fails_for_now(lambda: drill.world.run(WEATHER, DAY))
    drill.require_nothing_turned_green(but=RAW)
    drill.require_mended()


def test_a_server_that_is_restarted_between_all_phases_changes_nothing(drill: Drill, server: Any):
    chain.admit(WEATHER, [DAY], run_key="drilled", trigger="test", by="tester")
    for phase in LATER:
        _restart(server)
        chain.run_phase(phase, "drilled")
    assert drill.world.unsafe() == set()
    assert drill.world.rows("select count(*) from interlock.claim", role=Role.AUDITOR) == [(0,)]


def _restart(server: Any) -> None:
    server.embedded.stop(force=True)
    assert server.embedded.acquire() == server.port
