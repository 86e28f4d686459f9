"""Each kind of check passes on real flights and fails on what it is there to catch, and says so with figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from interlock.contracts.checks import CheckKind, Scope
from interlock.quality import gate

if TYPE_CHECKING:
    from conftest import Bench

DAY = "2013-01-05"
FLIGHTS = 720
ONE = "(select min(ctid) from {table})"

KINDS: dict[str, tuple[CheckKind, tuple[str, ...], dict[str, Any], str, int | None]] = {
    "a null": (CheckKind.NOT_NULL, ("carrier",), {}, f"update {{table}} set carrier = null where ctid = {ONE}", 1),
    "a key twice": (
        CheckKind.UNIQUE, ("flight_date", "carrier", "flight_number", "origin"), {},
        f"insert into {{table}} select * from {{table}} where ctid = {ONE}", 2,
    ),
    "a value too high": (
        CheckKind.BETWEEN, ("distance_miles",), {"minimum": 1, "maximum": 6000},
        f"update {{table}} set distance_miles = 60000 where ctid = {ONE}", 1,
    ),
    "a date too early": (
        CheckKind.BETWEEN, ("flight_date",), {"minimum": "2013-01-01", "maximum": None}, None, None,
    ),
    "a value outside the set": (
        CheckKind.IN_SET, ("origin",), {"values": ["EWR", "JFK", "LGA"]},
        f"update {{table}} set origin = 'BOS' where ctid = {ONE}", 1,
    ),
    "a value off the pattern": (
        CheckKind.MATCHES, ("carrier",), {"pattern": "^[A-Z0-9]{2}$"},
        f"update {{table}} set carrier = 'u:a' where ctid = {ONE}", 1,
    ),
    "a text too long": (
        CheckKind.MAX_LENGTH, ("destination",), {"maximum": 3},
        f"update {{table}} set destination = 'ORD ' where ctid = {ONE}", 1,
    ),
    "a row that contradicts itself": (
        CheckKind.ROW_EXPRESSION, (), {"expression": "origin <> destination and carrier not like '%:x%'"},
        f"update {{table}} set destination = origin where ctid = {ONE}", 1,
    ),
    "no rows": (CheckKind.ROW_COUNT, (), {"minimum": 1, "maximum": None}, "delete from {table}", None),
    "too many rows": (
        CheckKind.ROW_COUNT, (), {"minimum": 1, "maximum": 1000}, "insert into {table} select * from {table}", None,
    ),
    "a mean too high": (
        CheckKind.MEASURE_BETWEEN, (), {"measure": {"mean": "departure_delay_minutes"}, "minimum": -10, "maximum": 120},
        "update {table} set departure_delay_minutes = departure_delay_minutes * 60", None,
    ),
    "too many nulls": (
        CheckKind.MEASURE_BETWEEN, (), {"measure": {"share_null": "tail_number"}, "minimum": None, "maximum": 0.05},
        "update {table} set tail_number = null", None,
    ),
    "a number of the contract's own query": (
        CheckKind.SQL_MEASURE, (),
        {"query": "select count(distinct carrier) from ${table} where origin = 'JFK'", "minimum": 2, "maximum": 30},
        "update {table} set carrier = 'UA'", None,
    ),
    "an expectation in GX's words": (
        CheckKind.EXPECTATION, ("destination",),
        {"type": "expect_column_values_to_not_be_in_set", "kwargs": {"column": "destination", "value_set": ["XXX"]}},
        f"update {{table}} set destination = 'XXX' where ctid = {ONE}", 1,
    ),
    "an expectation with a share": (
        CheckKind.EXPECTATION, ("tail_number",),
        {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "tail_number", "mostly": 0.95}},
        "update {table} set tail_number = null", FLIGHTS,
    ),
    "an expectation about the table": (
        CheckKind.EXPECTATION, ("distance_miles",),
        {"type": "expect_column_max_to_be_between", "kwargs": {"column": "distance_miles", "max_value": 5000}},
        f"update {{table}} set distance_miles = 60000 where ctid = {ONE}", None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_a_check_passes_on_real_flights_and_fails_on_what_it_is_there_to_catch(bench: Bench, name: str) -> None:
    kind, columns, arguments, damage, unexpected = KINDS[name]
    checked = bench.check(kind, *columns, clause="the clause", **arguments)
    flights = bench.contract()

    (good,) = bench.judge(flights, [checked], [DAY])
    assert (good.outcome, good.failures) == ("passed", ())
    assert bench.evidence(good)["the clause"]["evaluated_rows"] == FLIGHTS

    if damage is None:
        damage, checked = (
            "delete from {table} where false",
            bench.check(kind, *columns, clause="the clause", minimum="2013-02-01"),
        )
        flights, unexpected = bench.contract(), FLIGHTS
    (bad,) = bench.judge(flights, [checked], [DAY], damage)
    assert bad.outcome == "failed"
    found = bench.evidence(bad)["the clause"]
    assert not found["success"]
    assert found.get("unexpected_count") == unexpected
    assert bad.failures == (("the clause", found["message"]),)
    if unexpected == 1:
        assert f"1 of {FLIGHTS} rows" in found["message"]
        (key,) = found["sample_keys"]
        assert key["flight_date"] == DAY
        assert set(key) - {"times"} == {"flight_date", "carrier", "flight_number", "origin"}


def test_columns_are_asked_for_together_and_blamed_alone(bench: Bench) -> None:
    flights = bench.contract()
    checks = [bench.check(CheckKind.COLUMN_EXISTS, column.name) for column in flights.columns]
    (good,) = bench.judge(flights, checks, [DAY])
    assert good.passed
    lacking = [
        *checks,
        bench.check(CheckKind.COLUMN_EXISTS, "gate_number"),
        bench.check(CheckKind.NOT_NULL, "gate_number"),
    ]
    (bad,) = bench.judge(bench.contract(), lacking, [DAY])
    assert [clause for clause, _ in bad.failures] == ["gate_number.column_exists", "gate_number.not_null"]


def test_references_are_looked_up_in_what_this_run_sees(bench: Bench) -> None:
    carriers = bench.contract("dim_carriers")
    bench.register(carriers, [bench.check(CheckKind.ROW_COUNT, clause="rows", minimum=1)])
    flights = bench.contract()
    known = bench.check(CheckKind.FOREIGN_KEY, "carrier", dataset="dim_carriers", columns=["carrier"])
    bench.register(flights, [known])
    version = bench.build(flights, [DAY])
    workspace = f"run_{bench.run_id}"
    with bench.database.connect() as connection:
        connection.execute(
            f"create view {workspace}.dim_carriers as select distinct carrier from source.flights".encode()
        )
        connection.execute(f"grant select on {workspace}.dim_carriers to interlock_gate".encode())
    (good,) = gate.judge(bench.run_id, bench.token, flights, [known], version, [DAY])
    assert good.passed
    with bench.database.connect() as connection:
        narrowed = "select distinct carrier from source.flights where carrier not in ('UA', 'AA')"
        connection.execute(f"create or replace view {workspace}.dim_carriers as {narrowed}".encode())
    (bad,) = gate.judge(bench.run_id, bench.token, flights, [known], version, [DAY])
    found = bench.evidence(bad)[known.id]
    carrier = bench.header.index("carrier")
    assert found["unexpected_count"] == sum(row[carrier] in ("UA", "AA") for row in bench.deliveries[DAY])
    assert len(found["sample_keys"]) == 20
    assert {key["carrier"] for key in found["sample_keys"]} <= {"UA", "AA"}


def test_a_share_of_the_values_may_be_asked_to_exist_day_by_day(bench: Bench) -> None:
    carriers = bench.contract("stg_carriers")
    bench.register(carriers, [bench.check(CheckKind.ROW_COUNT, clause="rows", minimum=1)])
    flights, partitions = bench.contract(), bench.days(DAY, 2)
    known = bench.check(CheckKind.FOREIGN_KEY, "carrier", dataset="stg_carriers", columns=["carrier"], share=0.8)
    known = known.model_copy(update={"scope": Scope.PARTITION})
    bench.register(flights, [known])
    changes = (
        "update {table} set carrier = '??' where carrier = 'HA' and flight_date = '2013-01-05'",
        "update {table} set carrier = '??' where carrier in ('UA', 'B6') and flight_date = '2013-01-06'",
        "update {table} set carrier = null where carrier in ('AA', 'DL') and flight_date = '2013-01-05'",
    )
    version = bench.build(flights, partitions, *changes)
    relation = f"run_{bench.run_id}.stg_carriers"
    with bench.database.connect() as connection:
        connection.execute(f"create view {relation} as select distinct carrier from source.flights".encode())
        connection.execute(f"grant select on {relation} to interlock_gate".encode())
    judged = gate.judge(bench.run_id, bench.token, flights, [known], version, partitions)
    assert [judgement.outcome for judgement in judged] == ["passed", "failed"]
    assert bench.evidence(judged[-1])[known.id]["sample_keys"][0]["carrier"] == "??"


def test_counts_reconcile_with_another_dataset_day_by_day(bench: Bench) -> None:
    staged = bench.contract("stg_flights")
    bench.register(staged, [bench.check(CheckKind.ROW_COUNT, clause="rows", minimum=1)])
    flights, partitions = bench.contract(), bench.days(DAY, 3)
    same = bench.check(
        CheckKind.RECONCILES, clause="same rows", dataset="stg_flights", measure="row_count", equals=True
    )
    bench.register(flights, [same])
    version = bench.build(flights, partitions)
    relation = f"run_{bench.run_id}.stg_flights"
    with bench.database.connect() as connection:
        rows = "select make_date(year::int, month::int, day::int) as flight_date, * from source.flights"
        connection.execute(f"create view {relation} as {rows} where not (day = '6' and flight = '1')".encode())
        connection.execute(f"grant select on {relation} to interlock_gate".encode())
    judged = gate.judge(bench.run_id, bench.token, flights, [same], version, partitions)
    assert [judgement.outcome for judgement in judged] == ["passed", "failed", "passed"]
    rows = len(bench.deliveries["2013-01-06"])
    lost = sum(row[bench.header.index("flight")] == "1" for row in bench.deliveries["2013-01-06"])
    assert judged[1].failures[0][1] == f"rows: {rows} here, {rows - lost} in stg_flights"


def test_a_warning_is_carried_and_does_not_block(bench: Bench) -> None:
    must = bench.check(CheckKind.ROW_COUNT, clause="rows", minimum=1)
    should = bench.check(CheckKind.NOT_NULL, "tail_number", critical=False)
    (judgement,) = bench.judge(bench.contract(), [must, should], [DAY], "update {table} set tail_number = null")
    assert judgement.passed
    assert judgement.failures == ()
    assert judgement.warnings == ((should.id, "tail_number: 720 of 720 rows are not as expected; expected not_null"),)
    with bench.database.connect() as connection:
        found = connection.execute(
            "select warnings from interlock.verdict where verdict_id = %s", [judgement.verdict_id]
        ).fetchone()
    assert found == (1,)


def test_keys_of_classified_columns_are_masked(bench: Bench) -> None:
    flights = bench.contract(classified={"carrier": "restricted", "origin": "public"})
    far = bench.check(CheckKind.BETWEEN, "distance_miles", minimum=0, maximum=1)
    told = bench.check(CheckKind.ROW_EXPRESSION, clause="casts", expression="carrier::integer > 0")
    (judgement,) = bench.judge(flights, [far, told], [DAY])
    evidence = bench.evidence(judgement)
    assert {key["carrier"] for key in evidence[far.id]["sample_keys"]} == {"***"}
    assert {key["origin"] for key in evidence[far.id]["sample_keys"]} <= {"EWR", "JFK", "LGA"}
    assert "InvalidTextRepresentation" in evidence["casts"]["message"]
    assert '"UA"' not in evidence["casts"]["message"]
