"""Who acts in the tests of the control plane, what they propose, and what came of it."""

from __future__ import annotations

from typing import Any

from interlock.control import actions, findings
from interlock.control.findings import Finding
from interlock.control.questions import ActionState, Actor, ActorKind, Evidence, Right
from interlock.control.records import Action, Proposal, Verb
from interlock.db.connection import Role

EVERYTHING = tuple(Right)


def person(name: str, *domains: str, rights: tuple[Right, ...] = EVERYTHING) -> Actor:
    """A person with rights in some domains; in all of them unless told otherwise."""
    return Actor(kind=ActorKind.PERSON, name=name, on_behalf_of=None, domains=domains or ("*",), rights=rights)


def rule(name: str = "served_version_found_bad") -> Actor:
    """A rule."""
    rights = (Right.PROPOSE, Right.EXECUTE)
    return Actor(kind=ActorKind.RULE, name=f"rule:{name}", on_behalf_of=None, domains=("*",), rights=rights)


DAY, NEXT = "2013-01-05", "2013-01-06"
VIA = {"via": "command line"}
ANNA, BEN, CARL = person("anna"), person("ben"), person("carl")


def proposal(kind: str, dataset: str | None = None, *partitions: str, **more: Any) -> Proposal:
    """A proposal with a rationale."""
    return Proposal(**{"kind": kind, "rationale": "because", "dataset": dataset, "partitions": partitions, **more})


def found_bad(dataset: str, partition: str, version: int, *, root: str | None = None) -> Evidence:
    """The fact, on record, that a version that is served was recalled by its producer."""
    said = {"kind": "producer_recall", "dataset": dataset, "partition": partition, "version": version, "root": root}
    (number,) = findings.record([Finding(**said, message="recalled")], rule("recalls"))
    return next(found.as_evidence for found in findings.find(dataset=dataset) if found.finding_id == number)


def carried_out(kind: str, dataset: str | None = None, *partitions: str, **more: Any) -> Action:
    """An action that anna proposes, and that ben and carl approve as far as it takes them."""
    action = actions.propose(proposal(kind, dataset, *partitions, **more), ANNA)
    for actor in (BEN, CARL):
        if action.state is ActionState.PROPOSED:
            action = actions.answer(action.action_id, actor, Verb.APPROVE, "yes", **VIA)
    return action


def version_of(platform: Any, dataset: str, partition: str = DAY) -> int:
    """The version that is served."""
    return int(platform.call(Role.CONSUMER, "ask", dataset, partition)["version"])


def events_of(action_id: int) -> list[str]:
    """What the audit tells of an action."""
    return [link.kind for link in actions.story(action_id).events]
