"""What one contract must get right on its own: each test breaks a good one in one way."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from interlock.contracts.lint import lint

if TYPE_CHECKING:
    from conftest import Project


def clause(**given: Any) -> dict[str, Any]:
    return {"id": "a_clause", **given}


def own(**implementation: Any) -> dict[str, Any]:
    return clause(type="custom", engine="interlock", implementation=implementation)


def test_a_good_project_has_no_problem(project: Project) -> None:
    report = lint(project.root)
    assert report.is_clean
    assert (report.contracts, report.recorded) == (4, ())
    assert report.checks > 10


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (clause(type="text"), "it is prose"),
        (clause(type="library", metric="rowCount", mustNotBe=0), "mustNotBe describes no interval"),
        (clause(type="library", metric="rowCount", mustBe="many"), "'many' is no number"),
        (clause(metric="nullValues", mustBe=0), "is about one property"),
        (clause(metric="duplicateValues", mustBeLessThan=5), "other than none is not checked"),
        (clause(metric="duplicateValues", mustBe=0), "does not say which properties"),
        (clause(type="sql", query="select 1", mustBe=1), "does not read ${table}"),
        (clause(type="sql", query="select ${when} from ${table}", mustBe=1), "nobody fills in ${when}"),
        (clause(type="custom", engine="soda", implementation={"type": "x"}), "nobody runs the engine 'soda'"),
        (clause(type="custom", engine="interlock", implementation="row"), "its implementation is text"),
        (own(check="baseline", measure="row_count", ratio=[0.5, 2]), "absolute: Field required"),
        (own(check="baseline", measure="row_count", ratio=[0.5, 2], absolute=[1, 2], seasn="weekday"), "seasn"),
        (own(check="baseline", measure="row_count", ratio=[0.5, 2], absolute=[None, None]), "bounds nothing"),
        (own(check="measure", measure={"mean": "amount"}), "give `minimum`, `maximum` or both"),
        (own(check="measure", measure={"average": "amount"}, minimum=1), "mean"),
        (own(check="reconcile_with", dataset="orders"), "check"),
        (
            clause(type="custom", engine="great-expectations", implementation={"kwargs": {}}),
            "no type of an expectation",
        ),
    ],
)
def test_a_clause_that_no_check_stands_for_is_a_problem(project: Project, broken: dict[str, Any], why: str) -> None:
    project.change_table("stg_shop__customers", lambda table: table.update(quality=[broken]))
    problem = project.problem()
    assert problem.file == Path("include/contracts/shop/stg_shop__customers.yaml")
    assert problem.where == "schema[0].quality[0]"
    assert problem.found.startswith("nothing checks this clause: ")
    assert why in problem.found
    assert "a clause that a gate can run" in problem.fix


def test_prose_that_calls_itself_informational_is_no_promise(project: Project) -> None:
    told = [{"property": "interlock.informational", "value": True}]
    prose = clause(type="text", description="Be kind to it.", customProperties=told)
    project.change_table("stg_shop__customers", lambda table: table.update(quality=[prose]))
    assert project.problems() == []


def test_only_prose_may_be_informational(project: Project) -> None:
    told = [{"property": "interlock.informational", "value": True}]
    counted = clause(metric="rowCount", mustBeGreaterThan=0, customProperties=told)
    project.change_table("stg_shop__customers", lambda table: table.update(quality=[counted]))
    assert project.problem().found == "a clause that is checked calls itself informational"


@pytest.mark.parametrize("option", ["exclusiveMinimum", "multipleOf"])
def test_an_option_of_a_type_that_nothing_checks_is_a_problem(project: Project, option: str) -> None:
    project.change_table("orders", lambda table: table["properties"][2].update(logicalTypeOptions={option: 3}))
    problem = project.problem()
    assert problem.where == f"schema[0].properties[2].logicalTypeOptions.{option}"
    assert problem.found == f"nothing checks {option} of amount"


def test_a_service_level_that_nothing_checks_is_a_problem(project: Project) -> None:
    project.change("orders", lambda document: document.update(slaProperties=[{"property": "retention", "value": 3}]))
    problem = project.problem()
    assert (problem.where, problem.found) == ("slaProperties[0]", "nothing checks 'retention'")
    assert problem.fix.startswith("Only latency and freshness are checked")


@pytest.mark.parametrize(("value", "unit"), [(2, "y"), (-1, "d"), ("2", "d"), (1e300, "d"), (2, None), (True, "d")])
def test_a_latency_that_is_no_span_of_time_is_a_problem(project: Project, value: Any, unit: str | None) -> None:
    promised = {"property": "latency", "value": value} | ({"unit": unit} if unit else {})
    project.change("orders", lambda document: document.update(slaProperties=[promised]))
    problem = project.problem()
    assert problem.where == "slaProperties[0]"
    assert "is no span of time" in problem.found


def test_a_latency_about_an_unknown_column_is_a_problem(project: Project) -> None:
    promised = {"property": "latency", "value": 2, "unit": "d", "element": "orders.ordered"}
    project.change("orders", lambda document: document.update(slaProperties=[promised]))
    assert project.problem().found == "orders has no column ordered"


def sets_aside(**kept: Any) -> dict[str, Any]:
    """A clause of which the rows that do not meet it are set aside."""
    return own(check="row", expression="amount > 0", **kept) | {"severity": "quarantine"}


def test_rows_may_be_set_aside_within_a_budget(project: Project) -> None:
    project.change_table("orders", lambda table: table.update(quality=[sets_aside()]))
    assert project.problem().found == "rows may be set aside, and nothing says how many"
    project.change_custom("orders", "quarantine", {"rows": 20, "share": 0.02})
    assert project.problems() == []


def test_a_column_may_set_rows_aside_for_what_it_promises(project: Project) -> None:
    told = [{"property": "interlock.severity", "value": "quarantine"}]
    project.change_custom("orders", "quarantine", {"rows": 20, "share": 0.02})
    assert project.problem().found == "a budget for rows that no check sets aside"
    project.change_table("orders", lambda table: table["properties"][2].update(customProperties=told))
    assert project.problems() == []


@pytest.mark.parametrize("budget", [{"rows": 0, "share": 0.1}, {"rows": 5}, {"rows": 5, "share": 2}])
def test_a_budget_has_a_number_of_rows_and_a_share(project: Project, budget: dict[str, Any]) -> None:
    project.change_table("orders", lambda table: table.update(quality=[sets_aside()]))
    project.change_custom("orders", "quarantine", budget)
    assert all("interlock.quarantine" in problem.where for problem in project.problems())
    assert project.problems()


def test_a_check_of_the_whole_cannot_set_rows_aside(project: Project) -> None:
    counted = clause(metric="rowCount", mustBeGreaterThan=0, severity="quarantine")
    project.change_table("orders", lambda table: table.update(quality=[counted, sets_aside() | {"id": "other"}]))
    project.change_custom("orders", "quarantine", {"rows": 20, "share": 0.02})
    assert project.problem().found == "quality.a_clause is not about single rows: nobody could say which to set aside"


def test_only_a_feed_sets_rows_aside(project: Project) -> None:
    project.change_table("stg_shop__orders", lambda table: table["quality"].append(sets_aside()))
    project.change_custom("stg_shop__orders", "quarantine", {"rows": 20, "share": 0.02})
    assert project.problem().found == "quality.a_clause: staged data cannot set rows aside"


def test_copies_of_rows_are_known_by_a_key(project: Project) -> None:
    repeats = {"mode": "full-partition", "landing": "orders_{partition}.csv", "repeats": {"rows": 5, "share": 0.1}}
    project.change_custom("orders", "delivery", repeats)
    project.change_table("orders", lambda table: [item.pop("primaryKey", None) for item in table["properties"]])
    assert "copies of rows may come, and no key tells which rows are copies" in [
        problem.found for problem in project.problems()
    ]


@pytest.mark.parametrize("share", [0, 1, 1.5, "most"])
def test_a_reference_that_most_values_keep_says_how_many(project: Project, share: Any) -> None:
    told = [{"property": "interlock.share", "value": share}]
    reference = {"to": "stg_shop__customers.customer", "customProperties": told}
    project.change_table("stg_shop__orders", lambda table: table["properties"][2].update(relationships=[reference]))
    assert project.problem().found == f"customer.exists_in.stg_shop__customers: {share!r} is no share"


def test_a_misspelt_property_of_a_contract_names_what_was_meant(project: Project) -> None:
    project.change_custom("orders", "onGateFailur", "withhold")
    problem = project.problem()
    assert problem.where == "customProperties[interlock.onGateFailur]"
    assert problem.fix.startswith("Did you mean onGateFailure?")


@pytest.mark.parametrize("name", ["Interlock.layer", "interlock_layer", "interlock:lease"])
def test_a_property_with_a_misspelt_prefix_is_a_problem(project: Project, name: str) -> None:
    project.change("orders", lambda document: document["customProperties"].append({"property": name, "value": 1}))
    assert project.problem().found == f"nothing reads {name!r} here"


def test_a_property_where_nothing_reads_it_is_a_problem(project: Project) -> None:
    lost = [{"property": "interlock.window", "value": {"partitions": 7}}]
    project.change_table("orders", lambda table: table["properties"][1].update(customProperties=lost))
    problem = project.problem()
    assert problem.where == "schema[0].properties[1].customProperties[0]"
    assert problem.found == "nothing reads 'interlock.window' here"


def test_an_unknown_severity_is_a_problem_and_blocks_meanwhile(project: Project) -> None:
    warned = clause(metric="rowCount", mustBeGreaterThan=0, severity="warn")
    project.change_table("stg_shop__customers", lambda table: table.update(quality=[warned]))
    problem = project.problem()
    assert (problem.where, problem.found) == ("schema[0].quality[0].severity", "nobody knows the severity 'warn'")
    assert "Did you mean warning?" in problem.fix


def test_two_clauses_of_one_name_are_a_problem(project: Project) -> None:
    twice = [clause(metric="rowCount", mustBeGreaterThan=n) for n in (0, 1)]
    project.change_table("stg_shop__customers", lambda table: table.update(quality=twice))
    problem = project.problem()
    assert problem.where == "schema[0].quality[0], schema[0].quality[1]"
    assert problem.found == "2 checks are called quality.a_clause"


def test_a_clause_without_a_name_is_a_problem(project: Project) -> None:
    nameless = {"metric": "rowCount", "mustBeGreaterThan": 0}
    project.change_table("stg_shop__customers", lambda table: table.update(quality=[nameless]))
    assert project.problem().fix == "Give it an id."


def test_a_pattern_that_cannot_be_compiled_is_a_problem(project: Project) -> None:
    options = {"pattern": "[A-Z"}
    project.change_table("orders", lambda table: table["properties"][1].update(logicalTypeOptions=options))
    assert "'[A-Z' is no regular expression" in project.problem().found


@pytest.mark.parametrize("name", ["varchr(3)", "numeric(1,2,3)", "int(4)", "text; drop table x"])
def test_a_type_that_postgresql_does_not_know_is_a_problem(project: Project, name: str) -> None:
    project.change_table("orders", lambda table: table["properties"][2].update(physicalType=name))
    problem = project.problem()
    assert problem.where == "schema[0].properties[2].physicalType"
    assert problem.found == f"amount: PostgreSQL has no type {name!r}"


def test_a_staged_contract_without_a_primary_key_is_a_problem(project: Project) -> None:
    project.change_table("stg_shop__customers", lambda table: table["properties"][0].update(primaryKey=False))
    assert project.problem().found == "stg_shop__customers has no primary key"


def test_a_feed_may_have_no_key(project: Project) -> None:
    project.change_table("customers", lambda table: table["properties"][0].update(primaryKey=False))
    assert project.problems() == []


def test_key_positions_with_a_gap_are_a_problem(project: Project) -> None:
    project.change_table("stg_shop__orders", lambda table: table["properties"][1].update(primaryKeyPosition=3))
    assert project.problem().found == "the positions of the key's columns are 1, 3"


def test_a_column_that_stands_twice_is_a_problem(project: Project) -> None:
    project.change_table("orders", lambda table: table["properties"].append(project.column("customer")))
    assert "2 columns are called customer" in {problem.found for problem in project.problems()}


@pytest.mark.parametrize("name", ["_load_id", "amount__typed", "two words", "x" * 60])
def test_a_name_that_no_column_can_have_is_a_problem(project: Project, name: str) -> None:
    project.change_table("orders", lambda table: table["properties"][2].update(name=name))
    assert project.problem().found == f"{name!r} cannot be the name of a column"


def test_a_dataset_name_that_the_database_refuses_is_a_problem(project: Project) -> None:
    name = "a" * 41
    project.file("customers").rename(project.file(name))
    project.change_table(name, lambda table: table.update(name=name))
    assert f"{name!r} is no name" in {problem.found for problem in project.problems()}


def test_a_daily_feed_whose_file_names_carry_no_day_is_a_problem(project: Project) -> None:
    project.change_custom("orders", "delivery", {"mode": "full-partition", "landing": "orders_{delivered}.csv"})
    problem = project.problem()
    assert problem.where == "customProperties[interlock.delivery].landing"
    assert problem.fix == "Write it like orders_{partition}.csv."


def test_a_delivery_of_what_is_not_delivered_is_a_problem(project: Project) -> None:
    delivery = {"mode": "increment", "landing": "x_{delivered}.csv"}
    project.change_custom("stg_shop__customers", "delivery", delivery)
    assert "staged data is not delivered" in {problem.found for problem in project.problems()}


def test_a_partition_column_that_may_be_null_is_a_problem(project: Project) -> None:
    def loosen(table: dict[str, Any]) -> None:
        table["properties"][0] = project.column("order_date", "date", "date")
        table["properties"][1].update(primaryKeyPosition=1)

    project.change_table("stg_shop__orders", loosen)
    assert project.problem().found == "order_date tells a row's day and may be null"


def test_a_partition_column_that_is_no_date_is_a_problem(project: Project) -> None:
    project.change_table("stg_shop__orders", lambda table: table["properties"][0].update(physicalType="timestamptz"))
    assert "order_date tells a row's day and is timestamptz" in {problem.found for problem in project.problems()}


def test_a_partition_column_that_does_not_exist_is_a_problem(project: Project) -> None:
    project.change_custom("stg_shop__orders", "partition", {"grain": "day", "column": "ordered"})
    assert "'ordered' is no column" in {problem.found for problem in project.problems()}


@pytest.mark.parametrize("lease", ["7 days", "P0D", "P", "-P1D", 7, "P999999W"])
def test_a_lease_that_is_no_duration_is_a_problem(project: Project, lease: Any) -> None:
    project.change_custom("orders", "lease", lease)
    assert project.problem().found == f"{lease!r} is no duration"


@pytest.mark.parametrize("word", ["tremendous", "HIGH", "", 3, ["high"]])
def test_a_criticality_that_is_no_word_of_the_list_is_a_problem(project: Project, word: Any) -> None:
    project.change_custom("orders", "criticality", word)
    problem = project.problem()
    assert problem.where == "customProperties[interlock.criticality]"
    assert "'low', 'normal', 'high' or 'highest'" in problem.found
    assert repr(word) in problem.found


def test_a_feed_that_does_not_say_how_it_is_delivered_is_a_problem(project: Project) -> None:
    project.write(project.file("orders"), project.contract("orders", "raw", [project.key("order_no", 1)]))
    assert ("customProperties[interlock.delivery]", "missing") in {(p.where, p.found) for p in project.problems()}


def test_an_unknown_word_in_a_delivery_names_its_place(project: Project) -> None:
    delivery = {"mode": "sometimes", "landing": "orders_{partition}.csv", "marc": "required"}
    project.change_custom("orders", "delivery", delivery)
    places = {problem.where for problem in project.problems()}
    assert places == {"customProperties[interlock.delivery].mode", "customProperties[interlock.delivery].marc"}


def test_a_contract_without_an_owner_is_a_problem(project: Project) -> None:
    project.change("orders", lambda document: document.pop("team"))
    assert project.problem().where == "team.name"


def test_an_expectation_that_great_expectations_does_not_know_is_a_problem(project: Project) -> None:
    item = {"type": "expect_column_values_to_be_in_sett", "kwargs": {"column": "customer", "value_set": ["a"]}}
    project.write(project.root / "expectations" / "shop" / "customers.yaml", {"expectations": [item]})
    problem = project.problem()
    assert problem.file == Path("expectations/shop/customers.yaml")
    assert problem.found == "Great Expectations knows no expect_column_values_to_be_in_sett"
    assert "Did you mean expect_column_values_to_be_in_set?" in problem.fix


def test_an_expectation_about_an_unknown_column_is_a_problem(project: Project) -> None:
    item = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "custoner"}}
    project.write(project.root / "expectations" / "shop" / "customers.yaml", {"expectations": [item]})
    problem = project.problem()
    assert problem.file == Path("expectations/shop/customers.yaml")
    assert problem.found == "customers has no column custoner"


def test_an_expectations_file_of_no_contract_is_a_problem(project: Project) -> None:
    project.write(project.root / "expectations" / "shop" / "costumers.yaml", {"expectations": []})
    assert "nothing runs these expectations" in project.problem().found


def test_an_expectations_file_that_is_broken_is_a_problem(project: Project) -> None:
    project.write(project.root / "expectations" / "shop" / "customers.yaml", {"expectation": []})
    assert Path("expectations/shop/customers.yaml") in {problem.file for problem in project.problems()}
