"""What `interlock demo` offers; the stories themselves are played by the tests of the chain and of Airflow."""

from __future__ import annotations

from typer.testing import CliRunner

from interlock.cli import app
from interlock.errors import UsageError
from interlock.example.demo import DEFAULT_SCENARIO, SCENARIOS
from interlock.example.faults import FAULTS


def test_there_are_at_least_five_kinds_of_bad_day_and_the_producer_knows_each():
    assert len(SCENARIOS) >= 5
    assert DEFAULT_SCENARIO in SCENARIOS
    assert {scenario.fault for scenario in SCENARIOS.values()} <= set(FAULTS)


def test_its_help_lists_them_all():
    said = " ".join(CliRunner().invoke(app, ["demo", "--help"], env={"COLUMNS": "300"}).output.split())
    for name, scenario in SCENARIOS.items():
        assert f"{name}: {scenario.story}" in said


def test_a_scenario_that_is_none_is_refused_with_the_list_of_them():
    ended = CliRunner().invoke(app, ["demo", "--scenario", "sabotage"])
    assert isinstance(ended.exception, UsageError)
    assert all(name in ended.exception.fix for name in SCENARIOS)
