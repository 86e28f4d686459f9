"""What the policy is asked about an action: everything that it may know, as of now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from interlock.control import policy
from interlock.control.kinds import kind_of
from interlock.control.questions import Action as Asked
from interlock.control.questions import Approval, BlastRadius, Environment, Evidence, Question, RecentAction, Scope
from interlock.control.reading import now
from interlock.control.records import Verb
from interlock.db.connection import statement
from interlock.errors import InterlockError
from interlock.settings import settings

if TYPE_CHECKING:
    from interlock.control.records import Action
    from interlock.db.connection import Connection

DAY_MINUTES = 1440


def question_about(connection: Connection, action: Action) -> Question:
    """The question about an action, asked on a connection as CONTROLLER."""
    return Question(
        actor=action.actor,
        action=Asked(
            kind=action.kind,
            parameters=action.parameters,
            rationale=action.rationale,
            is_reversible=kind_of(action.kind).is_reversible,
            proposed_at=int(action.proposed_at.timestamp()),
        ),
        scope=Scope(
            domains=action.domains,
            dataset=action.dataset,
            partitions=action.partitions,
            version=action.version,
            is_served=_is_served(connection, action),
        ),
        evidence=_recorded(connection, action),
        blast_radius=BlastRadius.model_validate_json(action.radius.model_dump_json(exclude={"touches"})),
        environment=Environment(name=settings().environment, frozen_domains=_frozen(connection)),
        time=int(now(connection).timestamp()),
        approvals=tuple(
            Approval(actor=given.actor, at=int(given.at.timestamp()))
            for given in action.answers
            if given.answer is Verb.APPROVE
        ),
        recent=_recent(connection, action),
    )


def _recorded(connection: Connection, action: Action) -> tuple[Evidence, ...]:
    """The evidence that is on record as a finding: what somebody merely claims moves no policy."""
    facts = Jsonb([fact.model_dump(mode="json") for fact in action.evidence])
    found = {ref for (ref,) in connection.execute(statement("control/recorded.sql").encode(), {"facts": facts})}
    return tuple(fact for fact in action.evidence if fact.ref in found)


def _is_served(connection: Connection, action: Action) -> bool | None:
    if action.version is None or not action.partitions:
        return None
    row = connection.execute(
        b"select count(*) from interlock.partition p join interlock.dataset d on d.dataset_id = p.dataset_id"
        b" where d.name = %s and p.partition = any (%s) and p.withdrawn_at is null"
        b" and interlock.is_part_of_served(d, p, %s)",
        [action.dataset, list(action.partitions), action.version],
    ).fetchone()
    return row is not None and row[0] == len(action.partitions)


def _frozen(connection: Connection) -> tuple[str, ...]:
    return tuple(
        name for (name,) in connection.execute(b"select f.domain from interlock.freeze f where f.thawed_at is null")
    )


def _recent(connection: Connection, action: Action) -> tuple[RecentAction, ...]:
    with connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(
            statement("control/recent.sql").encode(),
            {
                "minutes": _window_minutes(connection),
                "action_id": action.action_id,
                "kind": action.kind,
                "domains": list(action.domains),
                "dataset": action.dataset,
                "partitions": list(action.partitions),
                "version": action.version,
            },
        )
        return tuple(RecentAction.model_validate(row, strict=False) for row in cursor)


def _window_minutes(connection: Connection) -> int:
    """For how long the active policy looks back; a day where it does not say."""
    try:
        limits = policy.current_policy(connection).bundle.data["interlock"]["limits"]
        windows = (limits["automatic_window_minutes"], limits["collapse_minutes"], limits["evidence_hours"] * 60)
        return max(map(int, windows))
    except (InterlockError, OSError, KeyError, TypeError, ValueError):
        return DAY_MINUTES  # the decision itself says what is wrong
