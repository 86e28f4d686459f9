"""What acting costs: from a fact to its quarantine by rule, quarantine and release of few rows and of many with readers
running, and the verification of the audit.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta

from psycopg.types.json import Jsonb
from tests.benchmarks.figures import Figure, middle, p95, seconds
from tests.benchmarks.platform import scratch
from tests.benchmarks.serving import DATASET, FIRST, Publisher

from interlock.control import actions, active, audit, findings
from interlock.control.bundles import bundle_of, load_bundle
from interlock.control.findings import Fact, Finding
from interlock.control.questions import ActionState, Actor, ActorKind, Right
from interlock.control.records import Action, Proposal, Verb
from interlock.db.connection import Role, connect

FOUND, ROUNDS, EVENTS, AT_ONCE = 30, 20, 100_000, 1_000
FEW, MANY = 1_000, 1_000_000
LIMITS = "interlock/limits/data.yaml"


def figures() -> Iterator[Figure]:
    """A fact answered, beside the same done by hand; quarantine and release of many rows beside few; the audit."""
    with scratch(), Publisher() as publisher:
        _permit_many()
        days = [FIRST + timedelta(days=number) for number in range(2 * FOUND + 1)]
        for day in days:
            publisher.publish(day, FEW)
        with publisher.readers():
            first = seconds(lambda: _found_bad(days[0]))
            by_rule = [seconds(lambda: _found_bad(day)) for day in days[1 : FOUND + 1]]  # noqa: B023
            by_hand = [seconds(lambda: _proposed(day)) for day in days[FOUND + 1 :]]  # noqa: B023
        yield Figure(what="the first fact of a process, to its quarantine", ours=first, target="(for comparison)")
        yield Figure(what="a fact, to its automatic quarantine (p95)", ours=p95(by_rule), target="under 2 s")
        yield Figure(
            what="a fact, to its automatic quarantine, beside a proposal by hand",
            ours=middle(by_rule) * 1000,
            reference=middle(by_hand) * 1000,
            unit="ms",
            target="(for comparison)",
        )
        yield from _there_and_back(publisher, days[-1] + timedelta(days=1))
        yield from _verifying()


def _there_and_back(publisher: Publisher, few: date) -> Iterator[Figure]:
    """Quarantine and release of many rows, each beside few, in turns."""
    many = few + timedelta(days=1)
    publisher.publish(few, FEW)
    publisher.publish(many, MANY)
    took: dict[tuple[str, date], list[float]] = defaultdict(list)
    with publisher.readers():
        for _ in range(ROUNDS):
            for day in (few, many):
                quarantine = _proposed(day, execute=False)
                took["quarantine", day].append(seconds(lambda: _executed(quarantine)))  # noqa: B023
                waiting = actions.roll_back(quarantine.action_id, _person("ada"), "It was good.", execute=False)
                release = actions.answer(
                    waiting.action_id, _person("bob"), Verb.APPROVE, "Yes.", via="benchmark", execute=False
                )
                took["release", day].append(seconds(lambda: _executed(release)))  # noqa: B023
    for kind in ("quarantine", "release"):
        for day, rows in ((few, FEW), (many, MANY)):
            yield Figure(
                what=f"{kind} (p95), {rows:,} rows, readers running",
                ours=p95(took[kind, day]) * 1000,
                unit="ms",
                target="under 100 ms",
            )
        yield Figure(
            what=f"{kind} of {MANY:,} rows beside {FEW:,}",
            ours=middle(took[kind, many]) * 1000,
            reference=middle(took[kind, few]) * 1000,
            unit="ms",
            target="(about 1 x)",
        )


def _verifying() -> Iterator[Figure]:
    """Verify a chain of so many events, beside reading it."""
    with connect(Role.OWNER, autocommit=True) as owner:
        row = owner.execute("select position from interlock.audit_head").fetchone()
        for begin in range(row[0] if row else 0, EVENTS, AT_ONCE):
            owner.execute(
                "insert into interlock.event (kind, actor, payload)"
                " select 'action_executed', 'benchmark', jsonb_build_object('action', n, 'kind', 'release_partition',"
                " 'rationale', 'The till of shop ' || n || ' was open.', 'partitions', jsonb_build_array('2013-01-05'))"
                " from generate_series(1, %s) n",
                [min(AT_ONCE, EVENTS - begin)],
            )
    yield Figure(
        what=f"verifying {EVENTS:,} audit events, beside reading them",
        ours=min(seconds(audit.verify) for _ in range(3)),
        reference=min(seconds(lambda: list(audit.trail())) for _ in range(3)),
        target="under 5 s",
    )


def _permit_many() -> None:
    """A policy that lets rules act more often within the hour than the shipped one does."""
    contents = dict(load_bundle().contents)
    contents[LIMITS] = re.sub(r"^(automatic_(?:in|on)_\w+): \d+$", r"\1: 1000000", contents[LIMITS], flags=re.MULTILINE)
    with connect(Role.OWNER) as owner:
        row = owner.execute("select interlock.policy_revision(%s)", [Jsonb(contents)]).fetchone()
    assert row
    with connect(Role.CONTROLLER) as controller:
        active.begin(controller, bundle_of(row[0], contents), "benchmark")


def _found_bad(day: date) -> None:
    """Report that what is served is bad; on return it is quarantined."""
    fact = Finding(kind=Fact.PRODUCER_RECALL, dataset=DATASET, partition=str(day), message="The producer recalls it.")
    number = findings.report(fact, _person("ada"))
    answered_by = findings.get(number).answered_by
    assert answered_by is not None
    assert actions.get(answered_by).state is ActionState.EXECUTED


def _proposed(day: date, *, execute: bool = True) -> Action:
    wanted = Proposal(kind="quarantine_partition", rationale="It is bad.", dataset=DATASET, partitions=(str(day),))
    return actions.propose(wanted, _person("ada"), execute=execute)


def _executed(action: Action) -> None:
    assert actions.execute(action.action_id, _person("bob")).state is ActionState.EXECUTED


def _person(name: str) -> Actor:
    return Actor(kind=ActorKind.PERSON, name=name, on_behalf_of=None, domains=("*",), rights=tuple(Right))
