"""A range is judged in one go and blamed day by day; a day is compared with recent safe days, and never with itself."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from interlock.contracts.checks import CheckKind, Scope
from interlock.contracts.model import Grain, Layer, Partition
from interlock.quality import gate

if TYPE_CHECKING:
    from conftest import Bench
    from interlock.contracts.checks import Check

JANUARY = "2013-01-01"
SATURDAY = "2013-02-02"
HALF = """
    delete from {table} where ctid in (
      select ctid from (select ctid, row_number() over () as nth from {table}) as numbered where nth % 2 = 0)
"""
INFLATED = """
    insert into {table} select t.* from {table} as t, generate_series(1, 4)
    where flight_date between '2013-01-15' and '2013-01-21'
"""


def rows_like_recent_days(bench: Bench) -> Check:
    return bench.check(
        CheckKind.BASELINE, clause="rows like recent days", measure="row_count", window=28, season="weekday", minimum=3,
        ratio=[0.6, 1.6], absolute=[300, 2000],
    )  # fmt: skip


def delays_like_recent_days(bench: Bench) -> Check:
    return bench.check(
        CheckKind.BASELINE, clause="delays like recent days", measure={"mean": "departure_delay_minutes"},
        window=28, season="weekday",
        minimum=3, ratio=[0.1, 5], slack=30, absolute=[-30, 120],
    )  # fmt: skip


def test_only_the_guilty_days_of_a_range_fail(bench: Bench) -> None:
    key = ("flight_date", "carrier", "flight_number", "origin")
    checks = [
        bench.check(CheckKind.ROW_COUNT, clause="rows", minimum=1),
        bench.check(CheckKind.NOT_NULL, "carrier"),
        bench.check(CheckKind.BETWEEN, "distance_miles", minimum=0, maximum=6000),
        bench.check(CheckKind.UNIQUE, *key),
        bench.check(CheckKind.MATCHES, "carrier", pattern="^[A-Z0-9]{2}$"),
    ]
    damage = [
        "update {table} set distance_miles = -1 where flight_date = '2013-01-03' and carrier = 'UA'",
        "insert into {table} select * from {table} where flight_date = '2013-01-09' and carrier = 'HA'",
        "update {table} set carrier = null where flight_date = '2013-02-10' and carrier = 'HA'",
        "update {table} set carrier = '??' where flight_date = '2013-02-11' and carrier = 'HA'",
    ]
    judged = bench.judge(bench.contract(), checks, bench.days(JANUARY, 50), *damage)
    guilty = {
        judgement.partition: [clause for clause, _ in judgement.failures]
        for judgement in judged
        if not judgement.passed
    }
    assert guilty == {
        "2013-01-03": ["distance_miles.between"],
        "2013-01-09": [f"{'.'.join(key)}.unique"],
        "2013-02-10": ["carrier.not_null"],
        "2013-02-11": ["carrier.matches"],
    }
    (third,) = (judgement for judgement in judged if judgement.partition == "2013-01-03")
    found = bench.evidence(third)["distance_miles.between"]
    assert found["unexpected_count"] > 20
    assert len(found["sample_keys"]) == 20
    assert {sample["flight_date"] for sample in found["sample_keys"]} == {"2013-01-03"}


def test_a_key_may_come_back_on_another_day_whichever_way_a_range_is_cut(bench: Bench) -> None:
    unique = bench.check(CheckKind.UNIQUE, "carrier", "flight_number", "origin")
    repeated = "insert into {table} select * from {table} where flight_date = '2013-01-02' and carrier = 'HA'"
    judged = bench.judge(bench.contract(), [unique], bench.days(JANUARY, 3), repeated)
    assert [judgement.passed for judgement in judged] == [True, False, True]
    (found,) = bench.evidence(judged[1])[unique.id]["sample_keys"]
    assert (found["carrier"], found["times"]) == ("HA", 2)


def test_values_that_gx_compares_with_each_other_may_come_back_on_another_day(bench: Bench) -> None:
    unique = bench.check(
        CheckKind.EXPECTATION,
        clause="one flight a tail",
        type="expect_column_values_to_be_unique",
        kwargs={"column": "tail_number"},
    ).model_copy(update={"scope": Scope.PARTITION})
    judged = bench.judge(
        bench.contract(),
        [unique],
        bench.days(JANUARY, 3),
        "delete from {table} t where exists (select from {table} o where o.flight_date = t.flight_date"
        " and o.tail_number = t.tail_number and o.ctid < t.ctid) and t.flight_date <> '2013-01-02'",
    )
    assert [judgement.passed for judgement in judged] == [True, False, True]


def test_a_day_that_is_all_null_fails_inside_a_range_that_would_pass(bench: Bench) -> None:
    mostly = bench.check(
        CheckKind.EXPECTATION, "tail_number", clause="tails", type="expect_column_values_to_not_be_null",
        kwargs={"column": "tail_number", "mostly": 0.9},
    )  # fmt: skip
    share = mostly.model_copy(update={"scope": Scope.PARTITION})
    nulls = bench.check(
        CheckKind.MEASURE_BETWEEN, clause="nulls", measure={"share_null": "tail_number"}, minimum=None, maximum=0.1
    )
    judged = bench.judge(
        bench.contract(),
        [share, nulls],
        bench.days(JANUARY, 30),
        "update {table} set tail_number = null where flight_date = '2013-01-20'",
    )
    assert {judgement.partition: len(judgement.failures) for judgement in judged if not judgement.passed} == {
        "2013-01-20": 2
    }


def test_a_measure_of_the_table_in_gx_words_is_judged_day_by_day(bench: Bench) -> None:
    highest = bench.check(
        CheckKind.EXPECTATION,
        clause="highest",
        type="expect_column_max_to_be_between",
        kwargs={"column": "distance_miles", "max_value": 5000},
    ).model_copy(update={"scope": Scope.PARTITION})
    judged = bench.judge(
        bench.contract(),
        [highest],
        bench.days(JANUARY, 4),
        "update {table} set distance_miles = 9999 where flight_date = '2013-01-02' and flight_number = 1",
    )
    assert [judgement.passed for judgement in judged] == [True, False, True, True]


def test_the_first_days_are_bootstrapped_and_the_later_ones_are_not(bench: Bench) -> None:
    judged = bench.judge(bench.contract(), [rows_like_recent_days(bench)], bench.days(JANUARY, 6))
    assert [judgement.bootstrapped for judgement in judged] == [True, True, True, False, False, False]
    assert "absolute bounds" in bench.evidence(judged[0])["rows like recent days"]["message"]
    with bench.database.connect() as connection:
        flags = connection.execute("select is_bootstrapped from interlock.verdict order by partition").fetchall()
    assert [flag for (flag,) in flags] == [True, True, True, False, False, False]


def test_half_the_rows_fail_against_history_although_every_row_is_well_formed(bench: Bench) -> None:
    flights, checks = bench.contract(), [rows_like_recent_days(bench)]
    assert all(judgement.passed for judgement in bench.judge_and_publish(flights, checks, bench.days(JANUARY, 32)))
    (half,) = bench.judge(flights, checks, [SATURDAY], HALF)
    assert not half.passed
    assert not half.bootstrapped
    usual = median(len(bench.deliveries[day]) for day in ("2013-01-05", "2013-01-12", "2013-01-19", "2013-01-26"))
    assert half.failures[0][1].endswith(f"(median of 4 Saturdays {usual:.0f})")
    (whole,) = bench.judge(flights, checks, [SATURDAY])
    assert whole.passed


def test_delays_in_seconds_fail_against_history(bench: Bench) -> None:
    flights, checks = bench.contract(), [delays_like_recent_days(bench)]
    assert all(judgement.passed for judgement in bench.judge_and_publish(flights, checks, bench.days(JANUARY, 32)))
    (seconds,) = bench.judge(
        flights, checks, [SATURDAY], "update {table} set departure_delay_minutes = departure_delay_minutes * 60"
    )
    assert not seconds.passed
    assert seconds.failures[0][1].startswith("departure_delay_minutes: mean ")
    assert "median of 4 Saturdays" in seconds.failures[0][1]


def test_a_day_that_failed_teaches_the_next_ones_nothing(bench: Bench) -> None:
    checks = [rows_like_recent_days(bench)]
    judged = bench.judge(bench.contract(), checks, bench.days(JANUARY, 28), INFLATED)
    assert [judgement.partition for judgement in judged if not judgement.passed] == bench.days("2013-01-15", 7)


def test_what_is_not_safe_is_no_history(bench: Bench) -> None:
    flights, checks = bench.contract(), [rows_like_recent_days(bench)]
    bench.judge_and_publish(flights, checks, bench.days(JANUARY, 32))
    with bench.database.connect() as connection:
        connection.execute(
            "update interlock.partition set withdrawn_at = now(), withdrawn_version = version"
            " where partition between '2013-01-05' and '2013-02-01'"
        )
    (judgement,) = bench.judge(flights, checks, [SATURDAY])
    assert judgement.bootstrapped


def test_a_rerun_is_not_compared_with_itself(bench: Bench) -> None:
    flights, checks = bench.contract(), [rows_like_recent_days(bench)]
    bench.judge_and_publish(flights, checks, bench.days("2013-01-26", 3))
    (again,) = bench.judge(flights, checks, ["2013-01-28"], "delete from {table} where flight_number % 2 = 0")
    assert again.bootstrapped
    (earlier,) = bench.judge(flights, checks, ["2013-01-25"])
    assert earlier.bootstrapped


def test_a_dataset_of_one_partition_is_compared_with_what_it_replaces(bench: Bench) -> None:
    carriers = bench.contract("dim_carriers", partition=Partition(grain=Grain.ALL, column=None))
    checks = [rows_like_recent_days(bench)]
    bench.deliver([SATURDAY])
    rows = bench.real_day.replace("any (%s)", f"'{SATURDAY}'")
    (first,) = bench.judge_and_publish(carriers, checks, ["all"], rows=rows)
    assert first.passed
    assert first.bootstrapped
    (itself,) = gate.judge(bench.run_id, bench.token, carriers, checks, first.version, ["all"])
    assert itself.bootstrapped
    (half,) = bench.judge(carriers, checks, ["all"], HALF, rows=rows)
    assert "(median of the version served now 682)" in half.failures[0][1]


def test_a_failure_opens_a_cause_with_the_figures(bench: Bench) -> None:
    (judgement,) = bench.judge(
        bench.contract(), [bench.check(CheckKind.ROW_COUNT, clause="rows", minimum=1000)], [SATURDAY]
    )
    with bench.database.connect() as connection:
        causes = connection.execute("select code, message from interlock.cause where cleared_at is null").fetchall()
    assert causes == [("gate_failed", judgement.failures[0][1])]
    assert judgement.failures[0][1] == "rows: 682, expected at least 1,000"


def test_loads_are_judged_as_delivered_all_at_once(bench: Bench) -> None:
    flights = bench.contract("flights", Layer.RAW)
    checks = [
        *(
            bench.check(CheckKind.CASTABLE, name, type="integer")
            for name in ("year", "month", "day", "dep_delay", "flight", "distance")
        ),
        bench.check(CheckKind.NOT_NULL, "carrier"),
        bench.check(CheckKind.NOT_NULL, "flight"),
        bench.check(CheckKind.BETWEEN, "distance", minimum=0, maximum=6000),
        bench.check(CheckKind.IN_SET, "month", values=list(range(1, 13))),
        bench.check(CheckKind.IN_SET, "origin", values=["EWR", "JFK", "LGA"]),
        bench.check(CheckKind.UNIQUE, "year", "month", "day", "carrier", "flight", "origin"),
        bench.check(CheckKind.ROW_COUNT, clause="rows", minimum=1),
        bench.check(
            CheckKind.MEASURE_BETWEEN, clause="mean delay", measure={"mean": "dep_delay"}, minimum=-30, maximum=120
        ),
    ]
    bench.register(flights, checks)
    partitions = bench.days(JANUARY, 5)
    bench.admit(partitions)
    damage = {
        "2013-01-02": "update {delivery} set distance = '12 miles' where flight = '1' and carrier = 'AA'",
        "2013-01-03": "update {delivery} set carrier = 'NA' where flight = '1' and carrier = 'AA'",
        "2013-01-04": "insert into {delivery} select * from {delivery} where flight = '1' and carrier = 'AA'",
    }
    loads = {day: bench.load(flights, day, *([damage[day]] if day in damage else [])) for day in partitions}

    judged = gate.judge_versions(bench.run_id, bench.token, flights, checks, loads)
    assert {judgement.partition: [clause for clause, _ in judgement.failures] for judgement in judged} == {
        "2013-01-01": [],
        "2013-01-02": ["distance.castable"],
        "2013-01-03": ["carrier.not_null"],
        "2013-01-04": ["year.month.day.carrier.flight.origin.unique"],
        "2013-01-05": [],
    }
    (sample,) = bench.evidence(judged[1])["distance.castable"]["sample_keys"]
    assert sample["carrier"] == "AA"
    assert sample["_row_number"] > 0
    with bench.database.connect() as connection:
        states = connection.execute("select partition, state from interlock.load order by partition").fetchall()
    assert [state for _, state in states] == ["loaded", "rejected", "rejected", "rejected", "loaded"]

    (alone,) = gate.judge(bench.run_id, bench.token, flights, checks, loads["2013-01-01"], ["2013-01-01"])
    assert alone.passed
