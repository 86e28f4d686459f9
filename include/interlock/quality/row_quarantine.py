"""Rows that a gate set aside: what they are, how they go through the gates again, and how they are given up.

They never leave raw, where they lie exactly as they were delivered; what is kept of each is where it lies, why, and by
which contract. A replay makes them, and the rows beside them, a load of its own, which passes the same gates as any.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from interlock.db.connection import Role, connect, statement
from interlock.db.failures import translated
from interlock.errors import UsageError
from interlock.quality import evidence

if TYPE_CHECKING:
    from interlock.contracts.model import Contract


class Group(BaseModel):
    """Rows of one load that were set aside for the same reasons. `state` is held, replayed, superseded or discarded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    domain: str
    partition: str
    load_id: int
    source_file: str
    state: str
    reasons: tuple[str, ...]
    rows: int
    since: datetime
    contract_version: str
    discard_reason: str | None


class Row(BaseModel):
    """One row as it was delivered, but for classified values, which are masked. The first after the header is row 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    load_id: int
    source_file: str
    row_number: int
    state: str
    reasons: tuple[str, ...]
    contract_version: str
    values: dict[str, Any]


def groups(dataset: str | None = None, *, is_all: bool = False) -> list[Group]:
    """What is held, or with `is_all` everything that ever was."""
    with translated(), connect(Role.AUDITOR, autocommit=True) as connection:
        rows = connection.execute(
            statement("quality/row_quarantine.sql").encode(), {"dataset": dataset, "is_all": is_all}
        ).fetchall()
    names = tuple(Group.model_fields)
    return [Group(**dict(zip(names, row, strict=True))) for row in rows]


def rows(contract: Contract, partition: str, most: int) -> list[Row]:
    """The first rows of a partition that were set aside, in the order of their delivery, newest load first."""
    from psycopg import sql

    columns = [column.name for column in contract.columns]
    query = sql.SQL(
        "select q.load_id, q.source_file, q.row_number, q.state, q.reasons, q.contract_version, {columns}"
        " from interlock.row_quarantine q join {table} r on r._load_id = q.load_id and r._row_number = q.row_number"
        " where q.dataset = %s and q.partition = %s order by q.load_id desc, q.row_number limit %s"
    ).format(
        columns=sql.SQL(", ").join(sql.Identifier("r", name) for name in columns),
        table=sql.Identifier(f"raw_{contract.domain}", contract.dataset),
    )
    discretion = evidence.discretion(contract)
    places = [name for name in Row.model_fields if name != "values"]
    with translated(), connect(Role.GATE, autocommit=True) as connection:
        found = connection.execute(query, [contract.dataset, partition, most]).fetchall()
    return [
        Row(
            **dict(zip(places, row[: len(places)], strict=True)),
            values=discretion.masked(dict(zip(columns, row[len(places) :], strict=True))),
        )
        for row in found
    ]


def request_replay(dataset: str, partition: str, by: str) -> int:
    """Ask that a partition's rows go through the gates again, with its next run; how many wait for it."""
    return _asked("request_replay", dataset, partition, by)


def discard(dataset: str, partition: str, numbers: Sequence[int] | None, reason: str, by: str) -> int:
    """Give held rows of a partition up, all of them or those numbered; how many. The reason and the author are kept."""
    if not reason.strip():
        raise UsageError("A row is not given up without a reason.", fix="Say why with --reason.")
    return _asked("discard_rows", dataset, partition, list(numbers) if numbers else None, reason, by)


def _asked(function: str, *arguments: Any) -> int:
    from psycopg import sql

    query = sql.SQL("select interlock.{}({})").format(
        sql.Identifier(function), sql.SQL(", ").join(sql.Placeholder() * len(arguments))
    )
    with translated(), connect(Role.OPERATOR, autocommit=True) as connection:
        found = connection.execute(query, arguments).fetchone()
    return int(found[0]) if found else 0
