"""The README's four consumers, word for word, against a real server: refused on the bad day, served on the good one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from interlock.contracts.loading import load_contracts
from interlock.control.questions import Right
from interlock.db import consumers
from interlock.db.connection import Role, libpq_environment
from interlock.db.embedded import programs
from interlock.pipeline.registry import definition

ROOT = Path(__file__).parents[3]
BAD, GOOD = "2013-01-05", "2013-01-06"
DATASET = "fct_flights"
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def blocks() -> list[tuple[str, str]]:
    """The examples of the section, as (language, code)."""
    section = (ROOT / "README.md").read_text().partition("## Ask before you act\n")[2].partition("\n## ")[0]
    return BLOCK.findall(section)


def test_each_is_at_most_ten_lines():
    assert [language for language, _ in blocks()] == ["python", "sql", "sh", "python"]
    assert all(len(code.splitlines()) <= 10 for _, code in blocks())


@pytest.fixture
def flights(platform: Any) -> Any:
    """Two days of flights under the example's own contract: of one of them, a version failed its gate since."""
    contract = load_contracts()[DATASET]
    platform.call(Role.OPERATOR, "register_dataset", Jsonb(definition(contract)), "tester")
    clauses = definition(contract)["clauses"]
    columns = ", ".join(f"{column.name} {column.physical_type}" for column in contract.columns)
    for day, is_good in ((GOOD, True), (BAD, True), (BAD, False)):
        run = platform.admit(contract.domain, day)
        table = f"{platform.workspace(run)}.{DATASET}"
        builder = platform.as_(Role.BUILDER)
        builder.execute(f"create table {table} ({columns})".encode())
        names = b" (flight_date, carrier_code, is_cancelled) values (%(day)s, 'AA', false), (%(day)s, 'UA', true)"
        builder.execute(f"insert into {table}".encode() + names, {"day": day})
        version = platform.seal(run, DATASET, day)
        evidence = [{"clause": clause, "success": is_good, "message": "It is off."} for clause in clauses]
        platform.judge(run, version, day, evidence=evidence)
        if is_good:
            platform.publish(run, day, version)
        platform.finish(run)
    return platform


@pytest.fixture
def run(flights: Any, served: Any, token: Any, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a program as a consumer's machine would: it knows an address and a token, and nothing of the platform."""
    known = {
        "INTERLOCK_URL": served.url,
        "INTERLOCK_TOKEN": token("report", [Right.READ], ["flight_operations"]),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
    }

    def ran(*command: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=known | more, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
        )

    return ran


@pytest.fixture
def login(flights: Any) -> Iterator[dict[str, str]]:
    """A consumer's own login, as psql reads it. Logins are of the whole server, so it is gone after the test."""
    yield libpq_environment(consumers.create("asks_before_acting", "tester"))
    consumers.drop("asks_before_acting", "tester")


def test_python_sql_and_shell_are_refused_on_the_bad_day_and_served_on_the_good_one(run: Any, login: dict[str, str]):
    (_, python), (_, sql), (_, shell), _ = blocks()
    psql = [str(programs() / "psql"), "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--tuples-only", "--command"]
    for day in (BAD, GOOD):
        done = {
            "python": run(sys.executable, "-c", python.replace(BAD, day)),
            "sql": run(*psql, sql.replace(BAD, day), **login),
            "shell": run("sh", "-c", shell.replace(BAD, day)),
        }
        said = {name: process.stdout + process.stderr for name, process in done.items()}
        if day == BAD:
            assert [process.returncode for process in done.values()] == [1, 1, 3], said
            assert all("It is off." in words for words in said.values()), said
            assert not any(served in words for words in said.values() for served in ("flights,", "AA", "is sent")), said
        else:
            assert [process.returncode for process in done.values()] == [0, 0, 0], said
            assert "2 flights, 1 of them cancelled" in said["python"]
            assert re.search(r"AA +\| +1", said["sql"])
            assert "the report is sent" in said["shell"]


IN_AIRFLOW = """
import sys
from datetime import datetime, timezone

from airflow.dag_processing.dagbag import DagBag
from airflow.utils import db

db.initdb()
bag = DagBag(sys.argv[1], safe_mode=False)
assert not bag.import_errors, bag.import_errors
for day in sys.argv[2:]:
    run = bag.dags["report"].test(logical_date=datetime.fromisoformat(day).replace(tzinfo=timezone.utc))
    print("ENDED", day, *sorted(f"{task.task_id}={task.state}" for task in run.get_task_instances()))
"""


def test_a_dag_of_another_team_is_refused_on_the_bad_day_and_served_on_the_good_one(run: Any, tmp_path: Path):
    folder = tmp_path / "dags"
    folder.mkdir()
    (folder / "report.py").write_text(blocks()[3][1])
    airflow = {
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(tmp_path / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    done = run(sys.executable, "-c", IN_AIRFLOW, str(folder), BAD, GOOD, **airflow)
    ended = [line.split() for line in done.stdout.splitlines() if line.startswith("ENDED")]
    assert ended == [
        ["ENDED", BAD, "require_safe_fct_flights=failed", "send=upstream_failed"],
        ["ENDED", GOOD, "require_safe_fct_flights=success", "send=success"],
    ], done.stdout[-3000:] + done.stderr[-3000:]
    assert "It is off." in done.stdout + done.stderr
