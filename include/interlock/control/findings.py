"""Findings: facts about what is served or built. They say what was found, and leave to the rules what to do about it.

Whoever finds something reports it here: a later check, a reconciliation, a producer's recall, a person. What was
reported stays on record, whatever comes of it; the same fact again is the finding that is there. Detection ends here:
`rules` recommend, and `actions` carry out what the policy lets them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

from psycopg.types.json import Jsonb
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from interlock.control import policy
from interlock.control.actions import NotEntitled
from interlock.control.questions import Actor, Evidence, Name, Right
from interlock.db.connection import Role, connect, statement
from interlock.db.failures import translated
from interlock.errors import InterlockError, Unknown

if TYPE_CHECKING:
    from interlock.db.connection import Connection

logger = logging.getLogger(__name__)


def _storable(text: str) -> str:
    return text.replace("\0", " ")


Message = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2_000), AfterValidator(_storable)
]


class Fact(StrEnum):
    """What kinds of facts there are; the policy knows them by these names."""

    FAILED_CHECK = "failed_check"  # a check that was made later than the gate
    FAILED_RECONCILIATION = "failed_reconciliation"  # with a source, or with another system
    PRODUCER_RECALL = "producer_recall"  # the producer takes back what it delivered
    HELD_CANDIDATES = "held_candidates"  # so many in a row of one dataset failed their gate


class Standing(StrEnum):
    """Where a version stands that something was found about."""

    SERVED = "served"
    HIDDEN = "hidden"  # still part of what is served together, and out of sight because of another part of it
    WITHDRAWN = "withdrawn"
    GONE = "gone"  # another version took its place, or it was never served
    PAUSED = "paused"  # of a dataset: it stands still already


class Finding(BaseModel):
    """What was found. Without a version it is about the one that is served; without a root it begins its own chain.

    Held candidates are about a dataset: they have no partition and no version.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Fact
    dataset: Name
    partition: Name | None = None
    version: int | None = None
    count: int = Field(default=1, gt=0)
    root: Name | None = None
    message: Message
    evidence: dict[str, Any] = {}


class Reported(Finding):
    """A finding on record. `answered_by` is the action that took it up, `note` why none did."""

    finding_id: int
    root: Name
    reported_by: Actor
    reported_at: datetime
    answered_by: int | None = None
    note: str | None = None

    @property
    def ref(self) -> str:
        """What evidence calls it."""
        return f"finding:{self.finding_id}"

    @property
    def as_evidence(self) -> Evidence:
        """As the policy sees it."""
        return Evidence(
            kind=self.kind.value,
            ref=self.ref,
            root=self.root,
            dataset=self.dataset,
            partition=self.partition,
            version=self.version,
            count=self.count,
            at=int(self.reported_at.timestamp()),
        )


class Open(Reported):
    """A finding that nothing has come of yet; `tries` are actions from it that came to nothing."""

    standing: Standing
    tries: int


def report(finding: Finding, by: Actor) -> int:
    """Put a fact on record and let the rules answer it at once; returns its number.

    Raises UsageError where the dataset or the version is not known, NotEntitled where the actor may not propose.
    What keeps the rules from answering is logged: the next sweep lets them try again.
    """
    return report_all([finding], by)[0]


def report_all(found: Sequence[Finding], by: Actor) -> list[int]:
    """Put facts on record together, so that the rules answer those with one root as one; otherwise as `report`."""
    from interlock.control import rules

    numbers = record(found, by)
    try:
        rules.answer()
    except InterlockError as failure:
        logger.warning("findings %s wait for their rules: %s", ", ".join(map(str, numbers)), failure)
    return numbers


def record(found: Sequence[Finding], by: Actor) -> list[int]:
    """Put facts on record, in one transaction, and leave what they mean to the next sweep."""
    if Right.PROPOSE not in by.rights:
        raise NotEntitled(
            f"{by.name} may not report findings: actions are proposed from them.",
            fix="Ask for a token with the scope `propose`: `interlock token create`.",
        )
    document = Jsonb(by.model_dump(mode="json"))
    numbers = []
    with translated(), connect(Role.OPERATOR) as connection:
        for finding in found:
            _require_domain(connection, finding.dataset, by)
            fact = Jsonb(finding.model_dump(mode="json", exclude_none=True))
            row = connection.execute("select interlock.report_finding(%s, %s)", [fact, document]).fetchone()
            numbers.append(int(row[0]) if row else 0)
    return numbers


def get(finding_id: int) -> Reported:
    """One finding. Raises UsageError where there is none of that number."""
    with translated(), connect(Role.OPERATOR) as connection:
        found = _select(connection, finding_id=finding_id)
    if not found:
        raise Unknown(f"There is no finding {finding_id}.", fix="`interlock finding list` shows what there is.")
    return found[0]


def find(*, dataset: str | None = None, is_open: bool = False, limit: int = 50) -> list[Reported]:
    """Findings, newest first; with `is_open` those that nothing has come of yet."""
    with translated(), connect(Role.OPERATOR) as connection:
        return _select(connection, dataset=dataset, is_open=is_open, limit=limit)


def held_candidates() -> list[Finding]:
    """The datasets of which so many candidates in a row were held that the policy may pause them; one finding a streak.

    Raises what keeps the active policy from being read: without its number nobody knows how many are many.
    """
    with translated(), connect(Role.CONTROLLER) as connection:
        limits = policy.current_policy(connection).bundle.data.get("interlock", {}).get("limits", {})
        many = limits.get("held_candidates_in_a_row")
        if not isinstance(many, int) or many < 1:
            logger.warning("the policy has no number held_candidates_in_a_row: held candidates are not looked for")
            return []
        rows = connection.execute("select * from interlock.held_streaks(%s)", [many]).fetchall()
    return [
        Finding(
            kind=Fact.HELD_CANDIDATES,
            dataset=dataset,
            count=held,
            root=f"held:{dataset}:{first}",
            message=f"The last {held} candidates of {dataset} failed their gate, versions {first} to {last}.",
            evidence={"first_version": first, "last_version": last},
        )
        for dataset, held, first, last in rows
    ]


def _require_domain(connection: Connection, dataset: str, by: Actor) -> None:
    row = connection.execute(
        "select d.domain from interlock.dataset d where d.dataset_id = interlock.dataset_id_of(%s)", [dataset]
    ).fetchone()
    if row and row[0] not in by.domains and "*" not in by.domains:
        raise NotEntitled(
            f"{by.name} may not report findings about {dataset}, which is of the domain {row[0]}.",
            fix=f"Somebody who may propose in {row[0]} has to report it.",
        )


def _select(
    connection: Connection,
    *,
    finding_id: int | None = None,
    dataset: str | None = None,
    is_open: bool = False,
    limit: int = 1,
) -> list[Reported]:
    asked = {"finding_id": finding_id, "dataset": dataset, "is_open": is_open, "limit": limit}
    rows = connection.execute(statement("control/findings.sql"), asked)
    return [Reported.model_validate_json(row) for (row,) in rows]
