"""Actions as records: what is proposed, what became of it, and what the policy said."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from interlock.control.decisions import Decision
from interlock.control.questions import ActionState, Actor, Evidence

Parameters = dict[str, str | int | bool | None]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Radius(_Record):
    """What an action touches, its own scope and everything downstream of it; `touches` are partitions by dataset."""

    partitions: int
    rows: int
    datasets: tuple[str, ...]
    domains: tuple[str, ...]
    consumers: tuple[str, ...]
    metrics: tuple[str, ...]
    criticality: str
    touches: dict[str, tuple[str, ...]]


class Proposal(_Record):
    """What somebody wants done: to a dataset's partitions, to a domain, or to the platform where neither is named.

    What is left out is found by the action's kind: which version is served, which action an inverse undoes. `key` is
    the idempotency key: proposed again under the same key, it is the same action.
    """

    kind: str
    rationale: str
    domain: str | None = None
    dataset: str | None = None
    partitions: tuple[str, ...] = ()
    version: int | None = None
    parameters: Parameters = {}
    undoes: int | None = None
    evidence: tuple[Evidence, ...] = ()
    key: str | None = None


class Verb(StrEnum):
    """What a person answers to a proposal."""

    APPROVE = "approve"
    REJECT = "reject"


class Answer(_Record):
    """One actor's answer. `via` is where it was given: `command line`, `airflow`, `api`."""

    actor: Actor
    answer: Verb
    reason: str
    via: str
    at: datetime


class Action(_Record):
    """A control action as it stands. `actor` proposed it; `result` is what executing it left for the way back."""

    action_id: int
    key: str
    kind: str
    state: ActionState
    domains: tuple[str, ...]
    dataset: str | None
    partitions: tuple[str, ...]
    version: int | None
    parameters: Parameters
    rationale: str
    actor: Actor
    radius: Radius
    decision: Decision | None
    undoes: int | None
    proposed_at: datetime
    expires_at: datetime
    decided_at: datetime | None
    executed_at: datetime | None
    result: dict[str, Any]
    failure: str | None
    evidence: tuple[Evidence, ...]
    answers: tuple[Answer, ...]

    @property
    def is_open(self) -> bool:
        """Whether it still waits: for people, or to be carried out."""
        return self.state in (ActionState.PROPOSED, ActionState.APPROVED)

    @property
    def title(self) -> str:
        """What it is in a few words."""
        return title_of(self.kind, self.dataset or ", ".join(self.domains), self.partitions, self.version)


class Preview(_Record):
    """What proposing would lead to; nothing was written. `obstacle` is why it cannot be done now, where it cannot."""

    proposal: Proposal
    domains: tuple[str, ...]
    radius: Radius
    decision: Decision
    obstacle: str | None


def title_of(kind: str, subject: str, partitions: tuple[str, ...], version: int | None) -> str:
    """`quarantine_partition flights 2013-11-03 version 17`; of many partitions, how many."""
    if len(partitions) > 3:
        days = f" {partitions[0]} to {partitions[-1]} ({len(partitions)} partitions)"
    else:
        days = "".join(f" {partition}" for partition in partitions)
    return f"{kind} {subject}{days}{f' version {version}' if version is not None else ''}"
