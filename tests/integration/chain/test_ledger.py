"""Where every row of a delivery went, from the file's lines to the tables that consumers read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from interlock.cli import app
from interlock.db.connection import Role
from interlock.errors import UsageError
from interlock.publishing.ledger import accounts

if TYPE_CHECKING:
    from tests.integration.chain.conftest import World

DAY = "2013-01-05"
STAGED = "stg_flight_operations__flights"


def test_the_accounts_of_a_day_lead_back_to_the_lines_of_its_file(world: World):
    rows = len((world.landing / f"flights/flights_{DAY}.csv").read_text().splitlines()) - 1
    found = accounts("agg_carrier_daily", DAY)
    assert [(entry.input, entry.dataset) for entry in found.entries] == [
        (f"flights/flights_{DAY}.csv", "flights"), ("flights", STAGED), (STAGED, "fct_flights"),
        ("fct_flights", "agg_carrier_daily"),
    ]  # fmt: skip
    assert {(entry.read, entry.written) for entry in found.entries} == {(rows, rows)}
    assert found.balances


def test_every_partition_that_is_served_balances(world: World):
    served = world.rows(
        "select d.name, p.partition from interlock.partition p join interlock.dataset d using (dataset_id)"
        " where p.version is not null order by 1, 2",
        role=Role.AUDITOR,
    )
    balanced = world.rows(
        "select dataset, partition from interlock.accounts group by 1, 2 having bool_and(balances) order by 1, 2",
        role=Role.AUDITOR,
    )
    assert balanced == served


def test_of_a_snapshot_that_was_delivered_again_only_the_correction_is_accounted_for(world: World):
    (snapshot,) = (world.landing / "aircraft").glob("*.csv")
    *most, _, last = snapshot.read_text().splitlines(keepends=True)
    world.put("aircraft", snapshot.name, "".join([*most, last]))
    assert world.run("flight_operations", DAY).is_complete
    found = accounts("dim_aircraft", "all")
    (staged,) = (entry for entry in found.entries if entry.dataset == "stg_flight_operations__aircraft")
    (corrected,) = (entry.written for entry in found.entries if entry.dataset == "aircraft")
    assert corrected == len(most)
    assert (staged.read, staged.dropped, staged.written) == (corrected, 0, corrected)
    assert found.balances


def test_the_command_prints_them_and_its_exit_code_says_whether_they_balance(world: World):
    told = CliRunner().invoke(app, ["ledger", "fct_flights", "--partition", DAY])
    assert told.exit_code == 0
    assert f"from flights/flights_{DAY}.csv" in told.output
    assert "Every row is accounted for." in told.output
    assert CliRunner().invoke(app, ["ledger", "fct_flights", "--partition", "2013-12-24"]).exit_code == 4
    with pytest.raises(UsageError, match="no dataset 'fct_fligths'"):
        accounts("fct_fligths", DAY)
