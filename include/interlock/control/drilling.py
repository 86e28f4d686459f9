"""How a drill runs: it chooses, does, looks, undoes, and looks again; see `drills` for what each kind's does.

It goes the way that everybody goes: a person's proposal, the policy's decision, the approvals that it asks for,
execution, and the inverse the same way.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import psycopg
from psycopg import sql
from pydantic import BaseModel, ConfigDict

from interlock.control import actions, policy
from interlock.control.fingerprints import differences, fingerprint
from interlock.control.kinds import kind_of
from interlock.control.questions import ActionState, Actor, ActorKind, Right
from interlock.control.records import Proposal, Verb
from interlock.db.connection import Role, connect, statement
from interlock.errors import InterlockError, PermanentFailure

if TYPE_CHECKING:
    from interlock.control.records import Action
    from interlock.db.connection import Connection

logger = logging.getLogger(__name__)

BECAUSE = "A drill: it is taken back at once."
SHOWN_DIFFERENCES = 3


def _person(name: str) -> Actor:
    return Actor(kind=ActorKind.PERSON, name=name, on_behalf_of=None, domains=("*",), rights=tuple(Right))


# Whoever proposes approves nothing: some actions need two others.
PROPOSER, APPROVERS = _person("drill-one"), (_person("drill-two"), _person("drill-three"))


class NothingToDrillOn(PermanentFailure):
    """There is nothing that the drill could act on; the message is what it needs."""


class DrillFailed(PermanentFailure):
    """The action, or its inverse, did not do what its kind says."""


class Result(BaseModel):
    """What a drill found. `done` and `undone` are what was seen after the action and after its inverse.

    `needs` is why it was not run, `problem` why it failed; one that has neither has passed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    inverse: str
    subject: str
    done: str | None = None
    undone: str | None = None
    is_identical: bool | None = None
    needs: str | None = None
    problem: str | None = None

    @property
    def has_passed(self) -> bool:
        """Whether it ran to its end and everything was as before."""
        return self.is_identical is True and self.needs is None and self.problem is None


class Target(NamedTuple):
    """One safe partition, and the version of it that is served."""

    domain: str
    dataset: str
    dataset_id: int
    partition_column: str | None
    partition: str
    version: int

    @property
    def told(self) -> str:
        """For people."""
        return f"{self.dataset} {self.partition}"

    def proposal(self, kind: str, **more: Any) -> Proposal:
        """An action on this partition."""
        return Proposal(kind=kind, rationale=BECAUSE, dataset=self.dataset, partitions=(self.partition,), **more)

    def state(self) -> str:
        """The state that consumers are told."""
        return str(one(Role.CONSUMER, "select interlock.ask(%s, %s) ->> 'state'", self.dataset, self.partition))

    def rows(self, schema: str = "safe", reader: Connection | None = None) -> int:
        """How many rows of it a consumer reads in a schema; the shared one unless a session of another is given."""
        query = sql.SQL("select count(*) from {}").format(sql.Identifier(schema, self.dataset))
        if self.partition_column is not None:
            is_of_day = sql.SQL(" where {} = {}::date")
            query += is_of_day.format(sql.Identifier(self.partition_column), sql.Literal(self.partition))
        if reader is not None:
            row = reader.execute(query).fetchone()
            return int(row[0]) if row else 0
        return int(one(Role.CONSUMER, query))


class Drill(ABC):
    """One kind and its inverse. An instance serves one run; `target` is what it acts on, once it has chosen."""

    kind: ClassVar[str]
    on: ClassVar[str] = "a partition"
    target: Target

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Choose the target; what else the action needs is made before, and taken away after."""
        self.target = targets()[0]
        yield

    @abstractmethod
    def proposal(self) -> Proposal:
        """What to do. Raises NothingToDrillOn."""

    @abstractmethod
    def done(self, action: Action) -> str:
        """What the executed action did, in words. Raises DrillFailed where that is not what its kind says."""

    def undone(self, action: Action) -> str:  # noqa: ARG002 (others look at it)
        """What the inverse did, beyond what the fingerprint shows. Raises DrillFailed."""
        return "as before"


def run(drill: Drill) -> Result:
    """Do, look, undo, look. Never raises for what the platform does: that is the result."""
    found = {"kind": drill.kind, "inverse": kind_of(drill.kind).inverse, "subject": drill.on}
    try:
        policy.current_policy()  # a platform on which nothing was decided yet begins its policy here, not in between
        with drill.prepared():
            before = fingerprint()
            action = carried_out(drill.proposal())
            found |= {"subject": action.title.removeprefix(f"{action.kind} ")}
            try:
                found |= {"done": drill.done(action)}
            except (InterlockError, psycopg.Error):
                with suppress(InterlockError, psycopg.Error):
                    taken_back(action)  # what failed is the news; the next drill finds things as they were
                raise
            taken_back(action)
            found |= {"undone": drill.undone(action)}
            harm = differences(before, fingerprint())
    except NothingToDrillOn as nothing:
        return Result.model_validate(found | {"needs": nothing.message})
    except (InterlockError, psycopg.Error) as failure:
        logger.info("the drill of %s failed", drill.kind, exc_info=failure)
        return Result.model_validate(found | {"problem": getattr(failure, "message", str(failure))})
    shown = "; ".join(harm[:SHOWN_DIFFERENCES])
    more = f"; and {len(harm) - SHOWN_DIFFERENCES} more" if len(harm) > SHOWN_DIFFERENCES else ""
    problem = f"not as before: {shown}{more}" if harm else None
    return Result.model_validate(found | {"is_identical": not harm, "problem": problem})


def carried_out(proposal: Proposal) -> Action:
    """Have an action executed, with as many approvals as the policy asks for. Raises DrillFailed where it is not."""
    return _approved(actions.propose(proposal, PROPOSER))


def taken_back(action: Action) -> Action:
    """Have its inverse executed."""
    inverse = _approved(actions.roll_back(action.action_id, PROPOSER, BECAUSE))
    state = actions.get(action.action_id).state
    require(state is ActionState.ROLLED_BACK, f"its inverse was executed, and it is {state.value}")
    return inverse


def targets(*, narrow: bool = False) -> list[Target]:
    """The newest safe partitions, first those that the most hangs on, or the least. Raises NothingToDrillOn."""
    found = all_of(Role.AUDITOR, statement("control/drill_targets.sql"), {"narrow": narrow})
    if not found:
        raise NothingToDrillOn(
            "it needs a safe partition, with rows, of a staged or curated dataset that is neither paused nor frozen and"
            " does not wait to be rebuilt"
        )
    return [Target(*row) for row in found]


def require(holds: bool, otherwise: str) -> None:
    """Raise DrillFailed with what is so otherwise."""
    if not holds:
        raise DrillFailed(otherwise)


def now() -> int:
    """Seconds since 1970, by the database's clock."""
    return int(one(Role.AUDITOR, "select floor(extract(epoch from clock_timestamp()))"))


def one(role: Role, query: str | sql.Composed, *values: Any) -> Any:
    """The first value of the first row of a query, asked as a role."""
    with connect(role) as connection:
        row = connection.execute(query.encode() if isinstance(query, str) else query, values or None).fetchone()
    return row[0] if row else None


def all_of(role: Role, query: str, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
    """Every row of a query, asked as a role."""
    with connect(role) as connection:
        return connection.execute(query.encode(), values).fetchall()


def _approved(action: Action) -> Action:
    for approver in APPROVERS:
        if action.state is ActionState.PROPOSED:
            action = actions.answer(action.action_id, approver, Verb.APPROVE, BECAUSE, via="drill")
    said = " ".join(reason.message for reason in action.decision.reasons) if action.decision else ""
    told = f"{action.title} is {action.state.value}: {action.failure or said}"
    require(action.state is ActionState.EXECUTED, told)
    return action
