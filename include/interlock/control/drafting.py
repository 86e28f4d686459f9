"""A proposal before it is an action: completed by its kind, with what it would touch and what stands in its way."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from psycopg import sql
from psycopg.types.json import Jsonb
from pydantic import BaseModel, ConfigDict

from interlock.control import policy
from interlock.control.asking import question_about
from interlock.control.kinds import kind_of
from interlock.control.reading import now, read
from interlock.control.records import Action, Preview, Proposal, Radius, title_of
from interlock.db.connection import Role, connect
from interlock.db.failures import Refused, translated
from interlock.errors import UsageError

if TYPE_CHECKING:
    from interlock.control.kinds.base import Kind
    from interlock.control.questions import Actor
    from interlock.db.connection import Connection


class Draft(BaseModel):
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
    with translated(), connect(Role.CONTROLLER) as connection:
        draft = drawn(connection, proposal)
        definition = draft.definition(actor)
        obstacle = None
        try:
            require_precondition(connection, definition)
        except Refused as refused:
            obstacle = str(refused)
        row = definition | {"dataset": draft.proposal.dataset, "evidence": proposal.evidence}
        decision = policy.decide(question_about(connection, _imagined(connection, row)), connection)
        connection.rollback()
    return Preview(
        proposal=draft.proposal, domains=draft.domains, radius=draft.radius, decision=decision, obstacle=obstacle
    )


def drawn(connection: Connection, proposal: Proposal) -> Draft:
    """Complete a proposal and compute what it touches. Raises UsageError where it names what does not exist."""
    kind = kind_of(proposal.kind)
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
    _require_inverse(connection, kind, completed, domains)
    return Draft(
        proposal=completed,
        domains=domains,
        dataset_id=dataset_id,
        radius=kind.radius(connection, completed, domains),
    )


def require_precondition(connection: Connection, definition: dict[str, Any]) -> None:
    """Ask whether a row of interlock.action could be carried out now. Raises Refused (PRECONDITION)."""
    query = sql.SQL("select interlock.{}(jsonb_populate_record(null::interlock.action, %s))").format(
        sql.Identifier(kind_of(definition["kind"]).precondition)
    )
    with translated(), connection.transaction():
        connection.execute(query, [Jsonb(definition)])


def _require_inverse(connection: Connection, kind: Kind, completed: Proposal, domains: tuple[str, ...]) -> None:
    """Executing an action marks the one that it undoes as rolled back: it has to be its inverse, on the same scope."""
    if completed.undoes is None:
        return
    undone = read(connection, completed.undoes)
    scope = (kind.name, domains, completed.dataset, completed.partitions)
    if scope != (kind_of(undone.kind).inverse, undone.domains, undone.dataset, undone.partitions):
        wanted = title_of(kind.name, completed.dataset or ", ".join(domains), completed.partitions, None)
        raise UsageError(
            f"Action {undone.action_id} ({undone.title}) is not undone by {wanted}: an action is taken back whole.",
            fix=f"`interlock action rollback {undone.action_id}` proposes just what undoes it.",
        )


def _imagined(connection: Connection, row: dict[str, Any]) -> Action:
    """A proposal as the action that it would be."""
    absent = dict.fromkeys(("decision", "decided_at", "executed_at", "failure"))
    times = dict.fromkeys(("proposed_at", "expires_at"), now(connection))
    kept = {name: value for name, value in row.items() if name != "dataset_id"}
    return Action.model_validate(
        kept | absent | times | {"state": "proposed", "result": {}, "answers": ()}, strict=False
    )
