"""The dbt project, built as a developer builds it, over the whole year."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import yaml

from interlock.contracts.loading import load_contracts
from interlock.contracts.model import Layer

if TYPE_CHECKING:
    from conftest import Build

PROJECT = Path(__file__).parents[2] / "dbt_project"
MODELS = {
    model["name"]: model
    for file in sorted((PROJECT / "models").rglob("_*.yml"))
    for model in yaml.safe_load(file.read_text(encoding="utf-8")).get("models", [])
}
MACHINERY = {"time_spine_daily"}
DATASETS = sorted(set(MODELS) - MACHINERY)


def rows(build: Build, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(build.address) as connection:
        return connection.execute(query.encode()).fetchall()


def test_a_plain_dbt_build_passes_without_airflow_and_without_interlock(build: Build):
    assert build.completed.returncode == 0, build.completed.stdout[-4000:]
    assert set(build.statuses.values()) <= {"success", "pass", "no-op"}


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_models_promise_is_the_contracts_promise(dataset: str):
    promised = [
        (c["name"], c["data_type"], any(rule["type"] == "not_null" for rule in c.get("constraints", [])))
        for c in MODELS[dataset]["columns"]
    ]
    assert promised == [(c.name, c.physical_type, c.required) for c in load_contracts()[dataset].columns]


def test_every_model_has_a_contract_or_a_reason_to_have_none():
    contracts = load_contracts().values()
    assert {contract.dataset for contract in contracts if contract.layer is not Layer.RAW} == set(DATASETS)


def test_every_model_and_column_is_described_and_every_dataset_states_its_grain():
    for name, model in MODELS.items():
        assert "one row per" in model["description"].lower(), name
        assert all(column["description"] for column in model["columns"]), name


def test_every_dataset_has_a_unit_test():
    tested = {
        test["model"]
        for file in (PROJECT / "models").rglob("unit_tests/*.yml")
        for test in yaml.safe_load(file.read_text(encoding="utf-8"))["unit_tests"]
    }
    assert tested == set(DATASETS)


def test_no_flight_is_lost_and_what_is_unknown_is_counted(build: Build):
    [counted] = rows(
        build,
        "select count(*), count(*) filter (where is_cancelled), count(*) filter (where is_diverted),"
        " count(*) filter (where not is_destination_known), count(*) filter (where tail_number = 'UNKNOWN'),"
        " count(*) filter (where scheduled_arrival_at is null) from dev.fct_flights",
    )
    assert counted == (336_776, 8_255, 1_175, 7_602, 2_512, 7_602)


def test_the_weather_join_neither_loses_nor_doubles_a_departure(build: Build):
    [(flights, observed)] = rows(build, "select count(*), sum(has_observation::int) from dev.fct_departure_conditions")
    assert flights == 336_776
    assert 0.99 * flights < observed < flights


def test_an_unsorted_or_repeated_history_of_snapshots_gives_the_same_dimension(build: Build):
    """Run order cannot show: the model reads one set of rows, in whatever order they lie."""
    compiled = next(Path(build.environment["DBT_TARGET_PATH"]).rglob("compiled/**/dim_aircraft.sql")).read_text()
    table = "stg_flight_operations__aircraft"
    snapshots = (
        "select tail_number, '2013-01-01'::date as snapshot_date, manufactured_year, aircraft_type, manufacturer,"
        " model, engine_count, seat_count + {shift} as seat_count, cruising_speed_mph, engine_type from dev." + table
    )
    changed = " union all ".join(
        snapshots.format(shift=shift).replace("2013-01-01", day) + f" where {keep}"
        for day, shift, keep in (
            ("2013-01-01", 0, "true"),
            ("2013-02-01", 1, "seat_count > 100"),
            ("2013-03-01", 1, "engine_count = 2"),
        )
    )
    with psycopg.connect(build.address) as connection:
        found = []
        for order in ("snapshot_date, tail_number", "snapshot_date desc, md5(tail_number)"):
            connection.execute("create schema shuffled")
            connection.execute(
                f"create table shuffled.{table} as select * from ({changed}) s order by {order}".encode()
            )
            query = compiled.replace('"dev"', '"shuffled"')
            found.append(sorted(map(repr, connection.execute(query.encode()).fetchall())))
            connection.rollback()
    assert found[0] == found[1]
    assert len(found[0]) > 3_323


def test_a_candidate_over_several_months_is_one_table_a_month_and_a_row_outside_them_is_an_error(build: Build):
    model = "stg_flight_operations__flights"

    def run(*numbers: int) -> subprocess.CompletedProcess[str]:
        buckets = {model: {"column": "flight_date", "months": [f"2013-{number:02d}-01" for number in numbers]}}
        return build.dbt(
            "run", "--select", model, "--vars", json.dumps({"interlock_buckets": buckets}), schema="routed"
        )

    def parts() -> list[tuple[Any, ...]]:
        return rows(
            build,
            f"select tableoid::regclass::text, count(*), min(flight_date), max(flight_date) from routed.{model}"
            " group by 1 order by 1",
        )

    ran = run(*range(1, 13))
    assert ran.returncode == 0, ran.stdout
    made = parts()
    assert [name for name, *_ in made] == [f"routed.{model}__2013_{number:02d}" for number in range(1, 13)]
    assert all(name.endswith(f"{day:%Y_%m}") for name, _, first, last in made for day in (first, last))
    assert sum(count for _, count, *_ in made) == 336_776
    columns = (
        "select column_name, data_type, is_nullable from information_schema.columns"
        " where table_schema = '{}' and table_name = '{}' order by ordinal_position"
    )
    assert rows(build, columns.format("routed", f"{model}__2013_01")) == rows(build, columns.format("dev", model))

    refused = run(1, 2)
    assert refused.returncode != 0
    assert "no partition of relation" in refused.stdout
    assert parts() == made
