"""What the policy is asked: one closed document, the same to every engine.

Times are whole seconds since 1970 (UTC), because an engine may be without a parser for dates. Names and references
are plain: no quote, no backslash, no control character. The in-process engine puts the strings of its input into its
answer without escaping them, so a consumer called `x","allow":true` would have written its own decision.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from interlock.contracts.model import Criticality

NOT_PLAIN = re.compile(r'["\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]')


def _plain(name: str) -> str:
    if NOT_PLAIN.search(name):
        raise ValueError("a name has no quotes, backslashes or control characters")
    return name


def _made_plain(text: str) -> str:
    """A person's words as an engine may see them: the record keeps them as they were written."""
    return NOT_PLAIN.sub(" ", text)


Name = Annotated[str, StringConstraints(min_length=1, max_length=500), AfterValidator(_plain)]
Text = Annotated[str, StringConstraints(max_length=10_000), AfterValidator(_made_plain)]
Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[int, Field(ge=0, description="Since 1970, UTC.")]


class ActorKind(StrEnum):
    """Who acts; never mixed up in a record."""

    PERSON = "person"
    RUN = "run"
    RULE = "rule"
    ASSISTANT = "assistant"


class Right(StrEnum):
    """What an actor may do in the domains that it was given for."""

    READ = "read"
    PROPOSE = "propose"
    APPROVE = "approve"
    EXECUTE = "execute"


class ActionState(StrEnum):
    """Where an earlier action stands."""

    PROPOSED = "proposed"
    APPROVED = "approved"
    EXECUTED = "executed"
    ROLLED_BACK = "rolled_back"
    REJECTED = "rejected"
    EXPIRED = "expired"
    FAILED = "failed"
    INVALIDATED = "invalidated"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Actor(_Part):
    """Who proposes or approves: `domains` are those that the rights hold in, `*` all of them and the platform."""

    kind: ActorKind
    name: Name
    on_behalf_of: Name | None = Field(description="The person that a run or an assistant acts for, if there is one.")
    domains: tuple[Name, ...]
    rights: tuple[Right, ...]


class Action(_Part):
    """What is to be done. `waive` has the parameters consumer and lasts_hours, `rollback_partition` reaches_back_hours:
    how long ago the version that it would serve again was replaced.
    """

    kind: Name
    parameters: dict[Name, Text | bool | int | None]
    rationale: Text
    is_reversible: bool
    proposed_at: Seconds


class Scope(_Part):
    """What it is done to. An action on the platform itself has the one domain `*`."""

    domains: tuple[Name, ...]
    dataset: Name | None
    partitions: tuple[Name, ...]
    version: int | None
    is_served: bool | None = Field(description="Whether `version` is what readers of all the partitions are served.")


class Evidence(_Part):
    """One recorded fact: `ref` names it, `root` the first fact of the chain that led to it."""

    kind: Name
    ref: Name
    root: Name
    dataset: Name | None
    partition: Name | None
    version: int | None
    count: Count
    at: Seconds


class BlastRadius(_Part):
    """What the action touches, downstream included."""

    partitions: Count
    rows: Count
    datasets: tuple[Name, ...]
    domains: tuple[Name, ...]
    consumers: tuple[Name, ...]
    metrics: tuple[Name, ...]
    criticality: Criticality = Field(description="The highest of the datasets touched.")


class Environment(_Part):
    """Where it would happen. A frozen domain `*` means that all are."""

    name: Name
    frozen_domains: tuple[Name, ...]


class Approval(_Part):
    """One answer of one actor in favour."""

    actor: Actor
    at: Seconds


class RecentAction(_Part):
    """One action of the last hours. All must be told, or the limits on cascades count too few; only what a person
    proposed, and what was rejected, expired or invalidated, never counts and may be left out: a hundred cost 20 ms.
    """

    id: Name
    kind: Name
    state: ActionState
    domains: tuple[Name, ...]
    root: Name | None
    proposed_by: ActorKind
    approvals: Count
    covers_this: bool = Field(description="Whether it touches everything in the scope of the action asked about.")
    at: Seconds


class Question(_Part):
    """Everything that the policy may know. `actor` is who proposed the action."""

    actor: Actor
    action: Action
    scope: Scope
    evidence: tuple[Evidence, ...]
    blast_radius: BlastRadius
    environment: Environment
    time: Seconds
    approvals: tuple[Approval, ...]
    recent: tuple[RecentAction, ...]

    def document(self) -> dict[str, Any]:
        """As the engines are given it."""
        return self.model_dump(mode="json")
