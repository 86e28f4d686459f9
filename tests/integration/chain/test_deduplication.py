"""Copies of rows change nothing that is read, and of any row of a delivery it can be told where it went."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from interlock.cli import app
from interlock.contracts.loading import load_contracts
from interlock.db.connection import Role
from interlock.errors import UsageError
from interlock.publishing.ledger import accounts
from interlock.publishing.traces import Fate, trace

if TYPE_CHECKING:
    from tests.integration.chain.conftest import World

FLIGHTS, WEATHER, DAY, CLOCKS_GO_BACK = "flight_operations", "airport_weather", "2013-01-05", "2013-11-03"
STAGED = "stg_flight_operations__flights"
READ = (STAGED, "fct_flights", "agg_carrier_daily")


def test_a_day_with_copies_reads_as_the_day_without_and_the_copies_are_counted(world: World):
    before = {dataset: _less_origin(world, dataset) for dataset in READ}
    world.deliver(DAY, feeds=("flights",), fault="duplicated_rows")
    assert world.run(FLIGHTS, DAY).is_complete
    assert {dataset: _less_origin(world, dataset) for dataset in READ} == before
    (staged,) = (entry for entry in accounts("fct_flights", DAY).entries if entry.dataset == STAGED)
    assert (staged.read, staged.deduplicated, staged.written) == (792, 72, 720)
    (reason,) = staged.reasons["deduplicated"]
    assert reason == "a copy of an earlier row of its file"
    assert accounts("agg_carrier_daily", DAY).balances
    told = CliRunner().invoke(app, ["ledger", "fct_flights", "--partition", DAY])
    assert f"{STAGED}: 72 deduplicated ({reason})" in told.output
    warned = world.rows(
        "select e ->> 'message' from interlock.safety s join interlock.verdict v using (verdict_id)"
        " cross join lateral jsonb_array_elements(v.evidence) e"
        " where s.dataset = 'flights' and s.partition = %s and e ->> 'clause' = 'repeats'",
        DAY, role=Role.AUDITOR,
    )  # fmt: skip
    assert warned == [("72 of 792 rows are copies of other rows; the first of each is taken",)]

    # The copies stand at the end of the file, and each repeats every tenth row.
    copy = _trace("fct_flights", 722)
    assert [(station.dataset, station.fate) for station in copy.stations] == [
        ("flights", Fate.DELIVERED), (STAGED, Fate.DEDUPLICATED),
    ]  # fmt: skip
    assert copy.stations[1].why.startswith(f"row 11 of load {copy.load_id} is kept; a copy of an earlier row")
    kept = _trace("agg_carrier_daily", 11)
    assert [station.fate for station in kept.stations] == [Fate.DELIVERED, Fate.HERE, Fate.HERE, Fate.COUNTED]
    assert kept.stations[1].key == kept.stations[2].key
    # A correction with fewer rows takes the place of the load, and its rows are told by name.
    old = copy.load_id
    world.correct("flights", DAY)
    assert world.run(FLIGHTS, DAY).is_complete
    assert [item.fate for item in trace(load_contracts(), "flights", DAY, 11, old).stations] == [Fate.NOT_READ]
    assert _trace("flights", 11).others == (old, *_trace("flights", 11).others[1:])


def test_every_row_of_the_day_on_which_an_hour_comes_twice_can_be_told_where_it_went(empty_world: World):
    world = empty_world
    world.deliver(CLOCKS_GO_BACK, fault="weather_rows_twice")
    world.deliver(CLOCKS_GO_BACK, feeds=("flights",), fault="few_malformed_aircraft")
    assert world.run(FLIGHTS, CLOCKS_GO_BACK).is_complete
    assert world.run(WEATHER, CLOCKS_GO_BACK).is_complete
    assert accounts("fct_departure_conditions", CLOCKS_GO_BACK).balances
    aside = dict(
        world.rows("select row_number, reasons from interlock.row_quarantine where state = 'held'", role=Role.AUDITOR)
    )
    lines = (world.landing / f"flights/flights_{CLOCKS_GO_BACK}.csv").read_text().splitlines()
    for number in [*aside, 1, 2, 3, len(lines) - 1]:
        found = _trace("fct_departure_conditions", number, CLOCKS_GO_BACK)
        fates = [station.fate for station in found.stations]
        assert fates == [Fate.SET_ASIDE] if number in aside else [Fate.DELIVERED, *[Fate.HERE] * 3], number

    # Both passes of the repeated hour are rows of their own; the copies are not.
    twice = world.rows(
        "select count(*), count(distinct observed_at) from safe.stg_airport_weather__observations"
        " where observation_date = %s::date and airport_code = 'EWR' and local_hour = 1",
        CLOCKS_GO_BACK,
    )
    assert twice == [(2, 2)]
    told = CliRunner().invoke(app, ["ledger", "observations", "-p", CLOCKS_GO_BACK, "--row", "76", "--json"])
    assert told.exit_code == 0
    assert [item["fate"] for item in json.loads(told.output)["stations"]] == ["delivered", "deduplicated"]


def test_what_cannot_be_told_is_not_made_up(world: World):
    with pytest.raises(UsageError, match="has no row 9999"):
        _trace("fct_flights", 9999)
    with pytest.raises(UsageError, match="no dataset 'fct_fligths'"):
        _trace("fct_fligths", 1)
    with pytest.raises(UsageError, match="nothing was loaded"):
        _trace("fct_flights", 1, "2013-12-24")
    with pytest.raises(UsageError, match="load 1234567 is none"):
        trace(load_contracts(), "fct_flights", DAY, 1, 1234567)
    # A row that vanished behind the platform's back is told to be lost.
    (station,) = (item for item in _trace("fct_flights", 1).stations if item.dataset == "fct_flights")
    world.rows(
        f"with gone as (delete from versions.fct_flights__v{station.version} where flight_date = %s::date"
        " and (carrier_code, flight_number, origin_code) = (%s, %s, %s) returning 1) select * from gone",
        DAY, *(station.key[name] for name in ("carrier_code", "flight_number", "origin_code")), role=Role.ADMIN,
    )  # fmt: skip
    found = _trace("fct_flights", 1)
    assert (found.stations[-1].fate, found.is_lost) == (Fate.LOST, True)
    told = CliRunner().invoke(app, ["ledger", "fct_flights", "--partition", DAY, "--row", "1"])
    assert told.exit_code == 3
    assert "fct_flights: LOST" in told.output


def _trace(dataset: str, row: int, day: str = DAY) -> Any:
    return trace(load_contracts(), dataset, day, row)


def _less_origin(world: World, dataset: str) -> list[Any]:
    """What is read of the day, less where it lay in its file."""
    return sorted(
        world.rows(
            f"select to_jsonb(t) - 'load_id' - 'row_number' from safe.{dataset} t where flight_date = %s::date", DAY
        ),
        key=repr,
    )
