"""The audit: whether the chain of events is whole, the anchors that show a cut tail, and the trail for other systems.

Each event carries the SHA-256 of its own canonical JSON, which names the hash of the event before it. Whoever can write
to the database can therefore change nothing without rewriting all that follows; and the head of the chain is copied
outside the database as it grows, so that a rewritten or shortened chain does not fit its copies. The database makes the
chain (db/migrations/sql/14_audit.sql); what is here only reads it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from interlock.clock import real_now
from interlock.db.connection import Role, connect
from interlock.errors import PermanentFailure
from interlock.settings import settings

logger = logging.getLogger(__name__)

_quoted = json.JSONEncoder(ensure_ascii=False).encode
_in_order = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode
GENESIS = "00" * 32
ANCHOR = re.compile(r"(?P<position>\d{12})_(?P<hash>[0-9a-f]{64})\.json")
CLOUDEVENT = {"specversion": "1.0", "source": "/interlock", "datacontenttype": "application/json"}


class Harm(StrEnum):
    """What was done to the chain."""

    CHANGED = "changed"  # the event no longer says what its hash was made of
    REMOVED = "removed"  # events are missing before it
    REORDERED = "reordered"  # it stood at another place
    INSERTED = "inserted"  # nothing that follows stands on it
    CUT = "cut"  # the chain ends before what was anchored
    REWRITTEN = "rewritten"  # whole in itself, but not the chain that was anchored


class Finding(BaseModel):
    """One harm, with the place in the chain where it shows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    harm: Harm
    position: int
    event_id: int | None = None
    message: str


class Anchor(BaseModel):
    """The head of the chain as it once was."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    position: int
    hash: str


class Report(BaseModel):
    """What a verification found. `events` and `anchors` are how many were looked at."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    events: int
    anchors: int
    head: Anchor
    findings: tuple[Finding, ...]

    @property
    def is_whole(self) -> bool:
        """Whether nothing was harmed, as far as can be told."""
        return not self.findings

    @property
    def is_anchored(self) -> bool:
        """Whether a tail that was cut would show. Where nothing is kept outside the database, nobody can tell."""
        return self.anchors > 0


@dataclass(frozen=True, slots=True)
class Link:
    """An event of the chain as it is now, and the hash that it was given. `payload` is JSON."""

    actor: str
    at: str
    dataset: str | None
    id: int
    kind: str
    partition: str | None
    payload: str
    position: int
    previous: str
    run: int | None
    hash: str

    def document(self, position: int | None = None) -> str:
        """The text that its hash is made of: canonical JSON; as if it stood at another place where one is given."""
        payload = _canonical_text(self.payload)
        return (
            f'{{"actor":{_quoted(self.actor)},"at":"{self.at}","dataset":{_quoted(self.dataset)},"id":{self.id},'
            f'"kind":{_quoted(self.kind)},"partition":{_quoted(self.partition)},"payload":{payload},'
            f'"position":{self.position if position is None else position},"previous":"{self.previous}",'
            f'"run":{_quoted(self.run)}}}'
        )

    def is_itself(self, position: int | None = None) -> bool:
        """Whether its hash is that of what it says, or would be at another place."""
        return hashlib.sha256(self.document(position).encode()).hexdigest() == self.hash

    @property
    def as_json(self) -> str:
        """The document with its hash, number for number as it was hashed."""
        return f'{self.document()[:-1]},"hash":"{self.hash}"}}'


class _Number(str):
    """A number as it is written."""

    __slots__ = ()


class _HasFraction(Exception):
    """A number is more than an integer."""


def _canonical_text(payload: str) -> str:
    """JSON in the one spelling: the fast way, unless it has fractions, which Python would write in a way of its own."""
    try:
        return _in_order(json.loads(payload, parse_float=_refuse_fraction))
    except _HasFraction:
        return _canonical(json.loads(payload, parse_int=_Number, parse_float=_Number))


def _refuse_fraction(_: str) -> None:
    raise _HasFraction


def _canonical(value: Any) -> str:
    """JSON in one spelling, that of `interlock.canonical_json`: keys in order, no blanks, numbers as they were."""
    if isinstance(value, dict):
        return f"{{{','.join(f'{_quoted(key)}:{_canonical(value[key])}' for key in sorted(value))}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_canonical, value))}]"
    return value if isinstance(value, _Number) else _quoted(value)


_BEGINNING = Link("", "", None, 0, "", None, "{}", 0, "", None, GENESIS)


def verify() -> Report:
    """Check every event against its hash and its neighbours, and the chain against its anchors, as the auditor."""
    with connect(Role.AUDITOR) as connection:
        links = list(_links(connection))
        found = connection.execute("select position, encode(hash, 'hex') from interlock.audit_head").fetchone()
    head = Anchor(position=found[0], hash=found[1]) if found else Anchor(position=0, hash=GENESIS)
    anchored = anchors()
    return Report(
        events=len(links),
        anchors=len(anchored),
        head=head,
        findings=(*_broken(links), *_unlike([*anchored, head], links)),
    )


def anchor() -> Anchor | None:
    """Copy the head of the chain to where anchors are kept; None where it could not be written, which is logged.

    A chain that is not anchored for a while is as good as before but for its newest events, so no run fails for it.
    """
    with connect(Role.OPERATOR) as connection:
        row = connection.execute("select position, encode(hash, 'hex') from interlock.audit_head").fetchone()
    if row is None or row[0] == 0:
        return None
    head = Anchor(position=row[0], hash=row[1])
    files, folder = _place()
    path = f"{folder}/{head.position:012d}_{head.hash}.json"
    try:
        files.makedirs(folder, exist_ok=True)
        if not files.exists(path):
            files.pipe_file(path, json.dumps(head.model_dump() | {"anchored_at": real_now().isoformat()}).encode())
    except OSError as error:
        logger.warning("the head of the audit (event %s) could not be anchored at %s: %s", head.position, folder, error)
        return None
    return head


def anchors() -> list[Anchor]:
    """Every anchor that was kept, oldest first. Raises PermanentFailure where the place cannot be read."""
    files, folder = _place()
    try:
        files.invalidate_cache()
        paths = files.ls(folder, detail=False) if files.exists(folder) else []
    except OSError as error:
        raise PermanentFailure(
            f"The anchors of the audit at {folder} could not be read: {error}",
            fix="See that INTERLOCK_AUDIT_ANCHOR_URL can be reached; without its anchors a cut tail would not show.",
        ) from error
    read = (ANCHOR.fullmatch(str(path).rsplit("/", 1)[-1]) for path in sorted(paths))
    return [Anchor(position=int(name["position"]), hash=name["hash"]) for name in read if name]


def trail(since: int = 0) -> Iterator[Link]:
    """The events after a position, in order."""
    with connect(Role.AUDITOR) as connection:
        yield from _links(connection, since)


def cloudevent(link: Link) -> dict[str, Any]:
    """An event as CloudEvents 1.0 in JSON; the extension `sequence` is its position in the chain."""
    event = json.loads(link.as_json)
    subject = "/".join(str(part) for part in (event["dataset"], event["partition"]) if part is not None)
    return CLOUDEVENT | {
        "id": str(link.position),
        "type": f"org.interlock.{event['kind']}",
        "time": event["at"],
        "sequence": f"{link.position:012d}",
        **({"subject": subject} if subject else {}),
        "data": event,
    }


def _links(connection: Any, since: int = 0) -> Iterator[Link]:
    columns = ", ".join(f"t.{field.name}" for field in fields(Link))
    query = f"select {columns} from interlock.audit_trail t where t.position > %s order by t.position"  # noqa: S608
    for row in connection.execute(query.encode(), [since]):
        yield Link(*row)


def _broken(links: list[Link]) -> Iterator[Finding]:
    """What does not fit within the chain itself."""
    places = {link.hash: link.position for link in links} | {GENESIS: 0}
    before, inserted = _BEGINNING, 0
    for link, after in zip(links, [*links[1:], None], strict=True):
        at = {"position": link.position, "event_id": link.id}
        if link.is_itself() and after is not None and after.previous == before.hash:
            yield Finding(harm=Harm.INSERTED, **at, message=f"no event stands on event {link.id}")
            inserted += 1  # what follows may have been moved on to make room for it
            continue
        stood = places.get(link.previous, -1) + 1
        if link.is_itself(link.position - inserted):
            if link.previous not in places:
                yield Finding(harm=Harm.REMOVED, **at, message=_removed(before, link))
            elif link.previous != before.hash:
                yield Finding(harm=Harm.REORDERED, **at, message=f"it stands on the event at position {stood - 1}")
        elif stood and link.is_itself(stood):
            yield Finding(harm=Harm.REORDERED, **at, message=f"event {link.id} stood at position {stood}")
        else:
            yield Finding(harm=Harm.CHANGED, **at, message=f"event {link.id} is not what its hash was made of")
        before = link


def _removed(before: Link, link: Link) -> str:
    first, last = before.position + 1, link.position - 1
    if first > last:
        return f"what event {link.id} stood on is gone"
    return f"position {first} is gone" if first == last else f"positions {first} to {last} are gone"


def _unlike(anchored: list[Anchor], links: list[Link]) -> Iterator[Finding]:
    """What the anchors, and the head in the database, say otherwise."""
    hashes = {link.position: link.hash for link in links}
    last = max(hashes, default=0)
    for known in anchored:
        if known.position == 0 or hashes.get(known.position) == known.hash:
            continue
        if known.position > last:
            message = f"the chain ends at {last}, and once went on to {known.position} at least"
            yield Finding(harm=Harm.CUT, position=known.position, message=message)
        elif known.position in hashes:
            message = f"another event stood at {known.position} when it was anchored"
            yield Finding(harm=Harm.REWRITTEN, position=known.position, message=message)


def _place() -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    files, folder = url_to_fs(settings().audit_anchors)
    return files, folder.rstrip("/")
