"""The reference: the same work as bare SQL.

COPY, INSERT ... SELECT for each model, one aggregate statement of checks a table.

The models' SQL is what dbt compiles them to, so both sides compute the same rows; the checks are the
row-level checks of the contracts, each as one aggregate in one statement for its table.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg import sql
from tests.benchmarks.platform import dbt_environment

from interlock.contracts.checks import CheckKind
from interlock.contracts.loading import checks_of, load_contracts
from interlock.contracts.model import Layer
from interlock.db.connection import Role, connect
from interlock.quality import subjects, violations
from interlock.transform.candidates import in_workspace
from interlock.transform.lineage import Lineage
from interlock.transform.project import invoke

if TYPE_CHECKING:
    from interlock.contracts.model import Catalog, Contract
    from interlock.db.connection import Connection

ROW_CHECKS = {CheckKind.CASTABLE, CheckKind.BETWEEN, CheckKind.ROW_EXPRESSION, CheckKind.MAX_LENGTH}
CHUNK = 1 << 20


class Bare:
    """The same datasets in a schema of plain tables, without versions, verdicts or anybody to ask."""

    def __init__(self, schema: str = "bare", domains: Iterable[str] | None = None) -> None:
        self.schema = schema
        self.catalog: Catalog = load_contracts()
        self.domains = set(domains or self.catalog.domains)
        self.order = [name for name in Lineage(self.catalog).order if self.catalog[name].domain in self.domains]
        self._compiled: dict[str, str] = {}

    def prepare(self) -> None:
        """Make the tables and compile the models: what exists before a working day begins, and is not timed."""
        with connect(Role.ADMIN, autocommit=True) as connection:
            connection.execute(f'drop schema if exists "{self.schema}" cascade')
            connection.execute(f'create schema "{self.schema}"')
            for name in self.order:
                contract = self.catalog[name]
                columns = ", ".join(f'"{c.name}" {c.physical_type}' for c in contract.columns)
                extra = (
                    ", _load_id bigint default 1, _loaded_at timestamptz default now(), _source_file text default '-',"
                    " _row_number bigint default 1, _partition text, _delivered_on date default '2013-01-01',"
                    " _sequence bigint"
                )
                is_raw = contract.layer is Layer.RAW
                connection.execute(
                    f"create table {self._table(contract)} ({columns}{extra if is_raw else ''})".encode()
                )
            database = connection.info.dbname
        os.environ.update(dbt_environment(Role.ADMIN, self.schema))
        result = invoke(["compile", "--no-write-json"], in_workspace(self.schema, database))
        self._compiled = {
            item.node.name: item.node.compiled_code for item in result.result if item.node.resource_type == "model"
        }

    def copy(self, files: Iterable[tuple[str, Path]]) -> int:
        """COPY files, given with their feed, into the tables of text; returns the rows."""
        rows = 0
        with connect(Role.ADMIN) as connection:
            for feed, file in files:
                rows += self._copy(connection, self.catalog[feed], file)
        return rows

    def build(self) -> None:
        """INSERT ... SELECT for each model, inputs first."""
        with connect(Role.ADMIN) as connection:
            for name in self.order:
                contract = self.catalog[name]
                if contract.layer is not Layer.RAW:
                    names = ", ".join(f'"{c.name}"' for c in contract.columns)
                    built = f"select {names} from ({self._compiled[name]}) as built"
                    connection.execute(f"insert into {self._table(contract)} ({names}) {built}".encode())
            connection.execute("analyze")

    def check(self) -> None:
        """The row-level checks of each contract as one aggregate statement a table."""
        with connect(Role.ADMIN) as connection:
            for name in self.order:
                connection.execute(self._checks(self.catalog[name]).encode()).fetchone()

    def empty(self) -> None:
        """Start again."""
        with connect(Role.ADMIN) as connection:
            for name in self.order:
                connection.execute(f"truncate {self._table(self.catalog[name])}".encode())

    def _table(self, contract: Contract) -> str:
        suffix = "_accepted" if contract.layer is Layer.RAW else ""
        return f'"{self.schema}"."{contract.dataset}{suffix}"'

    def _copy(self, connection: Connection, contract: Contract, file: Path) -> int:
        with file.open("rb") as stream:
            header = stream.readline().decode().strip().replace('"', "").split(",")
            columns = sql.SQL(", ").join(map(sql.Identifier, header))
            command = sql.SQL("copy {} ({}) from stdin (format csv)").format(sql.SQL(self._table(contract)), columns)
            cursor = connection.cursor()
            with cursor.copy(command) as copy:
                while chunk := stream.read(CHUNK):
                    copy.write(chunk)
        return cursor.rowcount

    def _checks(self, contract: Contract) -> str:
        checks = checks_of(contract)
        subject = subjects.version_subject(contract, 0, ["2013-01-01"])
        query = f"select * from {self._table(contract)}"
        if contract.layer is Layer.RAW:
            subject = subjects.load_subject(contract, checks, {1: "2013-01-01"})
            query = subject.query.replace(f'"raw_{contract.domain}"."{contract.dataset}"', self._table(contract))
        parts = ["count(*)"]
        for check in checks:
            if check.kind is CheckKind.NOT_NULL:
                parts.append(f'count(*) filter (where "{check.columns[0]}" is null)')
            elif check.kind is CheckKind.UNIQUE:
                names = ", ".join(f'"{name}"' for name in check.columns)
                parts.append(f"count(distinct ({names}))")
            elif check.kind in ROW_CHECKS and "_partition" not in str(check.arguments.get("expression", "")):
                parts.append(f"count(*) filter (where {violations.condition(check, subject)})")
        return f"select {', '.join(parts)} from ({query}) as subject"
