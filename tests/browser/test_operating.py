"""What an operator does in Airflow's UI, and what everybody is told meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from interlock.errors import Exit
from interlock.operators.domains import load_domains

if TYPE_CHECKING:
    from tests.browser.conftest import Operator, Platform

pytestmark = pytest.mark.system

DAG = "flight_operations"
GOOD, BAD = "2013-01-01", "2013-01-02"
CURATED = "fct_flights"


@pytest.fixture(scope="module")
def good_day(operator: Operator, platform: Platform) -> str:
    """How the run of a day without faults ended, which the operator triggered."""
    platform.done("clock", "set", "2013-01-03T06:00:00Z")
    platform.done("deliver", "--from", GOOD)
    operator.triggers(DAG, GOOD, GOOD)
    return operator.waits_for_the_end(DAG, GOOD)


@pytest.fixture(scope="module")
def bad_day(good_day: str, operator: Operator, platform: Platform) -> str:
    """How the run ended of a day whose delays came in seconds."""
    platform.done("deliver", "--from", BAD, "--fault", "seconds_instead_of_minutes", "--on", BAD)
    operator.triggers(DAG, BAD, BAD)
    return operator.waits_for_the_end(DAG, BAD)


def test_an_operator_sees_one_dag_for_each_domain(operator):
    operator.opens("/dags")
    own = ("interlock_maintenance", "interlock_control", "interlock_approval")
    operator.sees(*load_domains(), *own, f"{len(load_domains()) + len(own)} Dags")


def test_a_run_triggered_for_a_day_turns_green_and_the_day_is_safe(good_day, operator, platform):
    assert good_day == "Success"
    assert platform.interlock("check", CURATED, "--partition", GOOD).returncode == Exit.OK


def test_a_bad_day_turns_red_at_its_gate_and_the_log_says_why_and_what_to_do(bad_day, operator, platform):
    assert bad_day == "Failed"
    operator.opens(f"/dags/{DAG}/runs/{BAD}")
    failed = operator.waits(lambda: operator.tasks_that("Failed"), "the task at which it stopped")
    assert [task.split("_")[0] for task in failed] == ["gate"]
    log = operator.reads_the_log_of(failed[0])
    assert f"flights {BAD}: dep_delay" in log
    assert "rows are not as expected" in log
    assert "What to do: " in log
    operator.photographs("red-day")
    assert platform.interlock("check", CURATED, "--partition", BAD).returncode == Exit.UNSAFE


def test_the_platforms_page_is_in_airflows_navigation_and_a_red_task_and_the_page_lead_to_each_other(bad_day, operator):
    operator.opens("/")
    operator.clicks("//a[contains(@href, '/plugin/interlock')]")
    with operator.in_the_frame():
        operator.sees("Is it safe?", "flights")
    operator.opens(f"/dags/{DAG}/runs/{BAD}/tasks/gate_raw/details")
    operator.clicks("//a[normalize-space()='Interlock' and contains(@href, '?domain=')]")
    operator.is_at(f"/plugin/interlock/interlock/?domain={DAG}")
    with operator.in_the_frame():
        operator.sees("Is it safe?", "flights")
    operator.opens(f"/plugin/interlock/interlock/dataset/flights/{BAD}")
    with operator.in_the_frame():
        operator.sees(f"flights {BAD}")
        operator.clicks("//a[normalize-space()='The run in Airflow']")
    operator.is_at(f"/dags/{DAG}/runs/{BAD}")
    assert operator.waits(operator.headline, "the run") == "Failed"


def test_marking_the_gate_successful_in_the_ui_publishes_nothing(bad_day, operator, platform):
    operator.opens(f"/dags/{DAG}/runs/{BAD}")
    (gate,) = operator.waits(lambda: operator.tasks_that("Failed"), "the task at which it stopped")
    operator.reads_the_log_of(gate)
    operator.marks_successful()
    operator.waits_for_the_end(DAG, BAD)
    assert gate in operator.waits(lambda: operator.tasks_that("Success"), "the gate marked as successful")
    assert platform.interlock("check", CURATED, "--partition", BAD).returncode == Exit.UNSAFE
    count = f"select count(*) from safe.{CURATED} where flight_date = '{BAD}'"
    assert " 0\n" in platform.done("psql", "consumer", "--command", count)
