"""What must agree between contracts, dbt's models, the landing folder and the domains."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from interlock.contracts.lint import lint

if TYPE_CHECKING:
    from conftest import Project

STAGED = Path("include/contracts/shop/stg_shop__orders.yaml")
PROPERTIES = Path("dbt_project/models/staging/shop/_shop.yml")


def test_a_broken_file_is_one_problem_and_the_others_are_still_looked_at(project: Project) -> None:
    project.write(project.file("customers"), "schema: [unclosed")
    project.change_table("stg_shop__orders", lambda table: table["properties"][1].update(physicalType="intgr"))
    files = [problem.file.name for problem in project.problems()]
    assert files.count("customers.yaml") == 1
    assert "stg_shop__orders.yaml" in files


def test_a_broken_contract_is_not_also_reported_as_missing_by_those_that_name_it(project: Project) -> None:
    project.write(project.file("stg_shop__customers"), "- no mapping\n")
    assert [problem.file.name for problem in project.problems()] == ["stg_shop__customers.yaml"]


@pytest.mark.parametrize("place", ["shop/orders.yml", "orders.yaml", "shop/old/orders.yaml"])
def test_a_contract_that_nothing_reads_is_a_problem(project: Project, place: str) -> None:
    project.write(project.root / "include" / "contracts" / place, "{}")
    assert "so nothing reads it" in project.problem().found


def test_a_relationship_to_an_unknown_dataset_is_a_problem(project: Project) -> None:
    project.change_table(
        "stg_shop__orders", lambda table: table["properties"][2].update(relationships=[{"to": "stg_shop__customer.id"}])
    )
    problem = project.problem()
    assert (problem.file, problem.where) == (STAGED, "schema[0].properties[2].relationships[0]")
    assert problem.found == "there is no dataset 'stg_shop__customer'"
    assert problem.fix.startswith("Did you mean stg_shop__customers?")


def test_a_relationship_to_an_unknown_column_is_a_problem(project: Project) -> None:
    project.change_table(
        "stg_shop__orders",
        lambda table: table["properties"][2].update(relationships=[{"to": "stg_shop__customers.custoner"}]),
    )
    assert project.problem().found == "stg_shop__customers has no column custoner"


def test_a_relationship_of_unequal_keys_is_a_problem(project: Project) -> None:
    both = {
        "from": ["stg_shop__orders.customer", "stg_shop__orders.order_no"],
        "to": ["stg_shop__customers.customer"],
    }
    project.change_table("stg_shop__orders", lambda table: table.update(relationships=[both]))
    assert project.problem().found == "2 columns refer to 1"


def reconciled(**implementation: Any) -> list[dict[str, Any]]:
    given = {"check": "reconciles_with", **implementation}
    return [{"id": "same", "type": "custom", "engine": "interlock", "implementation": given}]


def test_a_reconciliation_with_an_unknown_dataset_is_a_problem(project: Project) -> None:
    project.change_table("stg_shop__orders", lambda table: table.update(quality=reconciled(dataset="oders")))
    assert project.problem().found == "there is no dataset 'oders'"


def test_a_reconciliation_of_a_column_that_the_other_side_lacks_is_a_problem(project: Project) -> None:
    clauses = reconciled(dataset="orders", measure={"sum": "amount"}, against={"sum": "price"})
    project.change_table("stg_shop__orders", lambda table: table.update(quality=clauses))
    assert project.problem().found == "orders has no column price"


def test_a_reconciliation_of_days_with_a_dataset_without_days_is_a_problem(project: Project) -> None:
    clauses = reconciled(dataset="customers")
    project.change_table("stg_shop__orders", lambda table: table.update(quality=clauses))
    assert "no part of it corresponds to a day" in project.problem().found


def test_a_reconciliation_may_use_what_the_platform_adds_to_deliveries(project: Project) -> None:
    clauses = reconciled(dataset="customers", measure="row_count", against={"distinct": "_delivered_on"})
    project.change_table("stg_shop__customers", lambda table: table.update(quality=clauses))
    assert project.problems() == []


def test_a_measure_of_an_unknown_column_is_a_problem(project: Project) -> None:
    given = {"check": "measure", "measure": {"mean": "amout"}, "minimum": 0}
    clauses = [{"id": "m", "type": "custom", "engine": "interlock", "implementation": given}]
    project.change_table("stg_shop__orders", lambda table: table.update(quality=clauses))
    problem = project.problem()
    assert problem.found == "stg_shop__orders has no column amout"
    assert problem.fix.startswith("Did you mean amount?")


@pytest.mark.parametrize(
    ("item", "found"),
    [
        ({"dataset": "oders", "mapping": "all"}, "there is no dataset 'oders'"),
        ({"dataset": "customers", "mapping": "same"}, "mapping same, but stg_shop__orders has the grain day and"),
        ({"dataset": "orders", "mapping": "window"}, "mapping window with a lookback of 0"),
        ({"dataset": "orders", "mapping": "same", "lookback": 3}, "mapping same with a lookback of 3"),
        ({"dataset": "stg_shop__orders", "mapping": "same"}, "a dataset is no input of itself"),
    ],
)
def test_an_input_that_cannot_be_read_so_is_a_problem(project: Project, item: dict[str, Any], found: str) -> None:
    project.change_custom("stg_shop__orders", "inputs", [item])
    problem = project.problem()
    assert problem.where.startswith("customProperties[interlock.inputs][0]")
    assert problem.found.startswith(found)


@pytest.mark.parametrize("landing", ["orders_{partition}.csv", "orders_{delivered}.csv", "{delivered}.csv"])
def test_file_names_that_could_be_two_feeds_are_a_problem(project: Project, landing: str) -> None:
    if landing == "{delivered}.csv":
        project.change_custom("orders", "delivery", {"mode": "full-partition", "landing": "{partition}.csv"})
    grain = "day" if "{partition}" in landing else "all"
    project.change_custom("customers", "partition", {"grain": grain})
    project.change_custom("customers", "delivery", {"mode": "full-partition", "landing": landing})
    problem = project.problem()
    assert problem.where == "customProperties[interlock.delivery].landing"
    assert "could be a delivery of" in problem.found


def test_a_model_that_lacks_a_column_of_its_contract_is_a_problem(project: Project) -> None:
    project.change_properties(lambda properties: properties["models"][0]["columns"].pop())
    problem = project.problem()
    assert (problem.file, problem.where) == (PROPERTIES, "models[0].columns")
    assert problem.found == "stg_shop__orders lacks the column amount of its contract"
    assert problem.fix == "Add it with data_type: double precision, or take it out of stg_shop__orders.yaml."


def test_a_model_with_a_column_that_its_contract_lacks_is_a_problem(project: Project) -> None:
    extra = {"name": "discount", "data_type": "text"}
    project.change_properties(lambda properties: properties["models"][0]["columns"].append(extra))
    assert project.problem().found == "stg_shop__orders has a column discount that its contract does not have"


def test_a_model_whose_type_differs_from_its_contract_is_a_problem(project: Project) -> None:
    project.change_properties(lambda properties: properties["models"][0]["columns"][1].update(data_type="bigint"))
    assert project.problem().found == "stg_shop__orders.order_no is bigint here and integer in its contract"


def test_a_model_column_without_a_type_is_a_problem(project: Project) -> None:
    project.change_properties(lambda properties: properties["models"][0]["columns"][1].pop("data_type"))
    assert project.problem().found == "stg_shop__orders.order_no has no data_type"


def test_the_order_of_columns_and_the_spelling_of_types_do_not_matter(project: Project) -> None:
    project.change_properties(lambda properties: properties["models"][0]["columns"].reverse())
    assert project.problems() == []


def test_a_contract_without_a_model_is_a_problem(project: Project) -> None:
    (project.properties.parent / "stg_shop__orders.sql").unlink()
    problem = project.problem()
    assert (problem.file, problem.found) == (STAGED, "there is no model stg_shop__orders")
    assert "dbt_project/models/staging/shop/stg_shop__orders.sql" in problem.fix


def test_a_model_that_no_property_file_describes_is_a_problem(project: Project) -> None:
    project.change_properties(lambda properties: properties["models"].pop(0))
    assert project.problem().found == "no property file describes stg_shop__orders"


@pytest.mark.parametrize("folder", ["staging", "marts"])
def test_a_model_without_a_contract_is_a_problem(project: Project, folder: str) -> None:
    file = project.root / "dbt_project" / "models" / folder / "shop" / "fct_orders.sql"
    project.write(file, "select 1 as one")
    problem = project.problem()
    assert (problem.file, problem.found) == (file.relative_to(project.root), "the model fct_orders has no contract")


def test_an_ephemeral_step_needs_no_contract(project: Project) -> None:
    file = project.root / "dbt_project" / "models" / "marts" / "shop" / "int_orders.sql"
    project.write(file, "{{ config(materialized='ephemeral') }} select 1 as one")
    assert project.problems() == []


def test_a_feed_that_is_no_source_is_a_problem(project: Project) -> None:
    project.change_properties(lambda properties: properties["sources"][0]["tables"].pop())
    assert project.problem().found == "dbt has no source customers"


def test_a_source_that_reads_other_rows_than_the_accepted_ones_is_a_problem(project: Project) -> None:
    project.change_properties(lambda properties: properties["sources"][0]["tables"][0].update(identifier="orders"))
    problem = project.problem()
    assert problem.where == "sources[0].tables[0].identifier"
    assert problem.fix == "Write identifier: orders_accepted; the view of accepted rows."


def test_a_source_without_a_contract_is_a_problem(project: Project) -> None:
    lost = {"name": "returns", "identifier": "returns_accepted"}
    project.change_properties(lambda properties: properties["sources"][0]["tables"].append(lost))
    assert project.problem().found == "the source returns has no contract"


def test_a_model_that_is_described_twice_is_a_problem(project: Project) -> None:
    again = {"version": 2, "models": [{"name": "stg_shop__orders", "columns": []}]}
    project.write(project.properties.parent / "again.yml", again)
    assert "is described in" in project.problems()[0].found


def test_a_property_file_that_is_no_yaml_is_a_problem(project: Project) -> None:
    project.write(project.properties.parent / "broken.yml", "models: [")
    assert "is no YAML that can be read" in project.problem().found


def test_a_contract_of_a_domain_without_a_pipeline_is_a_problem(project: Project) -> None:
    project.write(project.root / "include" / "domains.yaml", {"store": {}})
    found = {problem.found for problem in project.problems()}
    assert found == {"shop is no domain of include/domains.yaml, so no pipeline runs it"}


def test_two_contracts_of_one_dataset_are_a_problem(project: Project) -> None:
    project.write(project.root / "include" / "domains.yaml", {"shop": {}, "store": {}})
    other = project.contract("customers", "raw", [project.key("customer", 1)])
    other["domain"] = "store"
    project.write(project.root / "include" / "contracts" / "store" / "customers.yaml", other)
    assert any("is also the name in" in problem.found for problem in lint(project.root).problems) or any(
        problem.file.parts[-2] == "store" for problem in lint(project.root).problems
    )


def keeps_one(key: list[str], *keep: str, dataset: str = "orders", by: Any = None) -> dict[str, Any]:
    """A clause that accounts for rows of which one of each key is kept."""
    rule = {"key": key, "keep": [{"column": column} for column in keep]}
    given = {"check": "accounts_for", "dataset": dataset, "by": by or {"order_no": "order_no"}, "deduplicated": rule}
    return {"id": "one_of_each", "type": "custom", "engine": "interlock", "implementation": given}


COPIES = {"mode": "full-partition", "landing": "orders_{partition}.csv", "repeats": {"rows": 5, "share": 0.1}}


def test_copies_that_nobody_chooses_from_are_a_problem(project: Project) -> None:
    project.change_custom("orders", "delivery", COPIES)
    assert project.problem().found == "orders may hold copies of rows, and nothing that reads it keeps one of each"
    project.change_table("stg_shop__orders", lambda table: table["quality"].append(keeps_one(["order_no"])))
    assert project.problems() == []


def test_different_rows_of_a_delivery_cannot_be_merged_by_a_part_of_their_key(project: Project) -> None:
    project.change_table("stg_shop__orders", lambda table: table["quality"].append(keeps_one(["customer"])))
    assert project.problem().found == (
        "two rows of orders that differ in order_no may share the key, and one would be lost"
    )


@pytest.mark.parametrize(
    ("clause", "found"),
    [
        (keeps_one(["order_no"], "revision"), "orders has no column revision"),
        (
            keeps_one(["customer"], dataset="stg_shop__customers", by={"customer": "customer"}),
            "nothing says which row of stg_shop__customers is kept of those with one key",
        ),
    ],
)
def test_what_decides_between_rows_is_named_and_exists(project: Project, clause: dict[str, Any], found: str) -> None:
    project.change_custom("stg_shop__orders", "partition", {"grain": "day", "column": "order_date"})
    project.change_table("stg_shop__orders", lambda table: table["quality"].append(clause))
    assert found in [problem.found for problem in project.problems()]
