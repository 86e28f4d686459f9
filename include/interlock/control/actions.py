"""Control actions from proposal to execution and back. Every step is one transaction of the database.

Proposing, deciding and executing are three things. A proposal is completed by its kind, its precondition is asked and
its blast radius computed; the policy decides about it, one decision after another, because each counts the actions
before it; and it is executed in one transaction, in which precondition, blast radius and policy are asked once more.
So a process that dies leaves an action as it was before the step, and whoever comes next goes on from there (`sweep`).
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb
from pydantic import BaseModel, ConfigDict

from interlock.contracts.model import Criticality
from interlock.control import policy
from interlock.control.asking import question_about
from interlock.control.decisions import Outcome, PolicyUnavailable
from interlock.control.kinds import kind_of
from interlock.control.questions import ActionState, Actor, ActorKind, Right
from interlock.control.reading import Story, by_key, find, get, now, read, story
from interlock.control.records import Action, Preview, Proposal, Radius, Verb
from interlock.db.connection import Role, connect
from interlock.db.failures import Refusal, Refused, failure_of, translated
from interlock.errors import InterlockError, PermanentFailure, TransientFailure, UsageError

if TYPE_CHECKING:
    from interlock.control.decisions import Decision
    from interlock.control.kinds.base import Kind
    from interlock.db.connection import Connection

__all__ = [
    "NotEntitled",
    "Story",
    "answer",
    "execute",
    "find",
    "get",
    "preview",
    "propose",
    "roll_back",
    "story",
    "sweep",
    "way_back",
]

logger = logging.getLogger(__name__)

OPEN = (ActionState.PROPOSED, ActionState.APPROVED)


class NotEntitled(PermanentFailure):
    """Whoever asks lacks the right that it takes, in a domain that the action is about."""


class _Grown(Exception):
    """What an action would touch beyond what was approved."""


class _Draft(BaseModel):
    """A proposal that its kind has completed."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    proposal: Proposal
    domains: tuple[str, ...]
    dataset_id: int | None
    radius: Radius

    def definition(self, actor: Actor) -> dict[str, Any]:
        """As a row of interlock.action."""
        proposal = self.proposal
        return {
            "action_id": 0,
            "key": proposal.key or str(uuid.uuid4()),
            "kind": proposal.kind,
            "domains": list(self.domains),
            "dataset_id": self.dataset_id,
            "partitions": list(proposal.partitions),
            "version": proposal.version,
            "parameters": proposal.parameters,
            "rationale": proposal.rationale,
            "actor": actor.model_dump(mode="json"),
            "radius": self.radius.model_dump(mode="json"),
            "undoes": proposal.undoes,
        }


def preview(proposal: Proposal, actor: Actor) -> Preview:
    """What proposing would lead to: what it touches, what the policy says, and what stands in its way. Writes nothing.

    Raises UsageError where the proposal names what does not exist.
    """
    with _as_controller() as connection:
        kind = kind_of(proposal.kind)
        draft = _drawn(connection, kind, proposal)
        obstacle = None
        try:
            _require_precondition(connection, kind, draft.definition(actor))
        except Refused as refused:
            obstacle = str(refused)
        row = draft.definition(actor) | {"dataset": draft.proposal.dataset, "evidence": proposal.evidence}
        decision = policy.decide(question_about(connection, _imagined(connection, row)), connection)
        return Preview(
            proposal=draft.proposal, domains=draft.domains, radius=draft.radius, decision=decision, obstacle=obstacle
        )


def propose(proposal: Proposal, actor: Actor, *, execute: bool = True) -> Action:
    """Record a proposal, let the policy decide, and carry it out where that lets it and `execute` is true.

    The same key, or the same thing while it is open, is the same action. Raises UsageError where it names what does not
    exist, and Refused (PRECONDITION) where it cannot be done now; what the policy refuses comes back as `rejected`.
    """
    _require_right(actor, Right.PROPOSE, ())
    with _alone() as connection:
        known = by_key(connection, proposal.key)
        if known is not None:
            _require_same(known, proposal)
        else:
            kind = kind_of(proposal.kind)
            draft = _drawn(connection, kind, proposal)
            definition = draft.definition(actor)
            _require_precondition(connection, kind, definition)
            facts = [fact.model_dump(mode="json") for fact in proposal.evidence]
            action_id, is_new = _call(connection, "propose_action", Jsonb(definition), Jsonb(facts))
            known = read(connection, action_id)
            if is_new:
                known = _decided(connection, known)
    return _carried_out(known.action_id, actor) if execute and known.state is ActionState.APPROVED else known


def answer(action_id: int, actor: Actor, verb: Verb, reason: str, *, via: str, execute: bool = True) -> Action:
    """Approve or reject as a person; the first answer of each stands. Carries it out where the policy then lets it.
    Who proposed it may take it back, which is a rejection, whatever they answered before.

    Raises NotEntitled where the actor may not approve in a domain of the action, Refused (NOT_IN_STATE) where it takes
    no answers any more, PolicyUnavailable where nobody could decide (the answer is kept, and `sweep` asks again).
    """
    with _alone() as connection:
        action = read(connection, action_id)
        if actor.kind is not ActorKind.PERSON:
            raise NotEntitled(f"{actor.name} is no person: only people approve or reject.")
        if not reason.strip():
            raise UsageError("An answer needs a reason.", fix='Give --reason "...".')
        is_taken_back = verb is Verb.REJECT and actor.name.lower() == action.actor.name.lower()
        is_new = not is_taken_back and _answered(connection, action, actor, verb, reason, via)
        if verb is Verb.REJECT and (is_new or is_taken_back):
            details = Jsonb({"reason": reason, "via": via, "is_taken_back": is_taken_back})
            _call(connection, "move_action", action_id, "proposed", "rejected", actor.name, details)
        elif is_new:
            _decided(connection, read(connection, action_id))
        action = read(connection, action_id)
    if is_new and verb is Verb.APPROVE and action.decision and action.decision.failure and action.is_open:
        raise PolicyUnavailable(
            f"The approval of action {action_id} is kept, and nobody could decide: {action.decision.failure}",
            fix=f"`interlock action execute {action_id}` asks again; so does the control DAG.",
        )
    return _carried_out(action_id, actor) if execute and action.state is ActionState.APPROVED else action


def _answered(connection: Connection, action: Action, actor: Actor, verb: Verb, reason: str, via: str) -> bool:
    """Put an answer on record; whether it is the first of this person."""
    _require_right(actor, Right.APPROVE, action.domains)
    document = Jsonb(actor.model_dump(mode="json"))
    return bool(_call(connection, "answer_action", action.action_id, document, verb.value, reason, via))


def execute(action_id: int, by: Actor) -> Action:
    """Carry out an approved action, once: executed before, it is returned as it stands.

    The world is asked again first; where precondition or blast radius are no longer what was approved, or the policy
    would not allow it any more, it becomes `invalidated`. Raises Refused (NOT_IN_STATE) where it is not approved,
    NotEntitled, PolicyUnavailable, and TransientFailure where the database was hindered: it is then as it was.
    """
    return _carried_out(action_id, by, is_asked=True)


def roll_back(action_id: int, actor: Actor, rationale: str, *, execute: bool = True) -> Action:
    """Propose the inverse of an executed action, which the policy decides about as any other; returns the inverse."""
    return propose(way_back(action_id, rationale), actor, execute=execute)


def way_back(action_id: int, rationale: str) -> Proposal:
    """The proposal that undoes an executed action. Raises UsageError where there is nothing to undo."""
    action = get(action_id)
    if action.state is not ActionState.EXECUTED:
        raise UsageError(
            f"Action {action_id} is {action.state.value}: only what was executed can be rolled back.",
            fix=f"`interlock action show {action_id}` says how it stands.",
        )
    return kind_of(action.kind).way_back(action).model_copy(update={"rationale": rationale})


def sweep(by: Actor) -> list[Action]:
    """Expire what nobody answered in time, and go on with what was begun: decisions that nobody could make, actions
    that were approved and never executed. Returns those that it moved. One that fails keeps no other one back.
    """
    moved: list[Action] = []
    for action in find(states=OPEN, limit=1_000):
        try:
            after = _swept(action, by)
        except InterlockError as failure:
            logger.warning("action %s could not be taken further: %s", action.action_id, failure)
            continue
        if after.state is not action.state:
            moved.append(after)
    return moved


def _swept(action: Action, by: Actor) -> Action:
    with _alone() as connection:
        action = read(connection, action.action_id)
        if action.is_open and action.expires_at <= now(connection):
            reason = Jsonb({"reason": f"nobody took it further before {action.expires_at:%Y-%m-%d %H:%M} UTC"})
            _call(connection, "move_action", action.action_id, action.state.value, "expired", by.name, reason)
            return read(connection, action.action_id)
        if action.state is ActionState.PROPOSED and action.decision and action.decision.failure:
            action = _decided(connection, action)
    return _carried_out(action.action_id, by) if action.state is ActionState.APPROVED else action


def _carried_out(action_id: int, by: Actor, *, is_asked: bool = False) -> Action:
    """Execute what is approved; where somebody asks for it: if they may, and after deciding what waits for that."""
    with _alone() as connection:
        action = read(connection, action_id)
        if is_asked:
            _require_right(by, Right.EXECUTE, action.domains)
            if action.state is ActionState.PROPOSED and action.decision and action.decision.failure:
                action = _decided(connection, action)
        if action.state in (ActionState.EXECUTED, ActionState.ROLLED_BACK):
            return action
        if action.state is ActionState.APPROVED:
            changed = _changed(connection, action)
            if changed is None:
                try:
                    with connection.transaction():
                        _perform(connection, action, by)
                except _Grown as grown:
                    changed = f"it would touch more than was approved: {grown}"
                except Exception as error:
                    changed = _obstacle(connection, action, error, by)
            if changed:
                details = Jsonb({"reason": changed})
                _call(connection, "move_action", action_id, "approved", "invalidated", by.name, details)
            return read(connection, action_id)
    raise _not_approved(action)


def _perform(connection: Connection, action: Action, by: Actor) -> None:
    kind = kind_of(action.kind)
    _call(connection, "begin_execution", action.action_id, by.name)
    # From here on nobody else changes what is served: what it touches now is what it will have touched.
    if grown := _grown(action.radius, kind.radius(connection, _as_proposed(action), action.domains)):
        raise _Grown(grown)
    result = _call(connection, kind.effect, action.action_id)
    _call(connection, "end_execution", action.action_id, by.name, Jsonb(result or {}))


def _obstacle(connection: Connection, action: Action, error: Exception, by: Actor) -> str | None:
    """What kept an action from being executed, where the world did; marks it failed where nobody foresaw it.

    Raises what a later attempt may be granted: the action stays approved.
    """
    failure = failure_of(error) if isinstance(error, psycopg.Error) else None
    if isinstance(failure, Refused) and failure.refusal in (Refusal.PRECONDITION, Refusal.NOT_IN_STATE):
        return failure.message
    if isinstance(failure, TransientFailure) or not isinstance(error, psycopg.Error):
        raise error
    logger.error("action %s failed: %s", action.action_id, error)
    _call(connection, "move_action", action.action_id, "approved", "failed", by.name, Jsonb({"failure": str(error)}))
    return None


def _changed(connection: Connection, action: Action) -> str | None:
    """Why what was approved may not be done any more; None where it may. Raises PolicyUnavailable."""
    if action.expires_at <= now(connection):
        return "it was not executed in time"
    decision = policy.decide(question_about(connection, action), connection)
    if decision.failure:
        raise PolicyUnavailable(decision.failure, fix=f"`interlock action execute {action.action_id}` asks again.")
    if decision.outcome is not Outcome.EXECUTE:
        return "the policy does not allow it any more: " + " ".join(reason.message for reason in decision.reasons)
    return None


def _as_proposed(action: Action) -> Proposal:
    return Proposal(
        kind=action.kind,
        rationale=action.rationale,
        domain=None if action.dataset else action.domains[0],
        dataset=action.dataset,
        partitions=action.partitions,
        version=action.version,
        parameters=action.parameters,
        undoes=action.undoes,
    )


def _grown(approved: Radius, now: Radius) -> str:
    """What a blast radius has that the approved one had not; empty where it has nothing."""
    told = [
        f"{len(more)} more {what} ({', '.join(sorted(more)[:3])})"
        for what in ("datasets", "domains", "consumers", "metrics")
        if (more := set(getattr(now, what)) - set(getattr(approved, what)))
    ]
    partitions = [
        f"{dataset} {partition}"
        for dataset, touched in now.touches.items()
        for partition in sorted(set(touched) - set(approved.touches.get(dataset, ())))
    ]
    if partitions:
        told.append(f"{len(partitions)} more partitions ({', '.join(partitions[:3])})")
    levels = [level.value for level in Criticality]
    if levels.index(now.criticality) > levels.index(approved.criticality):
        told.append(f"a dataset whose criticality is {now.criticality}")
    return ", ".join(told)


def _decided(connection: Connection, action: Action) -> Action:
    """Ask the policy about a proposal, and move it as that says."""
    decision = policy.decide(question_about(connection, action), connection)
    _call(connection, "record_decision", action.action_id, Jsonb(decision.model_dump(mode="json")))
    if decision.outcome is Outcome.EXECUTE:
        _call(connection, "move_action", action.action_id, "proposed", "approved", "policy", Jsonb({}))
    elif decision.outcome is Outcome.REFUSE and not (decision.failure and action.answers):
        _attach_elsewhere(connection, action, decision)
        reasons = {"reason": " ".join(reason.message for reason in decision.reasons)}
        _call(connection, "move_action", action.action_id, "proposed", "rejected", "policy", Jsonb(reasons))
    return read(connection, action.action_id)


def _attach_elsewhere(connection: Connection, action: Action, decision: Decision) -> None:
    """Give the evidence of a proposal that is one with an earlier action to that one."""
    facts = Jsonb([fact.model_dump(mode="json") for fact in action.evidence])
    for obligation in decision.obligations:
        if obligation.code == "attach_evidence_to" and obligation.subject.isdecimal():
            _call(connection, "attach_evidence", int(obligation.subject), facts, action.actor.name)


def _drawn(connection: Connection, kind: Kind, proposal: Proposal) -> _Draft:
    """Complete a proposal and compute what it touches. Raises UsageError where it names what does not exist."""
    if not proposal.rationale.strip():
        raise UsageError("No action without a rationale.", fix='Give --reason "..." in words that help in a year.')
    if strange := set(proposal.parameters) - kind.parameters:
        known = f"it knows {', '.join(sorted(kind.parameters))}" if kind.parameters else "it has none"
        raise UsageError(f"{kind.name} has no parameter {', '.join(sorted(strange))}.", fix=f"Leave it out: {known}.")
    dataset_id, domain = None, proposal.domain
    if proposal.dataset is not None:
        row = connection.execute(
            b"select d.dataset_id, d.domain from interlock.dataset d where d.dataset_id = interlock.dataset_id_of(%s)",
            [proposal.dataset],
        ).fetchone()
        dataset_id, domain = row or (None, None)
    partitions = tuple(sorted(set(proposal.partitions)))
    completed = kind.complete(connection, proposal.model_copy(update={"partitions": partitions}))
    domains = (domain or "*",)
    return _Draft(
        proposal=completed,
        domains=domains,
        dataset_id=dataset_id,
        radius=kind.radius(connection, completed, domains),
    )


def _imagined(connection: Connection, row: dict[str, Any]) -> Action:
    """A proposal as the action that it would be."""
    absent = dict.fromkeys(("decision", "decided_at", "executed_at", "failure"))
    times = dict.fromkeys(("proposed_at", "expires_at"), now(connection))
    kept = {name: value for name, value in row.items() if name != "dataset_id"}
    return Action.model_validate(
        kept | absent | times | {"state": "proposed", "result": {}, "answers": ()}, strict=False
    )


def _require_precondition(connection: Connection, kind: Kind, definition: dict[str, Any]) -> None:
    query = sql.SQL("select interlock.{}(jsonb_populate_record(null::interlock.action, %s))").format(
        sql.Identifier(kind.precondition)
    )
    with translated(), connection.transaction():
        connection.execute(query, [Jsonb(definition)])


def _require_same(known: Action, proposal: Proposal) -> None:
    subject = (proposal.kind, proposal.dataset, tuple(sorted(set(proposal.partitions))))
    if subject != (known.kind, known.dataset, known.partitions):
        raise UsageError(
            f"The key {proposal.key!r} is that of action {known.action_id}, which is another one: {known.title}.",
            fix="Give each action a key of its own.",
        )


def _require_right(actor: Actor, right: Right, domains: Sequence[str]) -> None:
    lacking = [domain for domain in domains if domain not in actor.domains and "*" not in actor.domains]
    if right not in actor.rights or lacking:
        where = f" in {', '.join(lacking)}" if right in actor.rights else ""
        raise NotEntitled(
            f"{actor.name} may not {right.value}{where}.",
            fix=f"`interlock token create --for {actor.name} --scope {right.value} --domain ...` gives the right.",
        )


def _not_approved(action: Action) -> Refused:
    refused = Refused(
        f"Action {action.action_id} is {action.state.value}: only an approved action is executed.",
        fix=f"`interlock action show {action.action_id}` says what it waits for, or what became of it.",
    )
    refused.refusal = Refusal.NOT_IN_STATE
    return refused


def _call(connection: Connection, function: str, *arguments: Any) -> Any:
    query = sql.SQL("select * from interlock.{}({})").format(
        sql.Identifier(function), sql.SQL(", ").join(sql.Placeholder() * len(arguments))
    )
    row = connection.execute(query, arguments).fetchone()
    return row if row is None or len(row) > 1 else row[0]


@contextmanager
def _as_controller() -> Iterator[Connection]:
    """A transaction as the control plane whose writes nobody keeps."""
    with translated(), connect(Role.CONTROLLER) as connection:
        yield connection
        connection.rollback()


@contextmanager
def _alone() -> Iterator[Connection]:
    """A transaction as the control plane, while nobody else decides."""
    with translated(), connect(Role.CONTROLLER) as connection:
        _call(connection, "control_alone")
        yield connection
