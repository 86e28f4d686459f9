"""Telling owners: once for each unsafe episode of their datasets and once when it is over, of each action once, and of
each version that was recalled once.

Whoever opens or clears a cause, or takes an action further, writes a notice in the same transaction (an outbox); this
module sends what is waiting. A message that nobody accepted stays in the outbox for the next drain; it is marked as
sent only after it was, so a crash between the two repeats a message and never loses one.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from psycopg.rows import dict_row
from pydantic import BaseModel, ConfigDict

from interlock import logs
from interlock.db.connection import Role, connect, statement
from interlock.db.failures import translated
from interlock.safety.messages import ActionNotice, Notice, RecallNotice, messages
from interlock.settings import settings

if TYPE_CHECKING:
    from interlock.db.connection import Connection
    from interlock.safety.messages import Message

logger = logging.getLogger(__name__)


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
        for message in _unsent(connection):
            with logs.bound(dataset=message.dataset, partition=message.partition):
                is_told = message.owner not in unreachable and _send(message)
            if is_told:
                connection.execute(
                    "select interlock.mark_notices_sent(%s), interlock.mark_action_notices_sent(%s),"
                    " interlock.mark_recall_notices_sent(%s)",
                    [list(message.notice_ids), list(message.action_notice_ids), list(message.recall_notice_ids)],
                )
                sent += 1
            else:
                unreachable.add(message.owner)
                kept += 1
        return Drained(sent=sent, kept=kept)


def _unsent(connection: Connection) -> list[Message]:
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        # One picture of both: what an action hides is told with the action.
        cursor.execute("set transaction isolation level repeatable read")
        notices = cursor.execute(statement("safety/unsent.sql").encode()).fetchall()
        of_actions = cursor.execute(statement("safety/unsent_of_actions.sql").encode()).fetchall()
        of_recalls = cursor.execute(statement("safety/unsent_of_recalls.sql").encode()).fetchall()
    return messages(
        map(Notice.model_validate, notices),
        map(ActionNotice.model_validate, of_actions),
        map(RecallNotice.model_validate, of_recalls),
    )


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
        kind = apprise.NotifyType(message.tone.value)
        return bool(channel.add(url)) and bool(channel.notify(title=message.title, body=message.body, notify_type=kind))
