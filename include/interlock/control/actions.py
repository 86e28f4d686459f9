"""Control actions from proposal to execution and back. Every step is one transaction of the database.

Proposing, deciding and executing are three things. A proposal is completed by its kind, its precondition is asked and
its blast radius computed; the policy decides about it, one decision after another, because each counts the actions
before it; and it is executed in one transaction, in which precondition, blast radius and policy are asked once more.
So a process that dies leaves an action as it was before the step, and whoever comes next goes on from there (`sweep`).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from psycopg.types.json import Jsonb

from interlock.control.decisions import PolicyUnavailable
from interlock.control.drafting import drawn, preview, require_precondition
from interlock.control.executing import carried_out
from interlock.control.kinds import kind_of
from interlock.control.questions import ActionState, Actor, ActorKind, Right
from interlock.control.reading import Story, by_key, find, get, now, read, story
from interlock.control.records import Action, Proposal, Verb
from interlock.control.steps import NotEntitled, alone, call, decided, require_right
from interlock.db.connection import Role, connect, statement
from interlock.db.failures import translated
from interlock.errors import InterlockError, UsageError

if TYPE_CHECKING:
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


def propose(proposal: Proposal, actor: Actor, *, execute: bool = True) -> Action:
    """Record a proposal, let the policy decide, and carry it out where that lets it and `execute` is true.

    The same key, or the same thing while it is open, is the same action. Raises UsageError where it names what does not
    exist, and Refused (PRECONDITION) where it cannot be done now; what the policy refuses comes back as `rejected`.
    """
    require_right(actor, Right.PROPOSE, ())
    with alone() as connection:
        known = by_key(connection, proposal.key)
        if known is not None:
            _require_same(known, proposal)
        else:
            definition = drawn(connection, proposal).definition(actor)
            require_precondition(connection, definition)
            facts = [fact.model_dump(mode="json") for fact in proposal.evidence]
            action_id, is_new = call(connection, "propose_action", Jsonb(definition), Jsonb(facts))
            known = read(connection, action_id)
            if is_new:
                known = decided(connection, known)
    return carried_out(known.action_id, actor) if execute and known.state is ActionState.APPROVED else known


def answer(action_id: int, actor: Actor, verb: Verb, reason: str, *, via: str, execute: bool = True) -> Action:
    """Approve or reject as a person; the first answer of each stands. Carries it out where the policy then lets it.
    Who proposed it may take it back, which is a rejection, whatever they answered before.

    Raises NotEntitled where the actor may not approve in a domain of the action, Refused (NOT_IN_STATE) where it takes
    no answers any more, PolicyUnavailable where nobody could decide (the answer is kept, and `sweep` asks again).
    """
    with alone() as connection:
        action = read(connection, action_id)
        if actor.kind is not ActorKind.PERSON:
            raise NotEntitled(f"{actor.name} is no person: only people approve or reject.")
        if not reason.strip():
            raise UsageError("An answer needs a reason.", fix='Give --reason "...".')
        is_taken_back = verb is Verb.REJECT and actor.name.lower() == action.actor.name.lower()
        is_new = not is_taken_back and _answered(connection, action, actor, verb, reason, via)
        if verb is Verb.REJECT and (is_new or is_taken_back):
            details = Jsonb({"reason": reason, "via": via, "is_taken_back": is_taken_back})
            call(connection, "move_action", action_id, "proposed", "rejected", actor.name, details)
        elif is_new:
            decided(connection, read(connection, action_id))
        action = read(connection, action_id)
    if is_new and verb is Verb.APPROVE and action.decision and action.decision.failure and action.is_open:
        raise PolicyUnavailable(
            f"The approval of action {action_id} is kept, and nobody could decide: {action.decision.failure}",
            fix=f"`interlock action execute {action_id}` asks again; so does the control DAG.",
        )
    return carried_out(action_id, actor) if execute and action.state is ActionState.APPROVED else action


def _answered(connection: Connection, action: Action, actor: Actor, verb: Verb, reason: str, via: str) -> bool:
    """Put an answer on record; whether it is the first of this person."""
    require_right(actor, Right.APPROVE, action.domains)
    document = Jsonb(actor.model_dump(mode="json"))
    return bool(call(connection, "answer_action", action.action_id, document, verb.value, reason, via))


def execute(action_id: int, by: Actor) -> Action:
    """Carry out an approved action, once: executed before, it is returned as it stands.

    The world is asked again first; where precondition or blast radius are no longer what was approved, or the policy
    would not allow it any more, it becomes `invalidated`. Raises Refused (NOT_IN_STATE) where it is not approved,
    NotEntitled, PolicyUnavailable, and TransientFailure where the database was hindered: it is then as it was.
    """
    return carried_out(action_id, by, is_asked=True)


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
    with translated(), connect(Role.CONTROLLER) as connection:
        stalled = [action_id for (action_id,) in connection.execute(statement("control/stalled.sql").encode())]
    moved: list[Action] = []
    for action_id in stalled:
        try:
            before, after = _taken_further(action_id, by)
        except InterlockError as failure:
            logger.warning("action %s could not be taken further: %s", action_id, failure)
            continue
        if after.state is not before.state:
            moved.append(after)
    return moved


def _taken_further(action_id: int, by: Actor) -> tuple[Action, Action]:
    """A stalled action as it was found, and as it then stands."""
    with alone() as connection:
        found = action = read(connection, action_id)
        if action.is_open and action.expires_at <= now(connection):
            reason = Jsonb({"reason": f"nobody took it further before {action.expires_at:%Y-%m-%d %H:%M} UTC"})
            call(connection, "move_action", action.action_id, action.state.value, "expired", by.name, reason)
            return found, read(connection, action.action_id)
        if action.state is ActionState.PROPOSED and action.decision and action.decision.failure:
            action = decided(connection, action)
    return found, carried_out(action.action_id, by) if action.state is ActionState.APPROVED else action


def _require_same(known: Action, proposal: Proposal) -> None:
    subject = (proposal.kind, proposal.dataset, tuple(sorted(set(proposal.partitions))))
    if subject != (known.kind, known.dataset, known.partitions):
        raise UsageError(
            f"The key {proposal.key!r} is that of action {known.action_id}, which is another one: {known.title}.",
            fix="Give each action a key of its own.",
        )
