"""What must hold after every recovery, each as a function that names what does not.

A function returns one sentence for each thing that is wrong, and nothing where all is well. `after_recovery` takes them
all: what is added to `INVARIANTS` is checked from then on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.checksums import EMPTY, Known, Table, contents_of, one_statement, parameters
from tests.chaos.world import FEEDS, World

from interlock.db.connection import Role

SETTLE_SECONDS = 10.0
Violations = Iterator[str]


@dataclass
class Subject:
    """What is checked: the platform, what it should hold, and what this round did to it."""

    world: World
    tables: tuple[Table, ...]
    known: Known
    since_run: int = 0
    woken: list[int] = field(default_factory=list)  # runs that were stopped past their lease and woken again


def served_tables_are_those_of_the_undisturbed_run(subject: Subject) -> Violations:
    """By checksum, through `safe` and with the answer beside it, in one snapshot for each day."""
    query = one_statement(subject.tables)
    for day, content in subject.world.served.items():
        rows = subject.world.rows(query, parameters(day), role=Role.CONSUMER)
        for table, (dataset, count, checksum, answer) in zip(subject.tables, rows, strict=True):
            found = (count, checksum)
            if content not in contents_of(subject.known, dataset, table.partition(day), found):
                wanted = subject.known[dataset][table.partition(day)].get(content, EMPTY)
                yield f"{dataset} {table.partition(day)} holds {found}, and undisturbed {tuple(wanted)} ({content})"
            if not answer["safe"]:
                yield f"{dataset} {table.partition(day)} is {answer['state']}: {answer['reasons']}"


def nothing_is_called_unsafe(subject: Subject) -> Violations:
    """Raw included, which no consumer reads."""
    yield from _said(subject, "unsafe.sql", days=list(subject.world.served))


def no_claim_is_left(subject: Subject) -> Violations:
    """A lease that outlives its run keeps everybody else from the partition."""
    yield from _said(subject, "claims.sql")


def no_session_or_advisory_lock_is_left(subject: Subject) -> Violations:
    """The server notices that a client died when it has something to say to it; that is waited for."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while (left := list(_said(subject, "sessions.sql"))) and time.monotonic() < deadline:
        time.sleep(0.05)
    yield from left


def no_workspace_is_left(subject: Subject) -> Violations:
    """No schema of a run, and nothing that the builder still owns."""
    yield from _said(subject, "workspaces.sql")


def candidates_are_whole(subject: Subject) -> Violations:
    """Sealed, with their table, and out of the builder's hands; what is sealed and unattached is kept as evidence."""
    yield from _said(subject, "candidates.sql")


def loads_are_whole(subject: Subject) -> Violations:
    """None in the middle of loading, no row of a load that is not recorded, and as many rows as were recorded."""
    yield from _said(subject, "loads.sql")
    for dataset, schema in subject.world.statement("raw_rows.sql"):
        query = (
            "select coalesce(l.load_id, t._load_id), v.rows, t.n"
            " from (select l.load_id from interlock.load l join interlock.dataset d using (dataset_id)"
            f" where d.name = '{dataset}') as l"
            f" full join (select _load_id, count(*) as n from {schema}.{dataset} group by 1) as t"
            " on t._load_id = l.load_id"
            " left join interlock.version v on v.version = l.load_id"
            " where l.load_id is null or v.rows is distinct from coalesce(t.n, 0)"
        )
        for load, recorded, stored in subject.world.rows(query):
            yield f"load {load} of {dataset} has {stored} rows, and {recorded} are recorded"


def accepted_loads_hold_what_was_delivered(subject: Subject) -> Violations:
    """As many rows as the file of that content has lines."""
    for domain, feed in FEEDS.items():
        served = dict(
            subject.world.rows(
                f"select _partition, count(*) from raw_{domain}.{feed}_accepted group by 1", role=Role.DEVELOPER
            )
        )
        for day, content in subject.world.served.items():
            if served.get(day) != (lines := subject.world.lines(day, content, feed)):
                yield f"{feed} {day} has {served.get(day)} accepted rows, and {lines} were delivered"


def the_landing_folder_is_as_the_producer_left_it(subject: Subject) -> Violations:
    """No file is half written, added, changed or taken away by a run."""
    world = subject.world
    for feed in FEEDS.values():
        wanted = {
            f"{feed}_{day}.csv{mark}": (world.folder / content / feed / f"{feed}_{day}.csv{mark}").read_bytes()
            for day, content in world.served.items()
            for mark in ("", ".done")
        }
        found = {path.name: path.read_bytes() for path in (world.landing / feed).iterdir()}
        for name in sorted(wanted.keys() ^ found.keys()):
            yield f"landing/{feed}/{name} is {'missing' if name in wanted else 'of nobody'}"
        for name in wanted.keys() & found.keys():
            if wanted[name] != found[name]:
                yield f"landing/{feed}/{name} was changed"


def runs_ended_or_are_shown_as_never_ended(subject: Subject) -> Violations:
    """A run that was killed stands there as running, without a claim; one that succeeded has no phase that did not."""
    yield from _said(subject, "runs.sql")


def runs_of_one_partition_never_interleave(subject: Subject) -> Violations:
    """One that was stopped past its lease began before, of course; what it may do when woken is checked there."""
    yield from _said(subject, "interleaving.sql", since=subject.since_run, woken=subject.woken)


def pointers_agree_with_their_verdicts_causes_and_events(subject: Subject) -> Violations:
    """They commit together or not at all."""
    yield from _said(subject, "pointers.sql")


def the_ledger_balances(subject: Subject) -> Violations:
    """Every served partition has accounts, and each of them balances."""
    yield from _said(subject, "ledger.sql")


INVARIANTS: tuple[Callable[[Subject], Violations], ...] = (
    served_tables_are_those_of_the_undisturbed_run,
    nothing_is_called_unsafe,
    no_claim_is_left,
    no_session_or_advisory_lock_is_left,
    no_workspace_is_left,
    candidates_are_whole,
    loads_are_whole,
    accepted_loads_hold_what_was_delivered,
    the_landing_folder_is_as_the_producer_left_it,
    runs_ended_or_are_shown_as_never_ended,
    runs_of_one_partition_never_interleave,
    pointers_agree_with_their_verdicts_causes_and_events,
    the_ledger_balances,
)


def after_recovery(subject: Subject) -> list[str]:
    """Everything that does not hold, each with the name of its invariant."""
    return [
        f"{invariant.__name__.replace('_', ' ')}: {said}" for invariant in INVARIANTS for said in invariant(subject)
    ]


def what_readers_saw(
    subject: Subject, notes: list[dict[str, Any]], before: str | None, after: str, *, is_ordered: bool
) -> list[str]:
    """What readers must never see: what they objected to, a content that came back, *safe* without its verdict."""
    found = [f"a reader ({n['manner']}): {n['violation']} {n.get('answer', '')}" for n in notes if "violation" in n]
    shown = [(note["manner"], note["saw"]) for note in notes if "saw" in note and note["saw"]["rows"]]
    newer: set[tuple[str, str]] = set()
    for manner, saw in shown:
        contents = set(saw["contents"])
        if saw["partition"] == "all" or contents == {before, after}:
            continue
        if not contents & ({before} | {after}):
            found.append(f"a reader ({manner}) saw {saw['dataset']} {saw['partition']} as {contents} of another time")
        elif not is_ordered:
            continue
        elif after in contents:
            newer.add((manner, saw["dataset"]))
        elif (manner, saw["dataset"]) in newer:
            found.append(f"a reader ({manner}) saw {saw['dataset']} {saw['partition']} go back to {before}")
    for dataset, partition, version, verdict in {
        (saw["dataset"], saw["partition"], saw["version"], saw["verdict"]) for _, saw in shown
    }:
        answer = subject.world.statement(
            "seen.sql", version=version, dataset=dataset, partition=partition, verdict=verdict
        )
        if answer != [(True,)]:
            found.append(
                f"a reader saw {dataset} {partition} version {version}, on which verdict {verdict} does not stand"
            )
    return found


def _said(subject: Subject, file: str, **values: Any) -> Violations:
    for (sentence,) in subject.world.statement(file, **values):
        yield sentence
