"""The command line's manners: exit codes, readable errors, and no import that a command does not need."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from interlock import cli
from interlock.errors import CouldNotAsk, Exit, PermanentFailure, UsageError

MAKEFILE = (Path(__file__).parents[2] / "Makefile").read_text()


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "interlock", *arguments],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", **environment},
        check=False,
    )


def test_help_imports_no_heavy_library():
    code = (
        "import sys\nfrom interlock import cli\n"
        "try: cli.app(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'pandas', 'sqlalchemy', 'airflow', 'dbt', 'great_expectations', 'psycopg'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip().endswith("[]")


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_of_the_table_is_there(name):
    assert cli.loaded(name) is not None


def test_every_command_that_a_group_registers_is_in_the_table():
    import typer

    for module in {module for module, _, _ in cli.COMMANDS.values()}:
        group = typer.Typer()
        group.callback()(lambda: None)
        importlib.import_module(module).register(group)
        assert set(typer.main.get_command(group).commands) <= set(cli.COMMANDS)


@pytest.mark.parametrize("arguments", [["nonsense"], ["migrate", "--nonsense"], ["psql", "nobody"]])
def test_wrong_usage_exits_2(arguments):
    assert run(*arguments).returncode == Exit.USAGE


def test_an_unreachable_database_exits_5_with_a_message_and_no_traceback():
    ended = run("psql", INTERLOCK_DATABASE_URL="postgresql://a:b@127.0.0.1:1/c", INTERLOCK_SECRET_KEY="k")
    assert ended.returncode == Exit.COULD_NOT_ASK
    assert "127.0.0.1:1/c" in ended.stderr
    assert "What to do" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_traceback_is_shown_where_it_is_asked_for():
    ended = run(
        "psql", INTERLOCK_DATABASE_URL="postgresql://a:b@127.0.0.1:1/c", INTERLOCK_SECRET_KEY="k", INTERLOCK_DEBUG="1"
    )
    assert "Traceback" in ended.stderr


def test_a_setting_that_is_not_valid_is_named():
    ended = run("psql", INTERLOCK_AIRFLOW_PORT="eighty")
    assert ended.returncode == Exit.FAILED
    assert "INTERLOCK_AIRFLOW_PORT" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PermanentFailure("x"), Exit.FAILED),
        (UsageError("x"), Exit.USAGE),
        (CouldNotAsk("x"), Exit.COULD_NOT_ASK),
        (ValueError("x"), Exit.FAILED),
    ],
)
def test_each_kind_of_failure_has_its_exit_code(error, code):
    assert cli.exit_code(error) == code


def test_every_make_target_has_its_line_of_help():
    targets = [line.split(":")[0] for line in MAKEFILE.splitlines() if line and line[0].islower() and ":" in line]
    described = [line.split(":")[0] for line in MAKEFILE.splitlines() if "## " in line and line[0].islower()]
    assert set(targets) - {"environment"} == set(described)
