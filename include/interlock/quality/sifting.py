"""What is taken out of a delivery before the rest is judged: rows that a check sets aside, and copies of other rows.

Both stay in raw as they were delivered. Everything else is judged on what remains, so that the volume of a day with
copies, and the history that it becomes, are those of the same day without. The order matters: a bad row is set aside
with all its copies, or one of these would pass for the good one. More than the contract allows, and nothing is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interlock.contracts.checks import CheckKind, Severity
from interlock.quality import rows
from interlock.quality.rows import Breaches

if TYPE_CHECKING:
    from interlock.contracts.checks import Check
    from interlock.contracts.model import Contract
    from interlock.quality.subjects import Subject
    from interlock.quality.suites import Suites


@dataclass
class Sifted:
    """What remains, what was taken out of it, and the checks that are answered by that already.

    `aside` names, by partition, each row that is set aside with the checks that it does not meet; `copies` the rows
    that repeat an earlier one.
    """

    subject: Subject
    aside: dict[str, dict[int, list[str]]] = field(default_factory=dict)
    copies: dict[str, list[int]] = field(default_factory=dict)
    breaches: dict[str, Breaches] = field(default_factory=dict)

    def taken(self, partition: str) -> int:
        """How many rows of a partition were taken out."""
        return len(self.aside.get(partition, ())) + len(self.copies.get(partition, ()))


def sift(running: Suites, contract: Contract, checks: Sequence[Check], subject: Subject, *, sets_aside: bool) -> Sifted:
    """Take out what the contract lets pass by. Nothing new is set aside where a verdict was reached before."""
    found = Sifted(subject)
    if sets_aside:
        _set_aside(running, contract, checks, found)
    _absorb(running, contract, checks, found)
    return found


def _set_aside(running: Suites, contract: Contract, checks: Sequence[Check], found: Sifted) -> None:
    budget = contract.quarantine
    asked = [check for check in checks if check.severity is Severity.QUARANTINE]
    if not asked or budget is None:
        return
    found.breaches |= rows.breaches(running, found.subject, asked)
    guilty: dict[str, dict[int, list[str]]] = {}
    for check in (check for check in asked if found.breaches[check.id].counts):
        for partition, row in rows.guilty(running, found.subject, check, budget.rows + 1):
            guilty.setdefault(partition, {}).setdefault(row, []).append(check.id)
    if guilty:
        delivered = rows.counted(running, found.subject)
        found.aside = {
            partition: named for partition, named in guilty.items() if budget.allows(len(named), delivered[partition])
        }
        found.subject = found.subject.without(found.aside)


def _absorb(running: Suites, contract: Contract, checks: Sequence[Check], found: Sifted) -> None:
    """Contents are compared only where a key repeats: to look for that is the check of the key, as for every feed."""
    budget = contract.delivery.repeats if contract.delivery else None
    keys = [check for check in checks if check.kind is CheckKind.UNIQUE and check.columns == contract.primary_key]
    told = [check for check in checks if check.kind is CheckKind.REPEATS]
    if budget is None or not keys:
        return
    found.breaches |= {check.id: Breaches() for check in told}
    answers = rows.breaches(running, found.subject, keys[:1])
    if not answers[keys[0].id].counts:
        found.breaches |= answers
        return
    names = [column.name for column in contract.columns]
    copies = rows.copies(running, found.subject, keys[0], names, budget.rows + 1)
    delivered = rows.counted(running, found.subject)
    found.copies = {part: named for part, named in copies.items() if budget.allows(len(named), delivered[part])}
    found.subject = found.subject.without(found.copies)
    counts: dict[str, int | None] = {part: len(named) for part, named in found.copies.items()}
    found.breaches |= {check.id: Breaches(counts=counts) for check in told}
