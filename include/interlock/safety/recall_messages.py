"""Telling who relied on it: once for each time that a version ceased to be safe, by the outbox of all notices.

Whoever is recorded is told what they were given and what to do over; the owner of a registered consumer that left no
record is told that it may have read the rows in SQL. A registered consumer's owner is told, or its contact; anybody
else under the name that they asked with. Where the settings name no address for somebody, nobody pretends that they
were told.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence

from pydantic import BaseModel, ConfigDict

from interlock.db.connection import Role, connect
from interlock.db.failures import translated
from interlock.safety.messages import LISTED
from interlock.safety.recall import Fallen, Recall, Registered, Relied
from interlock.safety.reliances import Kind
from interlock.settings import settings

TOLD = {
    Kind.CHECK: "was told that {rows} is safe",
    Kind.READ: "was given the rows of {rows}",
    Kind.METRIC: "was given {metric} ({about}), which rests on {rows}",
}
ASKED = 5


class Letter(BaseModel):
    """What one recipient would be told about one version, and why they are not, where they are not."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipient: str
    version: int
    title: str
    body: str
    is_new: bool
    has_address: bool


def letters(found: Recall) -> list[Letter]:
    """What there is to tell, to whom; those who were told before, and those without an address, included."""
    return [letter for fallen in found.fallen for letter in _letters(found, fallen)]


def tell(found: Recall, actor: str) -> list[Letter]:
    """Put the letters into the outbox that nobody put there before; returns those. One event for each version.

    Raises Refused where what is served has changed since the recall was read.
    """
    written: list[Letter] = []
    for fallen in found.fallen:
        due = [letter for letter in _letters(found, fallen) if letter.is_new and letter.has_address]
        if not due:
            continue
        notices = json.dumps([letter.model_dump(include={"recipient", "title", "body"}) for letter in due])
        with translated(), connect(Role.OPERATOR) as connection:
            row = connection.execute(
                "select interlock.tell_recall(%s, %s, %s, %s, %s, %s)",
                [found.dataset, found.partition, fallen.version, fallen.ended_at, notices, actor],
            ).fetchone()
        told = set(row[0]) if row else set()
        written += [letter for letter in due if letter.recipient in told]
    return written


def _letters(found: Recall, fallen: Fallen) -> Iterator[Letter]:
    relied: dict[str, list[Relied]] = defaultdict(list)
    for one in fallen.relied:
        relied[one.owner or one.contact or one.who].append(one)
    recorded = {one.consumer for one in fallen.relied}
    silent: dict[str, list[Registered]] = defaultdict(list)
    for consumer in fallen.registered:
        recipient = consumer.owner or consumer.contact
        if consumer.kind == "consumer" and consumer.name not in recorded and recipient:
            silent[recipient].append(consumer)
    told = {one.recipient for one in fallen.told}
    for recipient in dict.fromkeys([*relied, *silent]):
        yield Letter(
            recipient=recipient,
            version=fallen.version,
            title=f"Recalled: {found.dataset} {found.partition} was safe, and is not (version {fallen.version})",
            body="\n".join(_said(found, fallen, relied[recipient], silent[recipient])),
            is_new=recipient not in told,
            has_address=bool(settings().notify_urls.get(recipient)),
        )


def _said(found: Recall, fallen: Fallen, relied: Sequence[Relied], silent: Sequence[Registered]) -> Iterator[str]:
    first = fallen.stood[0]
    yield (
        f"{found.dataset} {found.partition} was safe in version {fallen.version} from {first.since:%Y-%m-%d %H:%M} to "
        f"{fallen.ended_at:%Y-%m-%d %H:%M} UTC. It turned out ({fallen.ended_by.code}): {fallen.ended_by.message}"
    )
    if relied:
        yield ""
        yield "On record, while it was safe:"
        yield from (f"- {line}" for line in map(sentence, relied[:LISTED]))
        if len(relied) > LISTED:
            yield f"- and {len(relied) - LISTED} more"
    if silent:
        names = ", ".join(f"{consumer.name} ({', '.join(consumer.datasets)})" for consumer in silent)
        yield ""
        yield f"Without a record, because what is read in SQL leaves none, these may have read it: {names}."
    yield ""
    yield "What to do over: whatever was made, sent or decided from that."
    yield from _when(found, fallen, relied, silent)
    yield f"All that rested on it: interlock recall {found.dataset} --partition {found.partition}"


def _when(found: Recall, fallen: Fallen, relied: Sequence[Relied], silent: Sequence[Registered]) -> Iterator[str]:
    """When there is something to do it over with, and what to ask first: about what they used, not where it began."""
    if found.stands is None:
        yield f"{found.dataset} {found.partition} is not safe yet. Wait until this says so:"
    else:
        since, version = found.stands.since, found.stands.version
        yield f"{found.dataset} {found.partition} is safe again since {since:%Y-%m-%d %H:%M} UTC (version {version})."
        yield "What was built from it has to follow. Ask before you begin:"
    used = [(one.dataset, partition) for one in relied for partition in one.partitions]
    open_to_them = {dataset for consumer in silent for dataset in consumer.datasets}
    used += [(item.dataset, item.partition) for item in fallen.built if item.dataset in open_to_them]
    for dataset, partition in list(dict.fromkeys(used))[:ASKED]:
        yield f"  interlock check {dataset} --partition {partition}"


def sentence(one: Relied) -> str:
    """One line of the record: who was given what, how often and when."""
    name = f"{one.consumer} ({one.who}, by {one.via})" if one.consumer else f"{one.who} (by {one.via})"
    value = f" = {one.value:,.6g}" if one.value is not None else ""
    given = TOLD[one.kind].format(
        rows=f"{one.dataset} {partitions(one.partitions)}", metric=f"{one.metric}{value}", about=one.about
    )
    often = f"at {one.last_at:%Y-%m-%d %H:%M} UTC"
    if one.times > 1:
        often = f"{one.times:,} times from {one.first_at:%Y-%m-%d %H:%M} to {one.last_at:%Y-%m-%d %H:%M} UTC"
    return f"{name} {given}, {often}"


def partitions(named: Sequence[str]) -> str:
    """Partitions in a few words."""
    return " ".join(named) if len(named) <= 2 else f"{named[0]} to {named[-1]} ({len(named)} partitions)"
