"""Platforms on which time has passed: what is pruned depends on its age."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from tests.conftest import prepared
from tests.integration.conftest import Platform

from interlock.db.connection import Role

if TYPE_CHECKING:
    from collections.abc import Callable

DAY, NEXT = "2013-01-05", "2013-01-06"
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


def _aged(platform: Platform, days: int = 400) -> None:
    with platform.database.connect(Role.ADMIN) as connection:
        connection.execute("set local session_replication_role = replica")  # what is append-only ages as well
        for table, columns in AGING.items():
            earlier = ", ".join(f"{column} = {column} - make_interval(days => {days})" for column in columns)
            connection.execute(f"update interlock.{table} set {earlier}".encode())


@pytest.fixture
def age() -> Callable[..., None]:
    """Lets days go by: everything that was recorded is older by that much."""
    return _aged


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
def worn_database(server, filled_database: str) -> str:
    """Five versions of one day of the facts, a year old: the first, and four corrections. Copy it, do not touch it."""
    with prepared(server, filled_database, "interlock_worn") as database, ExitStack() as stack:
        worn = Platform(database, stack)
        _corrected(worn, 10, 20, 30, 40)
        _aged(worn)
    return database.name


@pytest.fixture
def replaced(filled: Platform) -> list[int]:
    """Five versions of one day of the facts, a year old, in their order."""
    versions = (
        "select version from interlock.version join interlock.version_partition using (version)"
        " join interlock.dataset using (dataset_id) where name = 'fct_orders' and partition = %s order by version"
    )
    return [version for (version,) in filled.rows(Role.OWNER, versions, DAY)]


@pytest.fixture
def owner(filled: Platform):
    """The owner's eyes and hands, for what nobody else may see or do."""
    return filled.session(Role.OWNER)
