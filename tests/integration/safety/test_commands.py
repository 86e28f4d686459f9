"""The commands that ask, run as a person runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

DAY, NEXT = "2013-01-05", "2013-01-06"


def interlock(*arguments, **environment):
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", "from interlock.cli import main; main()", *arguments],
        capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "100"} | environment,
    )  # fmt: skip


@pytest.fixture
def troubled(filled):
    """The day's delivery failed; the next day is safe; the day after is being built."""
    run = filled.admit("shop", DAY)
    filled.fail(run, filled.load(run, "orders", DAY), DAY)
    filled.finish(run)
    filled.admit("shop", "2013-01-07")
    return filled


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["fct_orders", "--partition", NEXT], 0, "SAFE"),
        (["fct_orders", "--partition", DAY], 3, "orders > stg_orders > fct_orders"),
        (["fct_orders", "--partition", "2013-01-07"], 4, "CHECKING"),
        (["fct_orders", "--partition", "1999-01-01"], 4, "UNKNOWN"),
        (["fct_order"], 2, "fct_orders"),
        (["fct_orders", "--partition", "5 January"], 2, "YYYY-MM-DD"),
        ([], 2, "Missing argument"),
    ],
)
def test_the_exit_code_of_check_says_it(troubled, arguments, code, said):
    ran = interlock("check", *arguments)
    assert (ran.returncode, said in ran.stdout + ran.stderr) == (code, True), ran
    assert "Traceback" not in ran.stderr


def test_check_could_not_ask(troubled):
    ran = interlock("check", "fct_orders", INTERLOCK_CONSUMER_URL="postgresql://x@127.0.0.1:1/x")
    assert (ran.returncode, ran.stdout) == (5, "")
    assert "What to do" in ran.stderr


def test_check_answers_in_json_on_request(troubled):
    ran = interlock("check", "fct_orders", "-p", DAY, "--json")
    answer = json.loads(ran.stdout)
    assert (ran.returncode, answer["state"], answer["reasons"][0]["code"]) == (3, "unsafe", "input_unsafe")


def test_check_imports_nothing_heavy(troubled):
    code = (
        "import sys; sys.argv = ['interlock', 'check', 'fct_orders', '-p', '2013-01-06']\n"
        "from interlock.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code in (0, None), end.code\n"
        "heavy = {'rich', 'sqlalchemy', 'alembic', 'apprise', 'dbt', 'great_expectations', 'pandas', 'airflow'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_status_tells_states_apart_without_colour_and_fits_a_narrow_terminal(troubled):
    for columns in ("40", "80", "200"):
        ran = interlock("status", COLUMNS=columns, NO_COLOR="1")
        assert ran.returncode == 0, ran.stderr
        assert "XX unsafe" in ran.stdout
        assert "ok safe" in ran.stdout
        matrix_lines = [line for line in ran.stdout.splitlines() if line.startswith("  ")]
        assert all(len(line.rstrip()) <= int(columns) for line in matrix_lines)
    assert "2 keys are doubled" in ran.stdout
    assert json.loads(interlock("status", "--json").stdout)["rows"]
    assert interlock("status", "--domain", "nobody").returncode == 2


def test_explain_shows_the_cause_its_path_and_what_clears_it(troubled):
    ran = interlock("explain", "agg_orders", "--partition", DAY, COLUMNS="60")
    assert ran.returncode == 0
    for part in ("orders > stg_orders > fct_orders > agg_orders", "clears:", "keys", "2 keys are doubled"):
        assert part in ran.stdout
    assert "--partition" in interlock("explain", "agg_orders").stdout


def test_the_clock_is_set_shown_and_cleared(troubled):
    assert "real time" in interlock("clock", "show").stdout
    assert "2013-01-08T06:00:0" in interlock("clock", "set", "2013-01-08T06:00:00Z").stdout
    assert "The clock is set" in interlock("check", "fct_orders", "-p", NEXT).stdout
    assert interlock("clock", "set", "noon").returncode == 2
    assert "real time" in interlock("clock", "clear").stdout


def test_leases_are_renewed_by_hand(troubled):
    ran = interlock("renew")
    assert (ran.returncode, "fct_orders: valid until" in ran.stdout) == (0, True)
