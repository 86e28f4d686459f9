"""The short form: a few kills of each kind on one platform, with readers who look all the time.

What is asserted never depends on where exactly a signal hit: after every recovery, everything must hold.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.chaos import invariants, plans
from tests.chaos.__main__ import harness
from tests.chaos.plans import Round
from tests.chaos.rounds import Harness

from interlock.db.connection import Role

DAYS = 2


@pytest.fixture(scope="module")
def platform() -> Iterator[Harness]:
    """A platform of these tests' own, on which the undisturbed run is known."""
    with harness(DAYS) as made:
        yield made


@pytest.mark.parametrize("planned", plans.short(), ids=lambda planned: planned.told)
def test_whatever_is_killed_the_next_run_ends_as_if_it_had_never_been(platform: Harness, planned: Round):
    assert platform.perform(planned) == []


DAMAGE = {
    "served tables are those": "delete from staged.stg_flight_operations__flights where row_number = 1",
    "nothing is called unsafe": "update interlock.dataset set lease_until = now() where name = 'flights'",
    "no claim is left": (
        "insert into interlock.claim select 'airport_weather', '2013-02-01', max(run_id), 1, now() from interlock.run"
    ),
    "no session or advisory lock is left": "select pg_advisory_lock(1)",
    "no workspace is left": "create schema run_99999",
    "candidates are whole": "create table versions.of_nobody (a integer)",
    "loads are whole": "delete from raw_airport_weather.observations where _row_number = 2",
    "accepted loads hold what": "delete from raw_flight_operations.flights where _row_number = 2",
    "runs ended or are shown": "update interlock.run set finished_at = null where run_id = 1",
    "pointers agree": "update interlock.partition set open_causes = open_causes + 1",
    "the ledger balances": "delete from interlock.ledger",
}


def test_every_invariant_goes_red_when_it_is_broken_on_purpose(platform: Harness):
    platform.begin_again()
    assert invariants.after_recovery(platform.subject) == []
    with platform.world.dial(Role.ADMIN) as connection:
        connection.execute(b"set session_replication_role = replica")
        for damage in DAMAGE.values():
            connection.execute(damage.encode())
        (platform.world.landing / "flights" / "flights_2013-01-07.csv.part").touch()
        found = invariants.after_recovery(platform.subject)
    wanted = [*DAMAGE, "the landing folder is"]
    assert [name for name in wanted if not any(said.startswith(name) for said in found)] == []
