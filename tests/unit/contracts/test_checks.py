"""What a contract's words become when they are compiled to checks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, get_args

import pytest

from interlock.contracts.checks import Check, CheckKind, Scope, Severity, clause_digest, compile_checks
from interlock.contracts.clauses import clause_check, expectation_check
from interlock.contracts.implementations import Aggregate
from interlock.contracts.loading import checks_of, load_contracts
from interlock.contracts.physical_types import canonical_type
from interlock.pipeline.registry import definition

if TYPE_CHECKING:
    from conftest import Project


def by_id(project: Project, dataset: str) -> dict[str, Check]:
    contract = load_contracts(project.root / "include" / "contracts")[dataset]
    return {check.id: check for check in checks_of(contract)}


def checked(column: str | None = None, **given: Any) -> Check:
    check = clause_check({"id": "c", **given}, column, "here")
    assert check is not None
    return check


def test_a_feed_is_checked_for_what_its_columns_say(project: Project) -> None:
    checks = by_id(project, "orders")
    assert set(checks) == {
        "order_no.exists", "customer.exists", "amount.exists", "primary_key", "order_no.required",
        "order_no.type", "amount.type",
    }  # fmt: skip
    assert checks["order_no.type"].kind is CheckKind.CASTABLE
    assert checks["order_no.type"].arguments == {"type": "integer"}


def test_a_feed_that_may_hold_copies_warns_of_them_and_another_budget_is_another_promise(project: Project) -> None:
    digests = []
    for rows in (5, 6):
        repeats = {"rows": rows, "share": 0.1}
        delivery = {"mode": "full-partition", "landing": "orders_{partition}.csv", "repeats": repeats}
        project.change_custom("orders", "delivery", delivery)
        checks = by_id(project, "orders")
        assert (checks["repeats"].kind, checks["repeats"].severity) == (CheckKind.REPEATS, Severity.WARNING)
        assert checks["primary_key"].arguments == {"repeats": repeats}
        digests.append(clause_digest(list(checks.values())))
    assert len(set(digests)) == 2


def test_a_reference_may_be_kept_by_a_share_of_the_values(project: Project) -> None:
    told = [{"property": "interlock.share", "value": 0.7}]
    reference = {"to": "stg_shop__customers.customer", "customProperties": told}
    project.change_table("stg_shop__orders", lambda table: table["properties"][2].update(relationships=[reference]))
    check = by_id(project, "stg_shop__orders")["customer.exists_in.stg_shop__customers"]
    assert (check.arguments["share"], check.scope, check.severity) == (0.7, Scope.PARTITION, Severity.CRITICAL)
    assert check.expected == "a share of at least 0.7 of the values is a customer of stg_shop__customers"


def test_a_staged_dataset_is_checked_for_references_and_reconciliation(project: Project) -> None:
    checks = by_id(project, "stg_shop__orders")
    reference = checks["customer.exists_in.stg_shop__customers"]
    assert reference.kind is CheckKind.FOREIGN_KEY
    assert reference.arguments == {"dataset": "stg_shop__customers", "columns": ["customer"]}
    reconciled = checks["quality.rows_as_delivered"]
    assert (reconciled.kind, reconciled.scope) == (CheckKind.RECONCILES, Scope.PARTITION)
    assert reconciled.arguments == {"dataset": "orders", "measure": "row_count"}
    assert checks["amount.enum"].arguments == {"values": [1, 2]}


def test_the_severity_of_a_relationship_can_be_a_warning(project: Project) -> None:
    told = [{"property": "interlock.severity", "value": "warning"}]
    relationship = {"to": "stg_shop__customers.customer", "customProperties": told}
    project.change_table("stg_shop__orders", lambda table: table["properties"][2].update(relationships=[relationship]))
    check = by_id(project, "stg_shop__orders")["customer.exists_in.stg_shop__customers"]
    assert check.severity is Severity.WARNING


@pytest.mark.parametrize(
    ("operator", "value", "low", "high"),
    [
        ("mustBe", 3, 3, 3),
        ("mustBeGreaterThan", 3, 4, None),
        ("mustBeGreaterThan", 3.5, 4, None),
        ("mustBeGreaterOrEqualTo", 3, 3, None),
        ("mustBeLessThan", 3, None, 2),
        ("mustBeLessThan", 3.5, None, 3),
        ("mustBeLessOrEqualTo", 3, None, 3),
        ("mustBeBetween", [3, 9], 3, 9),
    ],
)
def test_an_operator_on_a_count_is_an_exact_interval(operator: str, value: Any, low: Any, high: Any) -> None:
    check = checked(metric="rowCount", **{operator: value})
    assert check.arguments == {"minimum": low, "maximum": high}


def test_an_open_end_of_a_number_that_need_not_be_whole_excludes_that_number_alone() -> None:
    check = checked(type="sql", query="select avg(x) from ${table}", mustBeGreaterThan=0)
    assert check.arguments["minimum"] == math.nextafter(0, 1)
    assert check.expected == "the query returns more than 0"


def test_no_nulls_is_a_check_of_rows_and_a_share_of_them_one_of_the_partition() -> None:
    none, share = (
        checked("c", metric="nullValues", mustBe=0),
        checked("c", metric="nullValues", unit="percent", mustBeLessOrEqualTo=5),
    )
    assert (none.kind, none.scope) == (CheckKind.NOT_NULL, Scope.ROW)
    assert (share.kind, share.scope) == (CheckKind.MEASURE_BETWEEN, Scope.PARTITION)
    assert share.arguments == {"measure": {"share_null": "c"}, "minimum": None, "maximum": 0.05}


def test_an_expectation_about_a_share_or_about_several_rows_is_judged_partition_by_partition() -> None:
    def scope(kind: str, **kwargs: Any) -> Scope:
        return expectation_check({"type": kind, "kwargs": {"column": "c", **kwargs}}, 0).scope

    assert scope("expect_column_values_to_be_in_set", value_set=[1]) is Scope.ROW
    assert scope("expect_column_values_to_be_in_set", value_set=[1], mostly=0.9) is Scope.PARTITION
    assert scope("expect_column_values_to_be_unique") is Scope.PARTITION
    assert scope("expect_column_mean_to_be_between", min_value=1) is Scope.PARTITION


def test_a_criticality_is_content_and_no_clause(project: Project) -> None:
    def known() -> dict[str, Any]:
        return definition(load_contracts(project.root / "include" / "contracts")["stg_shop__orders"])

    before = known()
    project.change_custom("stg_shop__orders", "criticality", "highest")
    after = known()
    assert (before["criticality"], after["criticality"]) == ("normal", "highest")
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"criticality", "content_digest"}


def test_wording_and_warnings_do_not_change_the_digest_of_what_blocks() -> None:
    one = checked(metric="rowCount", mustBeGreaterThan=0)
    words = one.model_copy(update={"description": "Other words.", "expected": "rows", "source": "elsewhere"})
    warning = one.model_copy(update={"id": "other", "severity": Severity.WARNING})
    other = one.model_copy(update={"arguments": {"minimum": 2, "maximum": None}})
    assert clause_digest([one]) == clause_digest([words]) == clause_digest([warning, one])
    assert clause_digest([one]) != clause_digest([other])
    assert clause_digest([one, other]) == clause_digest([other, one])


def test_the_checks_of_a_contract_keep_their_order(project: Project) -> None:
    contract = load_contracts(project.root / "include" / "contracts")["stg_shop__orders"]
    assert compile_checks(contract, []) == compile_checks(contract, [])


def test_the_gate_knows_every_measure_that_a_contract_may_name() -> None:
    from interlock.quality import measures

    assert set(get_args(Aggregate)) == set(measures._AGGREGATES)


@pytest.mark.parametrize(
    ("spelt", "canonical"),
    [
        ("timestamptz", "timestamp with time zone"),
        ("TIMESTAMP", "timestamp without time zone"),
        ("timestamp(3) with time zone", "timestamp with time zone(3)"),
        ("varchar( 3 )", "character varying(3)"),
        ("numeric(10, 2)", "numeric(10,2)"),
        ("decimal", "numeric"),
        ("int4", "integer"),
        ("float8", "double precision"),
        ("text[]", "text[]"),
        ("string", None),
        ("int(4)", None),
        ("", None),
    ],
)
def test_a_type_has_one_canonical_spelling(spelt: str, canonical: str | None) -> None:
    assert canonical_type(spelt) == canonical
