"""The verdicts of the gates, read: which there were, and what each found. Nothing here can give one."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from interlock.contracts.loading import readable_contracts
from interlock.db.connection import Role, connect
from interlock.db.failures import translated
from interlock.db.listing import Selection, rows
from interlock.errors import Unknown
from interlock.quality.disclosure import disclosed
from interlock.safety.explanations import Finding


class Verdict(BaseModel):
    """One verdict. `failed` counts the checks that did not succeed, warnings among them; `is_served`: it stands."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    verdict_id: int
    dataset: str
    domain: str
    layer: str
    partition: str
    version: int
    outcome: str
    contract_version: str
    bootstrapped: bool
    warnings: int
    failed: int
    checks: int
    is_served: bool
    run_id: int
    judged_at: datetime


class VerdictDetail(Verdict):
    """One verdict with every finding, the failed ones first."""

    clause_digest: str
    findings: tuple[Finding, ...]


def verdicts(selection: Selection) -> list[Verdict]:
    """Verdicts, newest first; `states` are outcomes. The key of one is its number."""
    with translated(), connect(Role.AUDITOR, autocommit=True) as connection:
        found = rows(connection, "quality/verdicts.sql", selection.values(after_id=int) | {"verdict_id": None})
    return [Verdict(**{name: row[name] for name in Verdict.model_fields}) for row in found]


def verdict(verdict_id: int) -> VerdictDetail:
    """One verdict. Raises Unknown where there is none of that number."""
    values = Selection(limit=1).values(after_id=int) | {"verdict_id": verdict_id}
    with translated(), connect(Role.AUDITOR, autocommit=True) as connection:
        found = rows(connection, "quality/verdicts.sql", values)
    if not found:
        raise Unknown(f"There is no verdict {verdict_id}.", fix="Those of a partition are named in its answer.")
    findings = sorted(
        map(Finding.model_validate, found[0].pop("evidence")), key=lambda item: (item.success, item.clause)
    )
    contract = readable_contracts().get(found[0]["dataset"])
    return VerdictDetail(**found[0], findings=disclosed(findings, contract))
