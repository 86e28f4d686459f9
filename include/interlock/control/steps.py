"""A step of an action: one transaction as the control plane, while nobody else decides, by somebody who may."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from psycopg import sql
from psycopg.types.json import Jsonb

from interlock.control import policy
from interlock.control.asking import question_about
from interlock.control.decisions import Outcome
from interlock.control.reading import read
from interlock.db.connection import Role, connect
from interlock.db.failures import translated
from interlock.errors import PermanentFailure

if TYPE_CHECKING:
    from interlock.control.decisions import Decision
    from interlock.control.questions import Actor, Right
    from interlock.control.records import Action
    from interlock.db.connection import Connection


class NotEntitled(PermanentFailure):
    """Whoever asks lacks the right that it takes, in a domain that the action is about."""


@contextmanager
def alone() -> Iterator[Connection]:
    """A transaction as the control plane, while nobody else decides."""
    with translated(), connect(Role.CONTROLLER) as connection:
        call(connection, "control_alone")
        yield connection


def call(connection: Connection, function: str, *arguments: Any) -> Any:
    """Call a function of the schema `interlock`: its row, or what is in it where that is one value."""
    query = sql.SQL("select * from interlock.{}({})").format(
        sql.Identifier(function), sql.SQL(", ").join(sql.Placeholder() * len(arguments))
    )
    row = connection.execute(query, arguments).fetchone()
    return row if row is None or len(row) > 1 else row[0]


def require_right(actor: Actor, right: Right, domains: Sequence[str]) -> None:
    """Raises NotEntitled where an actor has not the right, or not in all of the domains."""
    lacking = [domain for domain in domains if domain not in actor.domains and "*" not in actor.domains]
    if right not in actor.rights or lacking:
        where = f" in {', '.join(lacking)}" if right in actor.rights else ""
        raise NotEntitled(
            f"{actor.name} may not {right.value}{where}.",
            fix=f"`interlock token create --for {actor.name} --scope {right.value} --domain ...` gives the right.",
        )


def decided(connection: Connection, action: Action) -> Action:
    """Ask the policy about a proposal, and move it as that says."""
    decision = policy.decide(question_about(connection, action), connection)
    call(connection, "record_decision", action.action_id, Jsonb(decision.model_dump(mode="json")))
    if decision.outcome is Outcome.EXECUTE:
        call(connection, "move_action", action.action_id, "proposed", "approved", "policy", Jsonb({}))
    elif decision.outcome is Outcome.REFUSE and not (decision.failure and action.answers):
        _attach_elsewhere(connection, action, decision)
        reasons = {"reason": " ".join(reason.message for reason in decision.reasons)}
        call(connection, "move_action", action.action_id, "proposed", "rejected", "policy", Jsonb(reasons))
    return read(connection, action.action_id)


def _attach_elsewhere(connection: Connection, action: Action, decision: Decision) -> None:
    """Give the evidence of a proposal that is one with an earlier action to that one."""
    facts = Jsonb([fact.model_dump(mode="json") for fact in action.evidence])
    for obligation in decision.obligations:
        if obligation.code == "attach_evidence_to" and obligation.subject.isdecimal():
            call(connection, "attach_evidence", int(obligation.subject), facts, action.actor.name)
