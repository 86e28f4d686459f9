"""What a gate could not evaluate has failed, and one failure hides no other."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from interlock.contracts.checks import CheckKind
from interlock.db.connection import Role
from interlock.errors import CouldNotAsk, PermanentFailure
from interlock.quality import gate, suites
from interlock.quality.neighbours import Neighbours

if TYPE_CHECKING:
    from conftest import Bench

DAY = "2013-01-05"


def test_a_check_that_raises_has_failed_and_hides_no_other(bench: Bench) -> None:
    checks = [
        bench.check(CheckKind.NOT_NULL, "carrier"),
        bench.check(CheckKind.ROW_EXPRESSION, clause="divides", expression="1 / (distance_miles - distance_miles) > 0"),
        bench.check(CheckKind.ROW_EXPRESSION, clause="no such column", expression="altitude > 0"),
        bench.check(CheckKind.EXPECTATION, clause="no such expectation", type="expect_the_unexpected", kwargs={}),
        bench.check(
            CheckKind.EXPECTATION, clause="bad arguments", type="expect_column_values_to_be_in_set", kwargs={"colum": 1}
        ),
        bench.check(CheckKind.BETWEEN, "distance_miles", minimum=0, maximum=100),
        bench.check(
            CheckKind.MEASURE_BETWEEN, clause="no such measure", measure={"mean": "altitude"}, minimum=0, maximum=1
        ),
        bench.check(
            CheckKind.SQL_MEASURE, clause="no such function", query="select altitude() from ${table}", minimum=0
        ),
        bench.check(
            CheckKind.SQL_MEASURE, clause="no number", query="select null from ${table} limit 1", minimum=0, maximum=1
        ),
        bench.check(CheckKind.FOREIGN_KEY, "origin", dataset="no_such_dataset", columns=["code"]),
        bench.check(CheckKind.RECONCILES, clause="with nothing", dataset="no_such_dataset"),
        bench.check(CheckKind.ROW_COUNT, clause="rows", minimum=1),
    ]
    (judgement,) = bench.judge(bench.contract(), checks, [DAY])
    evidence = bench.evidence(judgement)
    assert judgement.outcome == "failed"
    assert set(evidence) == {check.id for check in checks}
    assert {clause for clause, found in evidence.items() if found["success"]} == {"carrier.not_null", "rows"}
    assert "division by zero" in evidence["divides"]["message"]
    assert 'column "altitude" does not exist' in evidence["no such column"]["message"]
    assert evidence["distance_miles.between"]["unexpected_count"] > 0


def test_only_the_days_whose_rows_make_a_check_raise_have_failed(bench: Bench) -> None:
    divides = bench.check(CheckKind.ROW_EXPRESSION, clause="divides", expression="1000 / distance_miles < 1000")
    partitions = bench.days(DAY, 5)
    judged = bench.judge(
        bench.contract(),
        [divides],
        partitions,
        "update {table} set distance_miles = 0 where flight_date = '2013-01-07'",
    )
    assert [judgement.passed for judgement in judged] == [True, True, False, True, True]
    assert "division by zero" in judged[2].failures[0][1]


def test_a_check_that_runs_out_of_time_has_failed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(suites.SESSION, "statement_timeout", "100ms")
    slow = bench.check(CheckKind.ROW_EXPRESSION, clause="slow", expression="pg_sleep(60) is not null")
    measured = bench.check(CheckKind.SQL_MEASURE, clause="slow too", query="select 1 from pg_sleep(60)", minimum=1)
    quick = bench.check(CheckKind.NOT_NULL, "carrier")
    (judgement,) = bench.judge(bench.contract(), [slow, measured, quick], [DAY])
    assert [clause for clause, _ in judgement.failures] == ["slow", "slow too"]
    assert "statement timeout" in judgement.failures[0][1]


def test_a_crash_of_great_expectations_fails_every_clause_that_it_should_have_judged(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crashes(*_: object) -> None:
        raise RuntimeError("no batch")

    monkeypatch.setattr(suites.Suites, "_batch", crashes)
    checks = [bench.check(CheckKind.NOT_NULL, "carrier"), bench.check(CheckKind.ROW_COUNT, clause="rows", minimum=1)]
    (judgement,) = bench.judge(bench.contract(), checks, [DAY])
    assert judgement.failures == (("carrier.not_null", "carrier: could not be evaluated: no batch"),)


def test_a_result_that_is_missing_has_failed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suites.Suites, "_run", lambda *_: {})
    (judgement,) = bench.judge(bench.contract(), [bench.check(CheckKind.NOT_NULL, "carrier")], [DAY])
    assert judgement.failures == (
        ("carrier.not_null", "carrier: could not be evaluated: Great Expectations gave no result"),
    )


def test_nothing_evaluated_has_failed(bench: Bench) -> None:
    (judgement,) = bench.judge(bench.contract(), [], [DAY])
    assert judgement.outcome == "failed"


def test_a_clause_that_the_gate_was_not_given_has_failed(bench: Bench) -> None:
    flights = bench.contract()
    checks = [bench.check(CheckKind.NOT_NULL, "carrier"), bench.check(CheckKind.NOT_NULL, "origin")]
    bench.register(flights, checks)
    version = bench.build(flights, [DAY])
    (judgement,) = gate.judge(bench.run_id, bench.token, flights, checks[:1], version, [DAY])
    assert judgement.outcome == "failed"


def test_rows_that_are_not_there_prove_nothing(bench: Bench) -> None:
    checks = [
        bench.check(CheckKind.NOT_NULL, "carrier"),
        bench.check(CheckKind.UNIQUE, "flight_date", "carrier", "flight_number", "origin"),
    ]
    (judgement,) = bench.judge(bench.contract(), checks, [DAY], "delete from {table}")
    assert judgement.outcome == "failed"
    assert judgement.failures[0][1] == "carrier: nothing was evaluated, the partition has no rows"


def test_a_day_may_be_empty_where_the_contract_says_so(bench: Bench) -> None:
    checks = [
        bench.check(CheckKind.NOT_NULL, "carrier"),
        bench.check(CheckKind.ROW_COUNT, clause="rows", minimum=0, maximum=2000),
    ]
    (judgement,) = bench.judge(bench.contract(), checks, [DAY], "delete from {table}")
    assert judgement.passed
    assert bench.evidence(judgement)["carrier.not_null"]["evaluated_rows"] == 0


def test_an_empty_day_fails_inside_a_range_that_passes(bench: Bench) -> None:
    checks = [bench.check(CheckKind.NOT_NULL, "carrier"), bench.check(CheckKind.ROW_COUNT, clause="rows", minimum=1)]
    judged = bench.judge(
        bench.contract(), checks, bench.days(DAY, 3), "delete from {table} where flight_date = '2013-01-06'"
    )
    assert [judgement.passed for judgement in judged] == [True, False, True]
    assert judged[1].failures == (("rows", "rows: 0, expected at least 1"),)


def test_two_clauses_of_one_name_are_refused(bench: Bench) -> None:
    checks = [
        bench.check(CheckKind.NOT_NULL, "carrier", clause="same"),
        bench.check(CheckKind.NOT_NULL, "origin", clause="same"),
    ]
    with pytest.raises(PermanentFailure, match="several clauses are called same"):
        bench.judge(bench.contract(), checks, [DAY])


def test_a_gate_leaves_no_connection_behind_and_can_be_used_after_a_fork(bench: Bench) -> None:
    gate.warm()
    checks = [bench.check(CheckKind.NOT_NULL, "carrier")]
    flights = bench.contract()
    (before,) = bench.judge(flights, checks, [DAY])
    assert before.passed
    with bench.database.connect(Role.ADMIN) as connection:
        left = connection.execute("select count(*) from pg_stat_activity where usename = 'interlock_gate'").fetchone()
    assert left == (0,)
    child = os.fork()
    if child == 0:
        try:
            (judgement,) = gate.judge(bench.run_id, bench.token, flights, checks, before.version, [DAY])
            os._exit(0 if judgement.passed else 1)
        except BaseException:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    (after,) = gate.judge(bench.run_id, bench.token, flights, checks, before.version, [DAY])
    assert after.passed


def test_a_warehouse_that_the_gate_cannot_connect_to_could_not_be_asked_and_may_be_tried_again(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"postgresql://gate:none@127.0.0.1:{taken.getsockname()[1]}/gone"
    monkeypatch.setenv("INTERLOCK_GATE_URL", address)
    with pytest.raises(CouldNotAsk, match="Connection refused"), suites.open_suites(Neighbours("none", {})):
        pass
