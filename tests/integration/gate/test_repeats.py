"""Copies of a row are taken out before anything is judged; two different rows of one key never pass for one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from interlock.contracts.checks import CheckKind, Severity
from interlock.contracts.model import Budget, Delivery, Layer
from interlock.quality import gate

if TYPE_CHECKING:
    from conftest import Bench

DAY, NEXT = "2013-01-05", "2013-01-06"
KEY = ("year", "month", "day", "carrier", "flight", "origin")
BUDGET = Budget(rows=20, share=0.02)
TWICE = "insert into {delivery} select * from {delivery} where carrier = 'HA'"


@pytest.fixture
def judged(bench: Bench) -> Any:
    """Loads two days, the first of them after changes, and judges them together."""

    def judge(*changes: str, budget: Budget | None = BUDGET, **more: Any) -> tuple[Any, Any, dict[str, Any]]:
        delivery = Delivery(mode="full-partition", landing="flights_{partition}.csv", null=("NA", ""), repeats=budget)
        flights = bench.contract("flights", Layer.RAW, delivery=delivery, **more)
        repeats = {"repeats": budget.model_dump()} if budget else {}
        checks = [
            bench.check(CheckKind.UNIQUE, *KEY, clause="primary_key", **repeats),
            bench.check(CheckKind.ROW_COUNT, clause="rows", minimum=1),
            bench.check(CheckKind.MATCHES, "carrier", clause="carrier", pattern="^[0-9A-Z]{2}$"),
        ]
        if budget:
            checks.append(bench.check(CheckKind.REPEATS, *KEY, clause="repeats", critical=False))
        if "quarantine" in more:
            checks[2] = checks[2].model_copy(update={"severity": Severity.QUARANTINE})
        bench.register(flights, checks)
        bench.admit([DAY, NEXT])
        loads = {DAY: bench.load(flights, DAY, *changes), NEXT: bench.load(flights, NEXT)}
        found = gate.judge_versions(bench.run_id, bench.token, flights, checks, loads)
        return found[0], found[1], bench.evidence(found[0])

    return judge


def test_identical_copies_pass_with_a_warning_and_nothing_else_sees_them(bench: Bench, judged: Any):
    day, following, evidence = judged(TWICE)
    assert day.passed
    assert following.warnings == ()
    rows = len(bench.deliveries[DAY])
    assert day.warnings == (("repeats", f"1 of {rows + 1} rows are copies of other rows; the first of each is taken"),)
    assert evidence["rows"]["observed"] == rows


def test_absent_in_two_spellings_is_the_same(judged: Any):
    day, _, evidence = judged(
        "update {delivery} set tailnum = '' where carrier = 'HA'", TWICE,
        "update {delivery} set tailnum = 'NA' where ctid = (select max(ctid) from {delivery})",
    )  # fmt: skip
    assert day.passed
    assert evidence["repeats"]["unexpected_count"] == 1


@pytest.mark.parametrize("column", ["dest", "tailnum", "dep_delay"])
def test_two_different_rows_of_one_key_block_though_copies_may_come(judged: Any, column: str):
    day, following, evidence = judged(
        TWICE, f"update {{delivery}} set {column} = '1' where ctid = (select max(ctid) from {{delivery}})"
    )
    assert [clause for clause, _ in day.failures] == ["primary_key"]
    assert evidence["primary_key"]["unexpected_count"] == 2
    assert following.passed


def test_of_a_row_with_copies_and_a_rival_the_copies_do_not_hide_the_rival(judged: Any):
    day, _, _ = judged(
        TWICE, "update {delivery} set dest = 'LAX' where ctid = (select max(ctid) from {delivery})", TWICE
    )
    assert [clause for clause, _ in day.failures] == ["primary_key"]


def test_more_copies_than_the_contract_absorbs_are_a_broken_export(bench: Bench, judged: Any):
    day, following, evidence = judged("insert into {delivery} select * from {delivery} where carrier = 'UA'")
    assert [clause for clause, _ in day.failures] == ["primary_key"]
    assert "of identical copies the contract absorbs 20 rows and 2.00%" in day.failures[0][1]
    assert evidence["rows"]["observed"] > len(bench.deliveries[DAY])
    assert following.passed


def test_a_feed_that_says_nothing_of_copies_takes_none(judged: Any):
    day, _, _ = judged(TWICE, budget=None)
    assert [clause for clause, _ in day.failures] == ["primary_key"]


def test_a_bad_row_is_set_aside_with_all_its_copies(bench: Bench, judged: Any):
    day, _, _ = judged("update {delivery} set carrier = 'ha' where carrier = 'HA'",
        "insert into {delivery} select * from {delivery} where carrier = 'ha'", quarantine=BUDGET)  # fmt: skip
    assert day.passed
    with bench.database.connect() as connection:
        found = connection.execute("select count(*) from interlock.quarantined_row").fetchone()
    assert found == (2,)
