"""What a gate looks at: the rows of one sealed candidate, or of loads, each row assigned to its partition.

Nothing outside the candidate is read under this name, and nothing in it is left out: the subject of a staged or
curated version is its table in schema `versions`, the subject of loads is every raw row that carries their ids.
Raw columns are text; the contract's null tokens read as null here, and a column with a logical type has a second
face, `<column>__typed`, which is null where the text cannot be read as that type (a check of its own says so).
"""

# ruff: noqa: S608 (composed of checked names and literals alone: see sqltext)

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any

from interlock.contracts.checks import CheckKind
from interlock.quality.sqltext import identifier, literal, literals, reads_as, type_name

if TYPE_CHECKING:
    from interlock.contracts.checks import Check
    from interlock.contracts.model import Contract

TYPED = "__typed"
ROW_NUMBER = "_row_number"
PARTITION = "_partition"


@dataclass(frozen=True)
class Subject:
    """A query with one row for each row that is judged, and the SQL expression that tells a row's partition."""

    query: str
    key: str
    partitions: Mapping[Any, str]
    typed: frozenset[str]
    key_columns: tuple[str, ...]

    def column(self, name: str) -> str:
        """The column as SQL, in its logical type."""
        return identifier(name + TYPED if name in self.typed else name)

    def face(self, name: str, values: Sequence[Any]) -> str:
        """The name of the column to compare with the values: typed for numbers, as delivered for text."""
        are_numbers = all(isinstance(value, int | float) for value in values)
        return name + TYPED if are_numbers and name in self.typed else name

    def limited_to(self, partitions: Sequence[str]) -> Subject:
        """The same rows of some partitions alone."""
        kept = {key: partition for key, partition in self.partitions.items() if partition in set(partitions)}
        query = f"select * from ({self.query}) as subject where {self.key} in ({literals(kept)})"
        return replace(self, query=query, partitions=kept)

    def without(self, rows: Mapping[str, Iterable[int]]) -> Subject:
        """The same loads less some of their rows, which are named by partition and row number."""
        loads = {partition: load for load, partition in self.partitions.items()}
        named = [(int(loads[partition]), int(row)) for partition, found in rows.items() for row in found]
        if not named:
            return self
        ids = (f"array[{literals(column)}]::bigint[]" for column in zip(*named, strict=True))
        query = (
            f"select * from ({self.query}) as subject"
            f" where (_load_id, {ROW_NUMBER}) not in (select * from unnest({', '.join(ids)}))"
        )
        return replace(self, query=query)

    @property
    def is_one_partition(self) -> bool:
        """Whether a finding on the whole is a finding on its only partition."""
        return len(self.partitions) == 1


def version_subject(contract: Contract, version: int, partitions: Sequence[str]) -> Subject:
    """The rows of a sealed staged or curated version."""
    table = f"versions.{identifier(f'{contract.dataset}__v{version}')}"
    column = contract.partition.column
    return Subject(
        query=f"select * from {table}",
        key=identifier(column) if column else literal("all"),
        partitions={date.fromisoformat(part): part for part in partitions} if column else {"all": "all"},
        typed=frozenset(),
        key_columns=contract.primary_key,
    )


def served_subject(contract: Contract, versions: Mapping[str, int]) -> Subject:
    """The rows of partitions that are served in several versions, each partition in its own."""
    names = ", ".join(identifier(column.name) for column in contract.columns)
    column = contract.partition.column
    parts = []
    for version in dict.fromkeys(versions.values()):
        days = [date.fromisoformat(part) for part, of_version in versions.items() if of_version == version and column]
        where = f" where {identifier(column)} in ({literals(days)})" if column else ""
        parts.append(f"select {names} from versions.{identifier(f'{contract.dataset}__v{version}')}{where}")
    rest = version_subject(contract, next(iter(versions.values())), list(versions))
    return replace(rest, query=" union all ".join(parts))


def load_subject(contract: Contract, checks: Sequence[Check], loads: Mapping[int, str]) -> Subject:
    """The rows of closed loads of a feed, as delivered; `loads` names the partition of each."""
    tokens = contract.delivery.null if contract.delivery else ()
    types = {check.columns[0]: check.arguments["type"] for check in checks if check.kind is CheckKind.CASTABLE}
    columns = [column.name for column in contract.columns]
    delivered = ", ".join(_as_delivered(name, tokens) for name in columns)
    readable = "".join(f", {_as_typed(name, kind)}" for name, kind in types.items() if name in columns)
    table = f"{identifier(f'raw_{contract.domain}')}.{identifier(contract.dataset)}"
    partition = " ".join(f"when {int(load)} then {literal(part)}" for load, part in loads.items())
    rows = (
        f"select {delivered}, _load_id, {ROW_NUMBER}, case _load_id {partition} end as {PARTITION}"
        f" from {table} as delivered where _load_id in ({literals(loads)})"
        " and not exists (select from interlock.quarantined_row q"
        f" where q.load_id = delivered._load_id and q.row_number = delivered.{ROW_NUMBER})"
    )
    return Subject(
        query=f"select delivered.*{readable} from ({rows}) as delivered",
        key="_load_id",
        partitions=dict(loads),
        typed=frozenset(types),
        key_columns=(*contract.primary_key, ROW_NUMBER),
    )


def _as_delivered(name: str, tokens: Sequence[str]) -> str:
    # A chain of nullif: the planner repeats the expression wherever the column is used, and `in` costs twice as much.
    value = column = identifier(name)
    for token in tokens:
        value = f"nullif({value}, {literal(token)})"
    return f"{value} as {column}"


def _as_typed(name: str, kind: str) -> str:
    column, target = identifier(name), type_name(kind)
    return f"case when {reads_as(column, kind)} then cast({column} as {target}) end as {identifier(name + TYPED)}"
