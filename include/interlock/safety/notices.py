"""Telling owners: once for each unsafe episode of their datasets, and once when it is over.

Whoever opens or clears a cause writes a notice in the same transaction (an outbox); this module sends what is
waiting. One bad delivery makes a whole branch of the lineage unsafe, so the notices of one owner that go back
to the same fact become one message. A message that nobody accepted stays in the outbox for the next drain; it
is marked as sent only after it was, so a crash between the two repeats a message and never loses one.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from interlock import logs
from interlock.db.connection import Role, connect, statement
from interlock.db.failures import translated
from interlock.settings import settings

if TYPE_CHECKING:
    from interlock.db.connection import Connection

logger = logging.getLogger(__name__)

LISTED = 20


class Notice(BaseModel):
    """One partition that became unsafe, or is safe again, with the fact that its episode began with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    notice_id: int
    owner: str
    kind: str
    dataset: str
    partition: str
    path: tuple[str, ...]
    root_id: int
    root_dataset: str
    root_partition: str
    code: str
    message: str
    clears: str


class Message(BaseModel):
    """What one owner is told about one fact."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    owner: str
    kind: str
    title: str
    body: str
    dataset: str
    partition: str
    notice_ids: tuple[int, ...]


class Drained(BaseModel):
    """How many messages went out, and how many wait for the next time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sent: int = 0
    kept: int = 0


def drain() -> Drained:
    """Send what is waiting. One process at a time: whoever finds another one sending leaves it to that one."""
    with translated(), connect(Role.OPERATOR, autocommit=True) as connection:
        row = connection.execute("select pg_try_advisory_lock(hashtextextended('interlock.notices', 0))").fetchone()
        if row is None or not row[0]:
            return Drained()
        sent = kept = 0
        unreachable: set[str] = set()
        for message in messages(_unsent(connection)):
            with logs.bound(dataset=message.dataset, partition=message.partition):
                is_told = message.owner not in unreachable and _send(message)
            if is_told:
                connection.execute("select interlock.mark_notices_sent(%s)", [list(message.notice_ids)])
                sent += 1
            else:
                unreachable.add(message.owner)
                kept += 1
        return Drained(sent=sent, kept=kept)


def messages(notices: Iterable[Notice]) -> list[Message]:
    """One message for each owner, fact and kind, in the order in which they came up."""
    groups: dict[tuple[str, int, str], list[Notice]] = defaultdict(list)
    for notice in notices:
        groups[notice.owner, notice.root_id, notice.kind].append(notice)
    return [_message(group) for group in groups.values()]


def _message(group: Sequence[Notice]) -> Message:
    first = group[0]
    items = [f"- {notice.dataset} {notice.partition}{_by_way_of(notice.path)}" for notice in group[:LISTED]]
    if len(group) > LISTED:
        items.append(f"- and {len(group) - LISTED} more")
    more = f" and {len(group) - 1} more" if len(group) > 1 else ""
    if first.kind == "cleared":
        title = f"Safe again: {first.dataset} {first.partition}{more}"
        lines = [f"This is over: {first.message}", "", "Safe to act on again:", *items]
    else:
        title = f"Unsafe: {first.dataset} {first.partition}{more}"
        lines = [
            f"It began with {first.root_dataset} {first.root_partition} ({first.code}): {first.message}",
            f"What clears it: {first.clears}",
            "",
            "Not safe to act on:",
            *items,
            "",
            f"Evidence: interlock explain {first.root_dataset} --partition {first.root_partition}",
        ]
    return Message(
        owner=first.owner,
        kind=first.kind,
        title=title,
        body="\n".join(lines),
        dataset=first.dataset,
        partition=first.partition,
        notice_ids=tuple(n.notice_id for n in group),
    )


def _by_way_of(path: Sequence[str]) -> str:
    return f" (by way of {' > '.join(path)})" if len(path) > 1 else ""


def _unsent(connection: Connection) -> list[Notice]:
    cursor = connection.execute(statement("safety/unsent.sql").encode())
    names = [column.name for column in cursor.description or ()]
    return [Notice.model_validate(dict(zip(names, row, strict=True))) for row in cursor]


def _send(message: Message) -> bool:
    """Whether the owner was told: by at least one of their URLs, or by the log where they have none."""
    urls = settings().notify_urls.get(message.owner, [])
    if not urls:
        logger.info("nobody to tell (no notify_urls for %r): %s", message.owner, message.title)
        return True
    accepted = 0
    for number, url in enumerate(urls, start=1):
        if _is_accepted(url, message):
            accepted += 1
        else:
            # Not the URL itself: most carry a secret.
            logger.warning("%r could not be told by URL %d of %d: %s", message.owner, number, len(urls), message.title)
    return accepted > 0


def _is_accepted(url: str, message: Message) -> bool:
    """Send one message to one URL; False where the URL is none that Apprise knows, or the other side refused."""
    import warnings

    with warnings.catch_warnings():
        # Apprise imports modules that Python has deprecated: nothing that this platform's operator could mend.
        warnings.simplefilter("ignore", DeprecationWarning)
        import apprise

        channel = apprise.Apprise()
        kind = apprise.NotifyType.SUCCESS if message.kind == "cleared" else apprise.NotifyType.FAILURE
        return bool(channel.add(url)) and bool(channel.notify(title=message.title, body=message.body, notify_type=kind))
