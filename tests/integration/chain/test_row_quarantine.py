"""A few bad rows are kept aside and the rest is published; after a correction they come back through the same gates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from interlock.cli import app
from interlock.contracts.loading import load_contracts
from interlock.db.connection import Role
from interlock.pipeline.activation import activate
from interlock.publishing.ledger import accounts
from interlock.quality import row_quarantine
from interlock.settings import settings

if TYPE_CHECKING:
    from tests.integration.chain.conftest import World

FLIGHTS, DAY, NEXT = "flight_operations", "2013-01-05", "2013-01-06"
CHECKOUT = Path(__file__).parents[3]
STRICT, WIDE = "'^[0-9A-Z]{3,7}$'", "'^[-0-9A-Za-z]{3,7}$'"
CLAUSES = ("quality.aircraft_are_registrations", "tailnum.pattern")


@pytest.fixture
def checkout(empty_world: World, own_checkout: Callable[[], Path]) -> Path:
    """A checkout whose contracts can be corrected."""
    return own_checkout()


def test_twelve_bad_rows_wait_for_their_correction_and_the_accounts_balance_before_and_after(
    empty_world: World, checkout: Path
):
    world = empty_world
    rows = _deliver(world, DAY, bad=12)
    assert world.run(FLIGHTS, DAY).is_complete
    assert world.state("fct_flights", DAY) == "safe"
    assert _published(world) == rows - 12
    (held,) = row_quarantine.groups()
    assert (held.dataset, held.partition, held.rows, held.state) == ("flights", DAY, 12, "held")
    assert sorted(held.reasons) == sorted(CLAUSES)
    (aside,) = (entry for entry in accounts("fct_flights", DAY).entries if entry.input == "flights as loaded")
    assert (aside.read, aside.quarantined, aside.written) == (rows, 12, rows - 12)
    assert accounts("fct_flights", DAY).balances

    # Nothing was corrected: they go through the gates again, and are where they were.
    told = CliRunner().invoke(app, ["quarantine", "replay", "flights", "--partition", DAY])
    assert told.exit_code == 0
    assert f"12 rows were replayed; 12 of flights {DAY} are held now." in told.output
    assert [(group.state, group.rows) for group in row_quarantine.groups(is_all=True)] == [
        ("replayed", 12),
        ("held", 12),
    ]
    assert _published(world) == rows - 12

    for name in ("flights", "stg_flight_operations__flights", "fct_flights"):
        _widen(checkout / f"include/contracts/flight_operations/{name}.yaml")
    _edit(checkout / "include/contracts/flight_operations/flights.yaml", ("tailnum ~ '", "tailnum ~* '"))
    _edit(
        checkout / "expectations/flight_operations/fct_flights.yaml",
        ("^([A-Z][0-9A-Z]{2,6}|UNKNOWN)$", "[a-zA-Z0-9-]+"),
    )
    settings.cache_clear()
    assert all(item.is_active for item in activate("tester", commit=True, catalog=load_contracts()))
    told = CliRunner().invoke(app, ["quarantine", "replay", "flights", "--partition", DAY])
    assert f"12 rows were replayed; 0 of flights {DAY} are held now." in told.output
    assert _published(world) == rows
    assert world.state("fct_flights", DAY) == "safe"
    assert accounts("fct_flights", DAY).balances
    # Once more there is nothing to do.
    told = CliRunner().invoke(app, ["quarantine", "replay", "flights", "--partition", DAY])
    assert f"No row of flights {DAY} waits for a replay." in told.output


def test_what_was_set_aside_is_kept_as_it_was_delivered_until_somebody_gives_it_up(empty_world: World):
    world = empty_world
    _deliver(world, DAY, bad=3)
    assert world.run(FLIGHTS, DAY).is_complete
    lines = (world.landing / f"flights/flights_{DAY}.csv").read_text().splitlines()
    kept = row_quarantine.rows(load_contracts()["flights"], DAY, 20)
    assert [",".join(row.values.values()) for row in kept] == [lines[row.row_number] for row in kept]
    assert {row.contract_version for row in kept} == {load_contracts()["flights"].version}

    refused = CliRunner().invoke(app, ["quarantine", "discard", "flights", "-p", DAY, "--row", "2", "--reason", "test"])
    assert refused.exit_code != 0
    number = str(kept[0].row_number)
    told = CliRunner().invoke(
        app, ["quarantine", "discard", "flights", "-p", DAY, "--row", number, "--reason", "flown by a drone"]
    )
    assert told.output == f"1 row of flights {DAY} given up.\n"
    gone = world.rows(
        "select row_number::text, discard_reason, discarded_by is not null from interlock.row_quarantine"
        " where state = 'discarded'",
        role=Role.AUDITOR,
    )
    assert gone == [(number, "flown by a drone", True)]
    assert [group.rows for group in row_quarantine.groups()] == [2]


def test_more_bad_rows_than_the_budget_block_the_partition_and_none_is_set_aside(empty_world: World):
    world = empty_world
    _deliver(world, DAY, bad=21)
    report = world.run(FLIGHTS, DAY)
    (reason,) = {item.reason for item in report.blocked if item.dataset == "flights"}
    assert "the contract sets aside at most 20 rows and 3.00%" in reason
    assert row_quarantine.groups(is_all=True) == []
    assert world.state("fct_flights", DAY) == "unsafe"
    # A delivery with fewer is published, and the rejected one is not in the way.
    rows = _deliver(world, DAY, bad=20)
    assert world.run(FLIGHTS, DAY).is_complete
    assert _published(world) == rows - 20
    # A delivery without any supersedes them.
    rows = _deliver(world, DAY, bad=0)
    assert world.run(FLIGHTS, DAY).is_complete
    assert _published(world) == rows
    assert [group.state for group in row_quarantine.groups(is_all=True)] == ["superseded"]


def _deliver(world: World, day: str, bad: int) -> int:
    """A day's flights, some of them with a tail number in small letters; their number."""
    world.deliver(day)
    file = f"flights_{day}.csv"
    header, *lines = (world.landing / "flights" / file).read_text().splitlines()
    place = header.split(",").index("tailnum")
    found = 0
    for number, line in enumerate(lines):
        values = line.split(",")
        if found < bad and values[place] != "NA" and number % 7 == 0:
            values[place] = values[place].lower()
            lines[number] = ",".join(values)
            found += 1
    assert found == bad
    world.put("flights", file, "\n".join([header, *lines]) + "\n")
    return len(lines)


def _published(world: World) -> int:
    ((rows,),) = world.rows("select count(*) from safe.fct_flights where flight_date = %s::date", DAY)
    return int(rows)


def _widen(contract: Path) -> None:
    content = contract.read_text()
    version = content.split("\nversion: ")[1].split("\n")[0]
    _edit(contract, (STRICT, WIDE), (f"\nversion: {version}\n", f"\nversion: {int(version[0]) + 1}.0.0\n"))


def _edit(file: Path, *changes: tuple[str, str]) -> None:
    content = file.read_text()
    for old, new in changes:
        assert old in content
        content = content.replace(old, new, 1)
    file.write_text(content)
