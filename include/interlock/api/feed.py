"""The feed of changes: one listener for each process, and everybody who listens to it.

The database wakes the listener when something is committed, and it reads what came after what it read last, in the
order of the commits; so nothing is told before it holds, nothing is told twice, and nothing is left out. It also asks
the database every few seconds: a feed that says nothing must be one that has nothing to say. Where it cannot ask any
more, every stream ends at once, and who listened knows as little as everybody else.

Whoever comes with a place goes on from there: what was missed is read from the database, and what the listener tells
from then on follows. A place is a position of the audit, or one of several changes at a position.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import psycopg

from interlock.api.answering import NOT_SAFE, dialled
from interlock.control.audit import CLOUDEVENT
from interlock.db.connection import Role
from interlock.errors import CouldNotAsk, InterlockError, UsageError

if TYPE_CHECKING:
    Connection = psycopg.AsyncConnection[Any]

logger = logging.getLogger(__name__)

CHANNEL = "interlock_feed"
ALIVE_SECONDS = 3.0
PATIENCE_SECONDS = 5.0
AT_ONCE = 500
# Who is further behind reads everything anew: that is less work for both.
MOST_BEHIND = 10_000
# Who takes what is told slower than it comes is cut off, and comes back with its place.
MOST_WAITING = 2_000
PLACE = re.compile(r"(?P<position>\d{1,18})(?:\.(?P<number>\d{1,18}))?")
LAST = 2**62

READ = b"select * from interlock.changes(%s, %s, %s)"
HEAD = b"select h.position from interlock.audit_head h"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where somebody is in the feed: after what stands at a position, or after a numbered part of it."""

    position: int
    number: int = LAST

    @classmethod
    def read(cls, said: str) -> Place:
        """The place that a client gives back. Raises UsageError for what is none."""
        parts = PLACE.fullmatch(said)
        if parts is None:
            raise UsageError("That is no place in the feed.", fix="Give back the `id` of the last event, as it was.")
        return cls(int(parts["position"]), LAST if parts["number"] is None else int(parts["number"]))

    def __str__(self) -> str:
        return str(self.position) if self.number == LAST else f"{self.position}.{self.number}"


@dataclass(frozen=True, slots=True)
class Change:
    """One change, as it is told; `domains` are those whose readers are, None all of them."""

    place: Place
    domains: tuple[str, ...] | None
    event: dict[str, Any]

    def concerns(self, domains: tuple[str, ...] | None) -> bool:
        """Whether somebody who may read in these domains (None: in all) is told."""
        return domains is None or self.domains is None or any(domain in domains for domain in self.domains)


class TooFar(Exception):
    """The place is one that the feed does not go on from: too long ago, or still to come."""


class Ended(Exception):
    """The stream is over: the listener lost the database, the process ends, or the client is too slow."""


class Feed:
    """What the listener tells, and to whom."""

    def __init__(self) -> None:
        self._listeners: set[Subscription] = set()
        self._head: Place | None = None
        self._task: asyncio.Task[None] | None = None
        self._began: asyncio.Future[Place] | None = None
        self._is_closed = False

    async def subscribe(self, after: Place | None) -> Subscription:
        """Listen from a place on, or from now. Raises CouldNotAsk, and TooFar where it cannot be gone on from there."""
        if self._is_closed:
            raise CouldNotAsk("The server is stopping.", fix="Ask again: another takes its place.")
        head = await self._beginning()
        subscription = Subscription(self, Place(head.position) if after is None else after, head)
        self._listeners.add(subscription)
        try:
            async with asyncio.timeout(2 * PATIENCE_SECONDS):
                await subscription.catch_up()
        except TimeoutError as error:
            self.leave(subscription)
            raise CouldNotAsk("The database did not answer in time.", fix=NOT_SAFE) from error
        except BaseException:
            self.leave(subscription)
            raise
        return subscription

    def leave(self, subscription: Subscription) -> None:
        """Tell it no more."""
        self._listeners.discard(subscription)

    async def close(self) -> None:
        """End every stream, and listen no more."""
        self._is_closed = True
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _beginning(self) -> Place:
        """Where the listener is; it is started by the first who comes, and again by the first after it was lost."""
        if self._head is not None:
            return self._head
        if self._task is None or self._task.done():
            self._began = asyncio.get_running_loop().create_future()
            self._task = asyncio.get_running_loop().create_task(self._listen(self._began))
        assert self._began is not None  # noqa: S101  (made with the task)
        return await asyncio.shield(self._began)

    async def _listen(self, began: asyncio.Future[Place]) -> None:
        """Tell everybody, for as long as the database answers."""
        failure: Exception = CouldNotAsk("The server is stopping.", fix="Ask again: another takes its place.")
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                connection = await dialled(Role.OPERATOR)
            async with connection:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await connection.execute(f"listen {CHANNEL}".encode())
                    self._head = await _head(connection)
                began.set_result(self._head)
                while True:
                    async with asyncio.timeout(PATIENCE_SECONDS):
                        await self._tell(connection)
                    async for _ in connection.notifies(timeout=ALIVE_SECONDS, stop_after=1):
                        pass
        except Exception as error:
            is_foreseen = isinstance(error, InterlockError | psycopg.Error | TimeoutError)
            said = str(error) or type(error).__name__
            logger.warning("the feed of changes lost the database: %s", said, exc_info=None if is_foreseen else error)
            failure = CouldNotAsk("The database did not answer.", fix=NOT_SAFE)
        finally:
            self._head = None
            if not began.done():
                began.set_exception(failure)
                began.exception()
            for listener in list(self._listeners):
                listener.end()

    async def _tell(self, connection: Connection) -> None:
        """Read what is new, to its end, and hand it on."""
        assert self._head is not None  # noqa: S101  (set before the first call)
        while True:
            changes = await read(connection, self._head)
            for change in changes:
                for listener in list(self._listeners):
                    listener.tell(change)
            if len(changes) < AT_ONCE:
                break
            self._head = changes[-1].place
        # Read before the next look at the head, so nothing can lie between the two that was not told.
        self._head = changes[-1].place if changes else self._head


class Subscription:
    """One stream: what was missed, then what is told."""

    def __init__(self, feed: Feed, after: Place, head: Place) -> None:
        self._feed = feed
        self._after = after
        self._head = head
        self._missed: list[Change] = []
        self._told: asyncio.Queue[Change | None] = asyncio.Queue(MOST_WAITING)

    @property
    def place(self) -> Place:
        """After what was read last."""
        return self._after

    def tell(self, change: Change) -> None:
        """Add a change; a reader who is too slow is ended."""
        try:
            self._told.put_nowait(change)
        except asyncio.QueueFull:
            self.end()

    def end(self) -> None:
        """Let the stream end."""
        self._feed.leave(self)
        while self._told.full():
            self._told.get_nowait()
        self._told.put_nowait(None)

    def leave(self) -> None:
        """Be told no more."""
        self._feed.leave(self)

    async def catch_up(self) -> None:
        """Read what came before the listener's place. Raises TooFar where that is too much, or the place is to come."""
        if self._after.position == self._head.position and self._after >= self._head:
            return
        async with await dialled(Role.OPERATOR) as connection:
            newest = await _head(connection)
            if self._after.position > newest.position or newest.position - self._after.position > MOST_BEHIND:
                raise TooFar
            after = self._after
            while after < self._head:
                changes = await read(connection, after)
                self._missed += [change for change in changes if change.place <= self._head]
                if len(changes) < AT_ONCE:
                    break
                after = changes[-1].place

    async def changes(self, domains: tuple[str, ...] | None, beat: float) -> AsyncIterator[Change | None]:
        """The changes that concern these domains; None whenever nothing was told for `beat` seconds. Ends by Ended."""
        for missed in self._missed:
            self._after = max(self._after, missed.place)
            if missed.concerns(domains):
                yield missed
        self._missed.clear()
        last = time.monotonic()
        while True:
            try:
                async with asyncio.timeout(max(0.0, last + beat - time.monotonic())):
                    change = await self._told.get()
            except TimeoutError:
                last = time.monotonic()
                yield None
                continue
            if change is None:
                raise Ended
            if change.place <= self._after:
                continue  # it was read already, as missed
            self._after = change.place
            if change.concerns(domains):
                last = time.monotonic()
                yield change


async def read(connection: Connection, after: Place) -> list[Change]:
    """The next changes after a place, `AT_ONCE` at most."""
    cursor = await connection.execute(READ, [after.position, after.number, AT_ONCE], prepare=True)
    return [_change(*row) for row in await cursor.fetchall()]


async def _head(connection: Connection) -> Place:
    cursor = await connection.execute(HEAD)
    row = await cursor.fetchone()
    if row is None:
        raise CouldNotAsk("The audit has no head.", fix="`interlock audit verify` looks at it.")
    return Place(row[0])


def _change(  # noqa: PLR0913, PLR0917  (a row, as the function returns it)
    position: int,
    number: int,
    domains: list[str] | None,
    at: datetime,
    kind: str,
    dataset: str | None,
    partition: str | None,
    answer: dict[str, Any] | None,
    action: dict[str, Any] | None,
) -> Change:
    place = Place(position, number)
    if action is not None:
        subject, what, data = str(action["action_id"]), "interlock.action.changed", action
    else:
        subject, what = "/".join(part for part in (dataset, partition) if part is not None), "interlock.safety.changed"
        told = {name: (answer or {}).get(name) for name in ("state", "safe", "version", "valid_until")}
        domain = domains[0] if domains else None
        data = {"dataset": dataset, "domain": domain, "partition": partition, "cause": kind, **told}
    event = CLOUDEVENT | {"id": str(place), "type": what, "time": at.isoformat(), "data": data}
    return Change(place, tuple(domains) if domains else None, event | ({"subject": subject} if subject else {}))


def message(change: Change) -> bytes:
    """A change as a server-sent event."""
    return f"id: {change.place}\ndata: {json.dumps(change.event, separators=(',', ':'))}\n\n".encode()
