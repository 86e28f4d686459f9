"""Rules: what is proposed from which facts. A rule recommends, and the policy decides; what it lets through is recorded
with the rule as its actor and the facts as its evidence.

Whoever reports a fact lets the rules answer at once, and a sweep lets them answer what was left: facts of a process
that died, and those whose action came to nothing, because the world changed meanwhile or the policy could not be asked.
One process answers at a time, and a fact that became evidence of an action is answered by it, so that it leads to one
action however often it is swept.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

from interlock.control import actions, findings
from interlock.control.findings import Fact, Open, Standing
from interlock.control.questions import Actor, ActorKind, Right
from interlock.control.records import Proposal
from interlock.db.connection import Role, connect
from interlock.db.failures import translated
from interlock.errors import InterlockError

if TYPE_CHECKING:
    from interlock.control.records import Action
    from interlock.db.connection import Connection

logger = logging.getLogger(__name__)

# One number for "the findings of this database are being answered"; advisory locks are of one database.
ANSWERING_LOCK = 4_738_122
SHOWN_FACTS = 3


class Rule(ABC):
    """One rule. `facts` are the kinds that it answers."""

    name: ClassVar[str]
    facts: ClassVar[frozenset[Fact]]

    @property
    def actor(self) -> Actor:
        """Who proposes."""
        return Actor(
            kind=ActorKind.RULE,
            name=f"rule:{self.name}",
            on_behalf_of=None,
            domains=("*",),
            rights=(Right.PROPOSE, Right.EXECUTE),
        )

    @abstractmethod
    def obstacle(self, finding: Open) -> str | None:
        """Why nothing is to be done about a finding; None where something is."""

    @abstractmethod
    def subject(self, finding: Open) -> tuple[object, ...]:
        """What findings have in common that are answered together."""

    @abstractmethod
    def proposal(self, found: Sequence[Open]) -> Proposal:
        """What to do about findings of one subject."""

    def key(self, found: Sequence[Open]) -> str:
        """The idempotency key of their action: that of the first of them, and of the try."""
        first = found[0]
        return f"rule:{self.name}:{first.finding_id}" + (f":{first.tries}" if first.tries else "")


class ServedVersionFoundBad(Rule):
    """What readers see was found bad: that version of it is quarantined, and never the one that replaces it."""

    name = "served_version_found_bad"
    facts = frozenset({Fact.FAILED_CHECK, Fact.FAILED_RECONCILIATION, Fact.PRODUCER_RECALL})

    def obstacle(self, finding: Open) -> str | None:
        """A version that nobody is served needs no quarantine."""
        if finding.standing is Standing.WITHDRAWN:
            return f"version {finding.version} was quarantined already"
        if finding.standing is Standing.GONE:
            return f"version {finding.version} is not what is served"
        return None

    def subject(self, finding: Open) -> tuple[object, ...]:
        """A version may cover many days, and one fact may be about several of them."""
        return finding.dataset, finding.version, finding.root

    def proposal(self, found: Sequence[Open]) -> Proposal:
        """One quarantine of all their partitions."""
        return Proposal(
            kind="quarantine_partition",
            rationale=_told(found),
            dataset=found[0].dataset,
            partitions=tuple(sorted({finding.partition for finding in found if finding.partition})),
            version=found[0].version,
            evidence=tuple(finding.as_evidence for finding in found),
            key=self.key(found),
        )


class CandidatesHeldInARow(Rule):
    """One candidate after the other fails its gate: the dataset stands still until a person has looked."""

    name = "candidates_held_in_a_row"
    facts = frozenset({Fact.HELD_CANDIDATES})

    def obstacle(self, finding: Open) -> str | None:
        """A dataset that stands still needs no pause."""
        return f"{finding.dataset} stands still already" if finding.standing is Standing.PAUSED else None

    def subject(self, finding: Open) -> tuple[object, ...]:
        """Each streak by itself."""
        return finding.dataset, finding.root

    def proposal(self, found: Sequence[Open]) -> Proposal:
        """A pause of the dataset."""
        return Proposal(
            kind="pause_pipeline",
            rationale=_told(found),
            dataset=found[0].dataset,
            evidence=tuple(finding.as_evidence for finding in found),
            key=self.key(found),
        )


RULES: tuple[Rule, ...] = (ServedVersionFoundBad(), CandidatesHeldInARow())


def react(by: Actor) -> list[Action]:
    """Look for held candidates, which nobody reports, and answer everything that is open; for whoever sweeps."""
    try:
        if held := findings.held_candidates():
            findings.record(held, by)
    except InterlockError as failure:
        logger.warning("held candidates could not be looked for: %s", failure)
    return answer()


def answer() -> list[Action]:
    """Propose from every finding that nothing has come of yet; returns the actions as they then stand.

    One that cannot be proposed is logged and stays open, and holds up no other.
    """
    taken: list[Action] = []
    with _alone() as connection:
        _settle(connection)
        waiting = _open(connection)
        for rule in RULES:
            for found in _by_subject(rule, _answerable(connection, rule, waiting)):
                try:
                    taken.append(_proposed(connection, rule, found))
                except Exception as failure:
                    told = ", ".join(finding.ref for finding in found)
                    unforeseen = None if isinstance(failure, InterlockError) else failure
                    logger.warning(
                        "rule %s could not propose from %s: %s", rule.name, told, failure, exc_info=unforeseen
                    )
    return taken


def _proposed(connection: Connection, rule: Rule, found: Sequence[Open]) -> Action:
    action = actions.propose(rule.proposal(found), rule.actor)
    logger.info("rule %s: action %s, %s (%s)", rule.name, action.action_id, action.title, action.state.value)
    _settle(connection)
    return action


def _answerable(connection: Connection, rule: Rule, waiting: Iterable[Open]) -> Iterator[Open]:
    """The findings that a rule has something to do about; of the others it is noted why it has not."""
    for finding in waiting:
        if finding.kind not in rule.facts or finding.standing is Standing.HIDDEN:
            continue
        obstacle = rule.obstacle(finding)
        if obstacle is None:
            yield finding
        else:
            connection.execute("select interlock.leave_finding(%s, %s)", [finding.finding_id, obstacle])


def _by_subject(rule: Rule, found: Iterable[Open]) -> list[list[Open]]:
    together: dict[tuple[object, ...], list[Open]] = {}
    for finding in found:
        together.setdefault(rule.subject(finding), []).append(finding)
    return list(together.values())


def _settle(connection: Connection) -> None:
    """What became evidence of an action is answered by it."""
    connection.execute("select interlock.settle_findings()")


def _open(connection: Connection) -> list[Open]:
    rows = connection.execute("select to_jsonb(f)::text from interlock.open_findings() f")
    return [Open.model_validate_json(row) for (row,) in rows]


@contextmanager
def _alone() -> Iterator[Connection]:
    """Whoever comes second waits, and finds answered what the first one has answered."""
    with translated(), connect(Role.CONTROLLER, autocommit=True) as connection:
        connection.execute("select set_config('lock_timeout', '60s', false)")
        connection.execute("select pg_advisory_lock(%s)", [ANSWERING_LOCK])
        yield connection


def _told(found: Sequence[Open]) -> str:
    messages = list(dict.fromkeys(finding.message for finding in found))
    more = f" (and {len(messages) - SHOWN_FACTS} more)" if len(messages) > SHOWN_FACTS else ""
    return " ".join(messages[:SHOWN_FACTS]) + more
