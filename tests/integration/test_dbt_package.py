"""Another team's dbt project reads through the package: where its input is not safe, its build fails and says why."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import psycopg
import pytest
import yaml

from interlock.db import consumers
from interlock.db.connection import Role

PACKAGE = Path(__file__).parents[2] / "include" / "dbt_package"
DAY, NEXT = "2013-01-05", "2013-01-06"


class Team:
    """A project of somebody else's on the platform's database, with a consumer's rights and a schema of its own."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder = folder
        self.address = address
        parts = psycopg.conninfo.conninfo_to_dict(address)
        output = {
            "type": "postgres", "host": parts["host"], "port": int(parts["port"]), "user": parts["user"],
            "password": parts["password"], "dbname": parts["dbname"], "schema": "their_models", "threads": 1,
        }  # fmt: skip
        self._write("profiles.yml", {"theirs": {"target": "dev", "outputs": {"dev": output}}})
        self._write("packages.yml", {"packages": [{"local": str(PACKAGE)}]})
        self.declare()

    def declare(self, **more: object) -> None:
        """Write the project file, with what else it should say."""
        flags = {"send_anonymous_usage_stats": False}
        self._write("dbt_project.yml", {"name": "theirs", "profile": "theirs", "flags": flags, **more})

    def model(self, name: str, text: str) -> None:
        """Write one model."""
        (self.folder / "models").mkdir(exist_ok=True)
        (self.folder / "models" / f"{name}.sql").write_text(text)

    def sources(self) -> None:
        """Declare a dataset as a source with the package's test."""
        tables = [{"name": "fct_orders", "data_tests": [{"interlock.is_safe": {"arguments": {"partition": DAY}}}]}]
        (self.folder / "models").mkdir(exist_ok=True)
        self._write("models/sources.yml", {"sources": [{"name": "safe", "tables": tables}]})

    def dbt(self, *words: str) -> tuple[dict[str, str], str]:
        """Run dbt in this process; each node's status, and all that it said of failures."""
        from dbt.cli.main import dbtRunner

        flags = ("--quiet", "--no-use-colors", "--no-partial-parse")
        places = ("--project-dir", str(self.folder), "--profiles-dir", str(self.folder))
        try:
            ended = dbtRunner().invoke([*words, *flags, *places])
        finally:
            log = logging.getLogger("file_log")
            for handler in log.handlers[:]:  # dbt opens one for each command, and leaves them open
                log.removeHandler(handler)
                handler.close()
        results = getattr(ended.result, "results", None)
        if not isinstance(results, list | tuple):
            return {}, str(ended.exception or "")
        said = "\n".join(str(result.message) for result in results)
        return {result.node.name: str(result.status) for result in results}, said + str(ended.exception or "")

    def read(self, statement: str) -> list[tuple[object, ...]]:
        """What the team's login reads."""
        with psycopg.connect(self.address) as connection:
            return connection.execute(statement.encode()).fetchall()

    def _write(self, name: str, content: object) -> None:
        (self.folder / name).write_text(yaml.safe_dump(content))


@pytest.fixture
def team(filled, tmp_path, monkeypatch):
    """The project, its packages installed."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("DBT_")]:
        monkeypatch.delenv(name)
    address = consumers.create("their_team", by="a test")
    with filled.database.connect(Role.ADMIN) as connection:
        connection.execute("create schema their_models authorization their_team")
    made = Team(tmp_path, address)
    made.dbt("deps")
    yield made
    with filled.database.connect(Role.ADMIN) as connection:
        connection.execute("drop schema their_models cascade")
    consumers.drop("their_team", by="a test")


def make_unsafe(platform, day: str) -> None:
    """A correction of the day that fails the gate of what is read."""
    run = platform.admit("shop", day)
    platform.deliver(run, "orders", day, (5, 6))
    platform.renew(run, "stg_orders", day, amounts=(5, 6))
    platform.finish(run)


def test_a_build_is_served_on_the_good_day_and_fails_with_the_reasons_on_the_bad_one(filled, team):
    ref = f"{{{{ interlock.safe_ref('fct_orders', first='{DAY}', last='{NEXT}') }}}}"
    team.model("as_table", f"{{{{ config(materialized='table') }}}} select day, amount from {ref} as orders")
    team.model("as_view", f"{{{{ config(materialized='view') }}}} select day, amount from {ref} as orders")
    statuses, said = team.dbt("run")
    assert statuses == {"as_table": "success", "as_view": "success"}, said
    read = "select amount from their_models.as_view order by day, amount"
    served = team.read(read)
    assert served == team.read("select amount from safe.fct_orders order by day, amount") != []
    relied = filled.rows(
        Role.OPERATOR, "select distinct who, via, partition from interlock.reliance where safe order by 3"
    )
    assert relied == [("their_team", "dbt", DAY), ("their_team", "dbt", NEXT)], "a recall will find them"

    make_unsafe(filled, DAY)
    statuses, said = team.dbt("run", "--select", "as_table")
    assert statuses == {"as_table": "error"}
    assert f"not safe on 1 of the days from {DAY} to {NEXT}" in said
    assert "stg_orders" in said, "the reason is told"
    assert team.read("select amount from their_models.as_table order by day, amount") == served, "what was built stays"
    with pytest.raises(psycopg.Error, match="is not safe on 1 of the days") as refused:
        team.read(read)
    assert refused.value.sqlstate == "IL020"
    assert json.loads(refused.value.diag.message_detail)["unsafe"] == [DAY]


def test_a_run_that_requires_safety_at_its_start_builds_nothing_and_the_test_of_a_source_names_the_reason(filled, team):
    team.declare(**{"on-run-start": f"{{{{ interlock.require_safe(['fct_orders'], partition='{DAY}') }}}}"})
    team.model("anything", "select 1 as one")
    team.sources()
    assert team.dbt("build")[0]["anything"] == "success"

    make_unsafe(filled, DAY)
    statuses, said = team.dbt("run")
    assert statuses.get("anything") != "success"
    assert "fct_orders partition 2013-01-05 is unsafe" in said
    team.declare()
    statuses, said = team.dbt("test")
    assert "fail" in set(statuses.values()), said


@pytest.mark.parametrize(
    "arguments",
    [
        f"first='{DAY}'",
        f"last='{DAY}', first='{DAY}', partition='{DAY}'",
        "partition=var('day', none)",
        "first='', last=''",
    ],
)
def test_half_a_range_or_a_missing_variable_is_refused_before_anything_is_asked(team, arguments):
    team.model("wrong", f"select * from {{{{ interlock.safe_ref('fct_orders', {arguments}) }}}} as orders")
    statuses, said = team.dbt("compile")
    assert "give `partition`, or `first` and `last`" in said, statuses
