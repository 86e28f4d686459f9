"""What of a verdict's evidence may be passed on: findings, and no value of a column that its contract classifies.

The gate masks sample keys when it judges. A column may be classified afterwards, and a measure can be a value (the
largest salary is somebody's): so what is passed on is looked at again, by the contract as it is now. Of a dataset
without a contract nobody knows what is classified, so all of it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from interlock.db.disclosure import told
from interlock.quality.evidence import MASK, discretion

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interlock.contracts.checks import Check
    from interlock.contracts.model import Contract
    from interlock.safety.explanations import Finding

WITHHELD = "not as expected; what was found is withheld, for the column is classified"


def disclosed(findings: Iterable[Finding], contract: Contract | None) -> tuple[Finding, ...]:
    """The findings of one verdict, fit for whoever may ask."""
    delicate = delicate_clauses(contract)
    return tuple(_disclosed(finding, contract, delicate) for finding in findings)


def delicate_clauses(contract: Contract | None) -> frozenset[str] | None:
    """The clauses whose findings may hold a classified value; None of a dataset whose contract is gone: any may."""
    from interlock.contracts.loading import checks_of

    if contract is None:
        return None
    classified = discretion(contract).classified
    return frozenset(check.id for check in checks_of(contract) if classified and is_about(check, classified))


def is_about(check: Check, columns: frozenset[str]) -> bool:
    """Whether a check looks at one of the columns: by name, in a measure, or anywhere in its own words."""
    return bool(columns & set(check.columns)) or any(column in str(check.arguments) for column in columns)


def _disclosed(finding: Finding, contract: Contract | None, delicate: frozenset[str] | None) -> Finding:
    is_delicate = delicate is None or finding.clause in delicate
    message = told(finding.message) or ""
    if is_delicate and finding.observed is not None:
        message = f"{finding.clause}: {WITHHELD}"
    return finding.model_copy(
        update={
            "message": message,
            "observed": MASK if is_delicate and finding.observed is not None else finding.observed,
            "sample_keys": tuple(_masked(key, contract) for key in finding.sample_keys),
        }
    )


def _masked(key: Any, contract: Contract | None) -> Any:
    if not isinstance(key, dict):
        return MASK
    if contract is None:
        return dict.fromkeys(key, MASK)
    return discretion(contract).masked(key)
