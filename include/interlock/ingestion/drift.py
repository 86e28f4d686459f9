"""The header against the contract, by name: what is missing, what is extra, and what was probably renamed.

Order is not looked at. Position is how a column of dollars becomes a column of euros without anybody being
told, so nothing here ever goes by it. Whether *values* still fit their types is the raw gate's to judge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from interlock.contracts.model import DriftPolicy
from interlock.ingestion.errors import ColumnsDrifted, listed

if TYPE_CHECKING:
    from interlock.contracts.model import Contract
    from interlock.ingestion.sources import Source

READERS: dict[str, Callable[[str], object]] = {
    "integer": int,
    "number": float,
    "date": date.fromisoformat,
    "timestamp": datetime.fromisoformat,
}


class Drift(BaseModel):
    """How a header differs from a contract. A renamed column is also one missing and one extra."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    missing: tuple[str, ...]
    extra: tuple[str, ...]
    renamed: tuple[str, str] | None = None

    def decision(self, contract: Contract) -> DriftPolicy:
        """What the contract says to do: `quarantine` only where it says so of everything that was found."""
        policy = contract.drift
        if self.renamed:
            return policy.renamed
        found = [policy.missing] * bool(self.missing) + [policy.extra] * bool(self.extra)
        is_kept = all(decision is DriftPolicy.QUARANTINE for decision in found)
        return DriftPolicy.QUARANTINE if is_kept else DriftPolicy.FAIL


def drift_of(source: Source, contract: Contract) -> Drift | None:
    """The difference between a delivery's columns and its contract's; None where there is none."""
    promised = {column.name: column for column in contract.columns}
    missing = tuple(name for name in promised if name not in source.columns)
    extra = tuple(name for name in source.columns if name not in promised)
    if not missing and not extra:
        return None
    renamed = None
    if len(missing) == len(extra) == 1:
        position = source.columns.index(extra[0])
        nulls = contract.delivery.null if contract.delivery else ()
        values = [row[position] for row in source.sample() if row[position] not in nulls]
        if values and fits(values, promised[missing[0]].logical_type):
            renamed = (missing[0], extra[0])
    return Drift(missing=missing, extra=extra, renamed=renamed)


def refusal(file: str, drift: Drift, contract: Contract) -> ColumnsDrifted:
    """The error that says what the difference is, and who can mend it."""
    parts = []
    if drift.renamed:
        was, now = drift.renamed
        parts.append(
            f"column {listed([was])} is missing and {listed([now])} is new, with values that fit it: it looks renamed"
        )
    else:
        parts += [f"{_listed(drift.missing)} missing"] * bool(drift.missing)
        parts += [f"{_listed(drift.extra)} not in the contract"] * bool(drift.extra)
    return ColumnsDrifted(
        file,
        f"its columns are not those of the contract of {contract.dataset} {contract.version}: {'; '.join(parts)}.",
        fix="Have the producer deliver the promised columns again; if the change is meant, change the contract "
        f"{contract.path.name} (and what reads it) first.",
        missing=list(drift.missing),
        extra=list(drift.extra),
        renamed=list(drift.renamed) if drift.renamed else None,
    )


def fits(values: Sequence[str], logical_type: str) -> bool:
    """Whether sampled values could be of a logical type. A hint for a message, and for which policy to ask."""
    read = READERS.get(logical_type, str)
    try:
        for value in values:
            read(value)
    except ValueError:
        return False
    return True


def _listed(names: Sequence[str]) -> str:
    return ("column " if len(names) == 1 else "columns ") + listed(names)
