"""What a verdict keeps of each check: what was expected and observed, counts, and a few keys to start looking from.

Evidence is read by people who may not see the data: values of classified columns are masked in the keys, and the
database's own words, which tend to quote a value, are left out where a dataset has any.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interlock.contracts.checks import Check
    from interlock.contracts.model import Contract

MASK = "***"
_PUBLIC = (None, "", "public")


@dataclass(frozen=True)
class Evidence:
    """The finding of one check on one partition."""

    check: Check
    success: bool
    message: str
    evaluated_rows: int
    observed: Any = None
    unexpected_count: int | None = None
    sample_keys: Sequence[dict[str, Any]] = field(default=())
    expected: str | None = None
    is_bootstrapped: bool = False
    account: dict[str, Any] | None = None

    def document(self) -> dict[str, Any]:
        """The finding as JSON, without what there is nothing to say on: a year of verdicts is written in one go."""
        found = {
            "clause": self.check.id,
            "kind": str(self.check.kind),
            "severity": str(self.check.severity),
            "success": self.success,
            "expected": self.expected or self.check.expected,
            "evaluated_rows": self.evaluated_rows,
            "observed": _plain(self.observed),
            "unexpected_count": self.unexpected_count,
            "sample_keys": list(self.sample_keys) or None,
            "bootstrapped": self.is_bootstrapped or None,
            "account": self.account,
            "message": self.message,
        }
        return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True)
class Discretion:
    """Which columns of a dataset nobody reads in a verdict."""

    classified: frozenset[str]

    def masked(self, sample: dict[str, Any]) -> dict[str, Any]:
        """One key with classified values replaced."""
        return {
            name: MASK if name in self.classified and value is not None else _plain(value)
            for name, value in sample.items()
        }

    def told(self, error: str) -> str:
        """An error in words that quote no classified value: only its kind where one might."""
        if not self.classified:
            return error
        kind = error[1 : error.index(")")] if error.startswith("(psycopg.errors.") else "an error"
        return f"{kind} (its text is withheld: the dataset has classified columns)"


def discretion(contract: Contract) -> Discretion:
    """The columns that the contract classifies as anything but public."""
    return Discretion(frozenset(column.name for column in contract.columns if column.classification not in _PUBLIC))


def subject_of(check: Check) -> str:
    """What a sentence about the check begins with."""
    return ", ".join(check.columns) or check.id


def figure(value: float | None) -> str:
    """A number as people write it."""
    if value is None:
        return "nothing"
    if not math.isfinite(value):
        return str(value)
    return f"{value:,.0f}" if value == int(value) else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.1f}"


def between(low: float | None, high: float | None) -> str:
    """Bounds as people write them."""
    if low is not None and high is not None:
        return figure(low) if low == high else f"between {figure(low)} and {figure(high)}"
    if low is None and high is None:
        return "no bounds are set"
    return f"at least {figure(low)}" if low is not None else f"at most {figure(high)}"


def _plain(value: Any) -> Any:
    """A value that JSON can hold; a number that it cannot is told as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value.isoformat() if isinstance(value, date | datetime) else str(value)
