"""The words in which a contract speaks to a gate: a check, its kind, its severity and its scope.

They stand apart from what compiles to them, so that a gate knows neither YAML nor the standard.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Severity(StrEnum):
    """What a failure does: block the partition, set its rows aside within the contract's budget, or be carried."""

    CRITICAL = "critical"
    QUARANTINE = "quarantine"
    WARNING = "warning"

    @property
    def blocks(self) -> bool:
        """Whether a partition needs this check to have succeeded; a quarantine succeeds within its budget."""
        return self is not Severity.WARNING


class Scope(StrEnum):
    """`row`: holds for every row, so it may be judged on a union; `partition`: a measure of one partition."""

    ROW = "row"
    PARTITION = "partition"


class CheckKind(StrEnum):
    """The kinds of checks that a gate must know."""

    COLUMN_EXISTS = "column_exists"
    NOT_NULL = "not_null"
    UNIQUE = "unique"
    REPEATS = "repeats"
    CASTABLE = "castable"
    BETWEEN = "between"
    IN_SET = "in_set"
    MATCHES = "matches"
    MAX_LENGTH = "max_length"
    FOREIGN_KEY = "foreign_key"
    ROW_EXPRESSION = "row_expression"
    ROW_COUNT = "row_count"
    MEASURE_BETWEEN = "measure_between"
    BASELINE = "baseline"
    RECONCILES = "reconciles"
    ACCOUNTS = "accounts"
    SQL_MEASURE = "sql_measure"
    EXPECTATION = "expectation"


# Checks of which each failing row can be named; of two rows with one key, nobody can say which is wrong.
ABOUT_SINGLE_ROWS = frozenset(
    {
        CheckKind.NOT_NULL,
        CheckKind.CASTABLE,
        CheckKind.BETWEEN,
        CheckKind.IN_SET,
        CheckKind.MATCHES,
        CheckKind.MAX_LENGTH,
        CheckKind.FOREIGN_KEY,
        CheckKind.ROW_EXPRESSION,
        CheckKind.EXPECTATION,
    }
)


class Check(BaseModel):
    """One thing that must hold.

    `arguments` depend on the kind; `expected` says in words what must hold; `source` is where it is promised.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    kind: CheckKind
    columns: tuple[str, ...] = ()
    arguments: dict[str, Any] = Field(default_factory=dict)
    severity: Severity = Severity.CRITICAL
    scope: Scope = Scope.ROW
    description: str = ""
    source: str = ""
    expected: str = ""
