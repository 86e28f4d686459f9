"""Carrying out what is approved, once. The world is asked again first, within the transaction that changes it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import psycopg
from psycopg.types.json import Jsonb

from interlock.contracts.model import Criticality
from interlock.control import policy
from interlock.control.asking import question_about
from interlock.control.decisions import Outcome, PolicyUnavailable
from interlock.control.kinds import kind_of
from interlock.control.questions import ActionState, Right
from interlock.control.reading import now, read
from interlock.control.records import Action, Proposal, Radius
from interlock.control.steps import alone, call, decided, require_right
from interlock.db.failures import Refusal, Refused, failure_of
from interlock.errors import TransientFailure

if TYPE_CHECKING:
    from interlock.control.questions import Actor
    from interlock.db.connection import Connection

logger = logging.getLogger(__name__)


class _Grown(Exception):
    """What an action would touch beyond what was approved."""


def carried_out(action_id: int, by: Actor, *, is_asked: bool = False) -> Action:
    """Execute what is approved; where somebody asks for it: if they may, and after deciding what waits for that."""
    with alone() as connection:
        action = read(connection, action_id)
        if is_asked:
            require_right(by, Right.EXECUTE, action.domains)
            if action.state is ActionState.PROPOSED and action.decision and action.decision.failure:
                action = decided(connection, action)
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
                call(connection, "move_action", action_id, "approved", "invalidated", by.name, details)
            return read(connection, action_id)
    raise _not_approved(action)


def _perform(connection: Connection, action: Action, by: Actor) -> None:
    kind = kind_of(action.kind)
    call(connection, "begin_execution", action.action_id, by.name)
    # From here on nobody else changes what is served: what it touches now is what it will have touched.
    if grown := _grown(action.radius, kind.radius(connection, _as_proposed(action), action.domains)):
        raise _Grown(grown)
    result = call(connection, kind.effect, action.action_id)
    call(connection, "end_execution", action.action_id, by.name, Jsonb(result or {}))


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
    call(connection, "move_action", action.action_id, "approved", "failed", by.name, Jsonb({"failure": str(error)}))
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


def _not_approved(action: Action) -> Refused:
    refused = Refused(
        f"Action {action.action_id} is {action.state.value}: only an approved action is executed.",
        fix=f"`interlock action show {action.action_id}` says what it waits for, or what became of it.",
    )
    refused.refusal = Refusal.NOT_IN_STATE
    return refused
