"""Platforms on which time has passed: what is pruned depends on its age."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from interlock.db.connection import Role, statement

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.conftest import Platform

DAY, NEXT = "2013-01-05", "2013-01-06"
WORN = "interlock_worn"
AGING = {
    "version": ("created_at", "sealed_at", "condemned_at"),
    "event": ("at",),
    "verdict": ("judged_at",),
    "delivery": ("seen_at",),
    "ledger": ("recorded_at",),
    "run": ("started_at", "finished_at"),
    "phase": ("started_at", "finished_at"),
    "quarantined_delivery": ("opened_at",),
    "notice": ("created_at", "sent_at"),
    "rebuild": ("requested_at", "done_at"),
    "cause": ("opened_at", "cleared_at"),
    "quarantined_row": ("quarantined_at",),
}


@pytest.fixture
def age() -> Callable[..., None]:
    """Lets days go by: everything that was recorded is older by that much."""

    def age(platform: Platform, days: int = 400) -> None:
        with platform.database.connect(Role.ADMIN) as connection:
            connection.execute("set local session_replication_role = replica")  # what is append-only ages as well
            for table, columns in AGING.items():
                earlier = ", ".join(f"{column} = {column} - make_interval(days => {days})" for column in columns)
                connection.execute(f"update interlock.{table} set {earlier}".encode())

    return age


def _corrected(platform: Platform, *amounts: int) -> list[tuple[int, int]]:
    """The day delivered and built again, once for each amount; the loads and fact versions in their order."""
    made = []
    for amount in amounts:
        run = platform.admit("shop", DAY)
        load = platform.deliver(run, "orders", DAY, (amount,))
        platform.renew(run, "stg_orders", DAY, amounts=(amount,))
        version = platform.renew(run, "fct_orders", DAY, amounts=(amount,))
        platform.renew(run, "agg_orders", DAY, amounts=(amount,))
        platform.renew(run, "price_list", DAY, amounts=(amount,))
        platform.renew(run, "total_orders", "all", amounts=(amount,))
        platform.finish(run)
        run = platform.admit("weather", DAY)
        platform.renew(run, "fct_conditions", DAY, amounts=(amount,))
        platform.finish(run)
        made.append((load, version))
    return made


@pytest.fixture
def corrected() -> Callable[..., list[tuple[int, int]]]:
    """Delivers the day, and builds all that is made from it, once for each amount."""
    return _corrected


@pytest.fixture(scope="session")
def worn() -> list[int]:
    """The versions of the snapshot, once it was made."""
    return []


@pytest.fixture
def replaced(filled: Platform, server, worn: list[int], age) -> list[int]:
    """Five versions of one day of the facts, a year old: the first, and four corrections. Made once, then copied."""
    name = filled.database.name
    if worn:
        server.run(f"drop database {name} with (force)", f"create database {name} template {WORN}")
        server.run(statement("db/migrations/sql/01_roles.sql"), database=name)
        return list(worn)
    first = "select min(version) from interlock.version_table where table_name like 'fct\\_orders%%' and %s"
    [(version,)] = filled.rows(Role.OPERATOR, first, True)
    worn += [version, *(version for _, version in _corrected(filled, 10, 20, 30, 40))]
    age(filled)
    for connection in filled.connections.values():
        connection.close()
    server.run(f"create database {WORN} template {name}")
    return list(worn)


@pytest.fixture
def owner(filled: Platform, request: pytest.FixtureRequest):
    """The owner's eyes and hands, for what nobody else may see or do."""
    if "replaced" in request.fixturenames:
        request.getfixturevalue("replaced")  # which makes the database anew, and ends every connection to it
    return filled.session(Role.OWNER)
