"""What an action would touch: partitions, rows, datasets, and who stands on them."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from interlock.contracts.loading import load_contracts
from interlock.contracts.model import Catalog
from interlock.control.records import Radius
from interlock.db.connection import Role
from interlock.pipeline.registry import register
from interlock.transform.lineage import Lineage
from interlock.transform.project import manifest

if TYPE_CHECKING:
    from conftest import Platform

DAY, NEXT = "2013-01-05", "2013-01-06"
DEPENDENTS = [
    {"kind": "consumer", "name": "till", "owner": "Shop", "contact": "shop@example.com", "datasets": ["price_list"]},
    {"kind": "consumer", "name": "board", "owner": "Sales", "datasets": ["agg_orders", "total_orders"]},
    {"kind": "metric", "name": "turnover", "datasets": ["fct_orders"]},
]


def radius(platform: Platform, dataset: str | None, *partitions: str) -> Radius:
    known = dict(platform.rows(Role.OPERATOR, "select name, dataset_id from interlock.dataset"))
    touched = known[dataset] if dataset else None
    return Radius.model_validate(platform.call(Role.CONTROLLER, "blast_radius", touched, list(partitions)))


def waiting(platform: Platform, *domains: str, dataset: str | None = None) -> Radius:
    return Radius.model_validate(platform.call(Role.CONTROLLER, "pipeline_radius", list(domains), dataset))


def stand(platform: Platform, *dependents: dict[str, Any]) -> None:
    platform.call(Role.OPERATOR, "register_dependents", Jsonb(list(dependents)))


def change_criticality(platform: Platform, dataset: str, criticality: str) -> None:
    platform.register_one(dataset, criticality=criticality, contract_version="1.0.1", content_digest="c1.1")


def test_a_partition_touches_itself_and_all_that_is_built_from_it(filled: Platform):
    stand(filled, *DEPENDENTS)
    assert radius(filled, "orders", DAY) == Radius(
        partitions=7,
        rows=14,
        datasets=("agg_orders", "fct_conditions", "fct_orders", "orders", "price_list", "stg_orders", "total_orders"),
        domains=("shop", "weather"),
        consumers=("board", "till"),
        metrics=("turnover",),
        criticality="normal",
        touches={
            name: ("all",) if name == "total_orders" else (DAY,)
            for name in (
                "orders", "stg_orders", "fct_orders", "agg_orders", "price_list", "fct_conditions", "total_orders",
            )
        },
    )  # fmt: skip
    assert (radius(filled, "price_list", DAY).consumers, radius(filled, "price_list", DAY).metrics) == (("till",), ())


def test_several_partitions_touch_what_is_downstream_of_any_of_them_and_each_once(filled: Platform):
    owner = filled.session(Role.OWNER)
    for dataset in ("orders", "sizes", "dim_sizes", "stg_readings", "agg_orders", "total_orders"):
        own = ["all"] if "sizes" in dataset or "total" in dataset else [DAY, NEXT]
        downstream = owner.execute(
            "select d.name, w.partition from unnest(%s::text[]) as own cross join lateral interlock.downstream("
            " interlock.dataset_id_of(%s), own) as w join interlock.dataset d using (dataset_id)",
            [own, dataset],
        )
        expected = {(dataset, partition) for partition in own} | set(downstream.fetchall())
        found = radius(filled, dataset, *own, own[0])
        assert {(name, partition) for name, touched in found.touches.items() for partition in touched} == expected
        assert found.partitions == len(expected)
        assert set(found.datasets) == set(found.touches)


def test_the_rows_are_those_that_are_served(filled: Platform):
    before = radius(filled, "fct_orders", DAY).rows
    run = filled.admit("shop", DAY)
    filled.workspace(run)
    filled.fail(run, filled.build(run, "fct_orders", DAY, amounts=(1, 2, 3, 4, 5)), DAY)
    assert radius(filled, "fct_orders", DAY).rows == before
    filled.renew(run, "fct_orders", DAY, amounts=(1, 2, 3))
    assert radius(filled, "fct_orders", DAY).rows == before + 1


def test_the_rows_of_increments_are_those_of_all_that_are_served_together(filled: Platform):
    before = radius(filled, "sizes", "all").rows
    run = filled.admit("shop", "all")
    filled.fail(run, filled.load(run, "sizes", "all", (7, 8, 9, 10)), "all")
    filled.deliver(run, "sizes", "all", (4, 5, 6))
    assert radius(filled, "sizes", "all").rows == before + 3


def test_what_is_not_built_yet_is_touched_and_has_no_rows(filled: Platform):
    found = radius(filled, "stg_orders", "2013-01-09")
    assert (found.touches["fct_orders"], found.touches["total_orders"]) == (("2013-01-09",), ("all",))
    assert found.rows == 2  # those of total_orders, which reads every day


def test_the_criticality_is_the_highest_of_what_is_touched(filled: Platform):
    change_criticality(filled, "stg_readings", "highest")
    change_criticality(filled, "price_list", "low")
    change_criticality(filled, "fct_conditions", "high")
    assert radius(filled, "price_list", DAY).criticality == "low"
    assert radius(filled, "agg_orders", DAY).criticality == "normal"
    assert radius(filled, "orders", DAY).criticality == "high"
    assert radius(filled, "readings", DAY).criticality == waiting(filled, "weather").criticality == "highest"


def test_another_criticality_judges_nothing_again_and_lasts(filled: Platform):
    change_criticality(filled, "fct_orders", "highest")
    assert filled.state("fct_orders", DAY) == "safe"
    filled.register_one("fct_orders", contract_version="1.0.2", content_digest="c1.2")
    assert radius(filled, "fct_orders", DAY).criticality == "normal"
    with pytest.raises(psycopg.errors.CheckViolation):
        change_criticality(filled, "fct_orders", "tremendous")


def test_what_touches_no_dataset_has_the_empty_radius(filled: Platform):
    nothing = Radius(
        partitions=0, rows=0, datasets=(), domains=(), consumers=(), metrics=(), criticality="low", touches={}
    )
    stand(filled, *DEPENDENTS)
    assert radius(filled, None, DAY) == radius(filled, None) == nothing
    without_partitions = radius(filled, "fct_orders")
    assert (without_partitions.partitions, without_partitions.datasets) == (0, ("fct_orders",))


def test_all_that_reads_of_a_pipeline_waits_for_it_and_no_partition_is_touched(filled: Platform):
    stand(filled, *DEPENDENTS)
    weather = waiting(filled, "weather")
    assert weather.datasets == ("fct_conditions", "readings", "stg_readings")
    assert (weather.partitions, weather.rows, weather.touches, weather.consumers) == (0, 0, {}, ())
    shop = waiting(filled, "shop")
    assert (len(shop.datasets), shop.domains, shop.metrics) == (10, ("shop", "weather"), ("turnover",))
    assert len(waiting(filled, "*").datasets) == 12
    assert waiting(filled, "shop", dataset="dim_sizes").datasets == (
        "agg_orders", "dim_sizes", "fct_conditions", "fct_orders", "price_list", "total_orders",
    )  # fmt: skip
    with pytest.raises(psycopg.Error, match="no dataset", check=lambda error: error.sqlstate == "IL002"):
        waiting(filled, "shop", dataset="dim_size")


def test_a_retired_dataset_waits_for_nothing(filled: Platform):
    filled.call(Role.OPERATOR, "retire_dataset", "price_list", "replaced", "ann@host")
    assert "price_list" not in waiting(filled, "*").datasets + waiting(filled, "shop").datasets
    assert "price_list" not in radius(filled, "orders", DAY).datasets


def test_who_stands_on_datasets_is_replaced_as_a_whole(filled: Platform):
    stand(filled, *DEPENDENTS)
    stand(filled, {**DEPENDENTS[1], "owner": "Finance", "datasets": ["total_orders"]})
    assert filled.rows(Role.OPERATOR, "select name, owner, cardinality(dataset_ids) from interlock.dependent") == [
        ("board", "Finance", 1)
    ]
    with pytest.raises(psycopg.Error, match="no dataset", check=lambda error: error.sqlstate == "IL002"):
        stand(filled, {**DEPENDENTS[0], "datasets": ["price_lists"]})


def test_only_who_decides_runs_or_audits_is_told_the_radius(platform: Platform):
    for role in (Role.OPERATOR, Role.AUDITOR, Role.CONTROLLER):
        assert platform.call(role, "blast_radius", None, [])["partitions"] == 0
        assert platform.call(role, "pipeline_radius", ["weather"], None)["partitions"] == 0
    for role, function in ((Role.CONSUMER, "blast_radius"), (Role.CONTROLLER, "register_dependents")):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            platform.call(role, function, *([None, []] if role is Role.CONSUMER else [Jsonb([])]))


def test_the_consumers_and_metrics_of_the_project_are_registered_with_its_lineage(database: Any):
    catalog = load_contracts()
    written = "select kind, name, owner, contact, dataset_ids, xmin::text from interlock.dependent order by 1, 2"
    register(catalog, "tester")
    with database.connect(Role.OPERATOR) as connection:
        known = connection.execute(written).fetchall()
        row = connection.execute(
            "select interlock.blast_radius(interlock.dataset_id_of('flights'), '{2013-01-05}')"
        ).fetchone()
    found = Radius.model_validate(row[0])
    assert found.consumers == ("departure_risk_service", "on_time_performance_board")
    assert {"scheduled_flights", "on_time_arrival_rate"} <= set(found.metrics)
    assert found.criticality == "high"
    assert [item[2:4] for item in known if item[1] == "departure_risk_service"] == [
        ("Airport weather", "airport-weather@example.com")
    ]
    register(catalog, "tester")
    with database.connect(Role.OPERATOR) as connection:
        assert connection.execute(written).fetchall() == known


def test_a_consumer_stands_on_datasets_through_metrics_and_through_models_that_are_none():
    project = deepcopy(manifest())
    board = project.exposures["exposure.interlock.on_time_performance_board"]
    board.owner.email = ["ann@example.com", "ben@example.com"]
    service = project.exposures["exposure.interlock.departure_risk_service"]
    service.depends_on.nodes = ["metric.interlock.on_time_arrival_rate"]
    ungoverned = Catalog({name: it for name, it in load_contracts().items() if name != "agg_carrier_daily"})
    found = {item.name: item for item in Lineage(ungoverned, project).dependents}
    assert found["on_time_performance_board"].datasets == ("dim_carriers", "fct_flights")
    assert found["on_time_performance_board"].contact == "ann@example.com, ben@example.com"
    assert found["departure_risk_service"].datasets == ("fct_flights",)
