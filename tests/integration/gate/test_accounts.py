"""Accounts: rows are matched by their identity, so that one lost and one doubled do not make a good sum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from interlock.contracts.checks import CheckKind
from interlock.contracts.clauses import clause_check
from interlock.quality import gate

if TYPE_CHECKING:
    from conftest import Bench
    from interlock.contracts.checks import Check

DAY, NEXT = "2013-01-05", "2013-01-06"
KEY = ["flight_date", "carrier", "flight_number", "origin"]
STAGED = """
    select make_date(year::int, month::int, day::int) as flight_date, carrier, flight::int as flight_number, origin,
      distance::int as distance_miles
    from source.flights
"""
COUNTED = ("read", "dropped", "added", "written", "lost", "doubled")


def clause(**implementation: Any) -> Check:
    """The check that a contract's clause compiles to."""
    given = {"check": "accounts_for", "dataset": "stg_flights", **implementation}
    found = clause_check({"id": "accounts", "type": "custom", "engine": "interlock", "implementation": given}, None, "")
    assert found is not None
    return found


@pytest.fixture
def judged(bench: Bench) -> Any:
    """Judges two days that were built from `staged`, after `changes`: what was found, and what was entered."""

    def judge(check: Check, *changes: str, staged: str = STAGED) -> tuple[dict[str, Any], dict[str, tuple[Any, ...]]]:
        bench.register(bench.contract("stg_flights"), [bench.check(CheckKind.ROW_COUNT, clause="rows", minimum=1)])
        flights = bench.contract()
        bench.register(flights, [check])
        version = bench.build(flights, [DAY, NEXT], *changes)
        with bench.database.connect() as connection:
            connection.execute(f"create view run_{bench.run_id}.stg_flights as {staged}".encode())
            connection.execute(f"grant select on run_{bench.run_id}.stg_flights to interlock_gate".encode())
        found = {
            item.partition: item
            for item in gate.judge(bench.run_id, bench.token, flights, [check], version, [DAY, NEXT])
        }
        with bench.database.connect() as connection:
            entries = connection.execute(
                f"select partition, {', '.join(COUNTED)}, balances from interlock.ledger where version = %s".encode(),
                [version],
            ).fetchall()
        return found, {partition: tuple(rest) for partition, *rest in entries}

    return judge


def test_a_step_that_keeps_every_row_balances_day_by_day(bench: Bench, judged: Any):
    found, entries = judged(clause(by=KEY))
    assert all(item.passed for item in found.values())
    for day in (DAY, NEXT):
        rows = len(bench.deliveries[day])
        assert entries[day] == (rows, 0, 0, rows, 0, 0, True)


def test_a_lost_row_and_a_doubled_one_do_not_balance(bench: Bench, judged: Any):
    check = clause(by=KEY)
    found, entries = judged(
        check,
        "delete from {table} where flight_date = '2013-01-06' and carrier = 'HA'",
        "insert into {table} select * from {table} where flight_date = '2013-01-06' and carrier = 'UA' limit 1",
    )
    rows = len(bench.deliveries[NEXT])
    assert found[DAY].passed
    assert not found[NEXT].passed
    assert entries[NEXT] == (rows, 0, 0, rows, 1, 1, False)
    evidence = bench.evidence(found[NEXT])[check.id]
    assert {key["carrier"]: (key["read"], key["written"]) for key in evidence["sample_keys"]} == {
        "HA": (1, 0),
        "UA": (1, 2),
    }
    assert "1 lost and 1 doubled" in evidence["message"]


def test_what_is_dropped_for_a_reason_is_counted_and_anything_else_is_lost(bench: Bench, judged: Any):
    dropped = clause(by=KEY, dropped=[{"reason": "no Hawaiian", "where": "carrier = 'HA'"}])
    found, entries = judged(dropped, "delete from {table} where carrier = 'HA'")
    rows = len(bench.deliveries[DAY])
    assert found[DAY].passed
    assert entries[DAY] == (rows, 1, 0, rows - 1, 0, 0, True)
    assert "1 dropped (no Hawaiian)" in bench.evidence(found[DAY])[dropped.id]["message"]


def test_what_was_to_be_dropped_and_is_there_is_one_too_many(judged: Any):
    found, entries = judged(clause(by=KEY, dropped=[{"reason": "no Hawaiian", "where": "carrier = 'HA'"}]))
    assert not found[DAY].passed
    assert entries[DAY][4:] == (0, 1, False)


def test_members_are_matched_however_many_rows_they_have(bench: Bench, judged: Any):
    found, entries = judged(
        clause(unit="members", by={"carrier": "carrier"}, added=[{"reason": "unknown", "where": "carrier = '??'"}]),
        "insert into {table} select * from {table} where carrier = 'UA'",
        "update {table} set carrier = '??' where flight_date = '2013-01-06' and carrier = 'HA'",
    )
    place = bench.header.index("carrier")
    carriers = {day: len({row[place] for row in bench.deliveries[day]}) for day in (DAY, NEXT)}
    assert found[DAY].passed
    assert entries[DAY] == (carriers[DAY], 0, 0, carriers[DAY], 0, 0, True)
    assert not found[NEXT].passed
    assert entries[NEXT] == (carriers[NEXT], 0, 1, carriers[NEXT], 1, 0, False)


def test_an_aggregate_counts_the_rows_that_it_was_made_from(bench: Bench, judged: Any):
    found, entries = judged(clause(counted="distance_miles"), "update {table} set distance_miles = 1")
    assert all(item.passed for item in found.values())
    assert entries[DAY][:1] == (len(bench.deliveries[DAY]),)
    found, entries = judged(
        clause(counted="distance_miles"),
        "update {table} set distance_miles = 1 + (carrier = 'HA')::int",
    )
    assert entries[DAY][4:] == (0, 1, False)


RIVALS = """
    select *, 0 as sequence from ({staged}) as first
    union all
    select flight_date, carrier, flight_number, origin, distance_miles + 1, 1 from ({staged}) as again
    where carrier = 'HA' and flight_date = '2013-01-05'
"""


@pytest.mark.parametrize(
    ("order", "changes", "balance"),
    [
        ("asc", (), (0, 0, True)),
        ("desc", ("update {table} set distance_miles = distance_miles + 1 where carrier = 'HA'",), (0, 0, True)),
        ("desc", (), (1, 1, False)),  # the model keeps the first: the winner is lost, and a loser is there
        ("asc", ("delete from {table} where carrier = 'HA'",), (1, 0, False)),
    ],
)
def test_of_rows_with_one_key_the_rule_says_which_is_kept_whatever_the_model_does(
    bench: Bench, judged: Any, order: str, changes: tuple[str, ...], balance: tuple[Any, ...]
):
    rule = {"key": KEY, "keep": [{"column": "sequence", "order": order}]}
    check = clause(by=[*KEY, "distance_miles"], deduplicated=rule)
    changes = tuple(f"{change} and flight_date = '{DAY}'" for change in changes)
    found, entries = judged(check, *changes, staged=RIVALS.format(staged=STAGED))
    rows = len(bench.deliveries[DAY])
    assert entries[DAY][:2] == (rows + 1, 0)
    assert entries[DAY][4:] == balance
    assert found[DAY].passed is balance[2]
    assert found[NEXT].passed
    told = bench.evidence(found[DAY])[check.id]["account"]
    won = "highest" if order == "desc" else "lowest"
    assert told["deduplicated"] == {f"the {won} sequence won": 1}


def test_accounts_that_cannot_be_counted_have_failed(judged: Any):
    found, entries = judged(clause(by=KEY, dropped=[{"reason": "never", "where": "no_such_column"}]))
    assert not found[DAY].passed
    assert "no_such_column" in found[DAY].failures[0][1]
    assert entries == {}


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"by": []},
        {"by": KEY, "counted": "flights"},
        {"counted": "flights", "dropped": [{"reason": "r", "where": "true"}]},
        {"by": KEY, "dropped": [{"where": "true"}]},
        {"by": KEY, "deduplicated": {"key": []}},
        {"by": KEY, "deduplicated": {"key": KEY, "keep": ["sequence"]}},
        {"by": KEY, "unit": "members", "deduplicated": {"key": KEY}},
        {"counted": "flights", "deduplicated": {"key": KEY}},
    ],
)
def test_a_clause_that_says_no_way_to_count_is_refused(wrong: dict[str, Any]):
    from interlock.contracts.clauses import ClauseUnchecked

    with pytest.raises(ClauseUnchecked):
        clause(**wrong)
