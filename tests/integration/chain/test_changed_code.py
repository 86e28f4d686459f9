"""What a run does when the checkout changed: models, contracts, and models that cannot be built."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from interlock.db.connection import Role
from interlock.errors import PermanentFailure

if TYPE_CHECKING:
    from tests.integration.chain.conftest import World

FLIGHTS, WEATHER = "flight_operations", "airport_weather"
DAY, NEXT = "2013-01-08", "2013-01-09"
CHECKOUT = Path(__file__).parents[3]
MODELS = "dbt_project/models/marts/flight_operations"
CONTRACTS = "include/contracts/flight_operations"


@pytest.fixture
def checkout(world: World, own_checkout: Callable[[], Path]) -> Path:
    """A checkout of the test's own, to change."""
    return own_checkout()


def test_a_changed_model_rebuilds_what_it_makes_and_new_words_in_a_contract_nothing(world: World, checkout: Path):
    was = world.versions()
    _edit(
        checkout / CONTRACTS / "agg_carrier_daily.yaml", ("version: 1.1.0", "version: 1.1.1"), ("name: ", "name: The ")
    )
    report = world.run(FLIGHTS, DAY)
    assert (report.published, report.blocked) == ((), ())
    assert world.rows(
        "select contract_version from interlock.dataset where name = 'agg_carrier_daily'", role=Role.AUDITOR
    ) == [("1.1.1",)]
    assert world.versions() == was

    _edit(checkout / MODELS / "agg_carrier_daily.sql", ("group by flight_date, carrier_code", "group by 1, 2"))
    assert world.run(FLIGHTS, DAY).published == (("agg_carrier_daily", DAY),)
    assert {key for key, version in world.versions().items() if version != was[key]} == {("agg_carrier_daily", DAY)}


def test_changed_blocking_clauses_are_refused_with_the_command_that_makes_them_active(world: World, checkout: Path):
    _edit(
        checkout / CONTRACTS / "agg_carrier_daily.yaml",
        ("version: 1.1.0", "version: 2.0.0"),
        ("minimum: 0", "minimum: 1"),
    )
    before = world.record()
    with pytest.raises(PermanentFailure, match=r"agg_carrier_daily changed.*\n.*`interlock contract activate`"):
        world.run(FLIGHTS, DAY)
    assert world.record() == before


def test_a_model_that_cannot_be_built_holds_back_its_readers_and_not_its_siblings(world: World, checkout: Path):
    world.deliver(NEXT)
    _edit(
        checkout / MODELS / "fct_flights.sql",
        ("make_interval(mins => arrival_delay_minutes)", "('not a number' || arrival_delay_minutes)::interval"),
    )
    _edit(checkout / MODELS / "dim_carriers.sql", ("'Unknown' as carrier_name", "'Nobody' as carrier_name"))
    report = world.run(FLIGHTS, NEXT)
    assert {(item.dataset, item.began_at) for item in report.blocked} == {
        (name, ("fct_flights", NEXT)) for name in ("fct_flights", "agg_carrier_daily")
    }
    assert "not a number" in report.blocked[0].reason
    assert report.published == (("dim_carriers", "all"), ("stg_flight_operations__flights", NEXT))
    (reason,) = world.reasons("fct_flights", NEXT)
    assert reason["code"] == "build_failed"
    assert "not a number" not in reason["message"], "what the database said may quote a row, which everybody would read"
    for reader in ("agg_carrier_daily", "fct_departure_conditions"):
        assert [reason["path"] for reason in world.reasons(reader, NEXT)] == [["fct_flights", reader]]

    shutil.copy(CHECKOUT / MODELS / "fct_flights.sql", checkout / MODELS / "fct_flights.sql")
    assert world.run(FLIGHTS, NEXT).is_complete
    assert world.state("agg_carrier_daily", NEXT) == "safe"


def test_a_model_that_reads_something_new_is_known_before_it_runs(world: World, checkout: Path):
    model = checkout / MODELS / "agg_carrier_daily.sql"
    _edit(model, ("with\n", "with\n\ncarriers as (\n\n    select * from {{ ref('dim_carriers') }}\n\n),\n"))
    assert world.run(FLIGHTS, DAY).published == (("agg_carrier_daily", DAY),)
    read = (
        "select u.name from interlock.input i join interlock.dataset u on u.dataset_id = i.input_id"
        " where i.version = %s order by 1"
    )
    version = world.versions()["agg_carrier_daily", DAY]
    assert ("dim_carriers",) in world.rows(read, version, role=Role.AUDITOR)


def test_missing_reference_data_is_waited_for(worlds: Callable[..., World]):
    world = worlds()
    world.deliver(DAY, feeds=("flights", "aircraft"))
    report = world.run(FLIGHTS, DAY)
    assert not report.is_complete
    assert [item for item in report.blocked if not item.retry_helps] == []
    assert {item.began_at[0] for item in report.blocked} == {"carriers", "airports"}
    assert world.state("flights", DAY) == "safe"
    # Its carriers are not known, so not even the staged flights can be judged.
    assert world.state("stg_flight_operations__flights", DAY) == "unknown"

    world.deliver(DAY)
    assert world.run(FLIGHTS, DAY).is_complete


def _edit(file: Path, *changes: tuple[str, str]) -> None:
    text = file.read_text()
    for before, after in changes:
        assert before in text, f"{file.name} no longer has {before!r}"
        text = text.replace(before, after, 1)
    file.write_text(text)
