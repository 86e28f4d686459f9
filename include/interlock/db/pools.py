"""Connections that are kept between uses, for a process that serves many requests: `connect` takes one of them.

Not a pool of a fixed size, because a room may open a connection while it holds another, and where both come from one
full pool two such callers wait for each other for ever. What is bounded is how many threads hold any at a time; who
holds one already is never made to wait. A connection that comes back is set to how it was: nothing that one request did
is seen by the next. One that the server closed meanwhile is not lent, so a restart of the server costs nobody an error.
"""

from __future__ import annotations

import os
import select
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from interlock.errors import CouldNotAsk

if TYPE_CHECKING:
    from interlock.db.connection import Connection, Role

WAIT_SECONDS = 10.0
# Plans are kept, which is what makes a kept connection fast.
AS_IT_WAS = (
    b"reset all; reset session authorization; close all; unlisten *; discard temp; select pg_advisory_unlock_all()"
)


class Pools:
    """The idle connections of one process by role, and who holds one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._idle: dict[Role, list[Connection]] = defaultdict(list)
        self._turns = threading.BoundedSemaphore(most)
        self._held: dict[int, int] = defaultdict(int)
        self._mutex = threading.Lock()
        self._is_closed = False
        self.process = os.getpid()

    @contextmanager
    def borrowed(self, role: Role, *, autocommit: bool, dial: Callable[[], Connection]) -> Iterator[Connection]:
        """A connection as `role`: committed at the end, rolled back on an error, and kept for the next one."""
        thread = threading.get_ident()
        with self._turn(thread):
            connection = self._taken(role) or dial()
            try:
                connection.autocommit = autocommit
                with _transaction(connection):
                    yield connection
            finally:
                self._give_back(role, connection)

    def close(self) -> None:
        """Close what is idle; what is still lent is closed when it comes back."""
        with self._mutex:
            self._is_closed = True
            idle = [connection for kept in self._idle.values() for connection in kept]
            self._idle.clear()
        for connection in idle:
            connection.close()

    @contextmanager
    def _turn(self, thread: int) -> Iterator[None]:
        is_first = self._held[thread] == 0
        if is_first and not self._turns.acquire(timeout=WAIT_SECONDS):
            raise CouldNotAsk(
                f"All {self._most} connections that this process may use were busy for {WAIT_SECONDS:g} s.",
                fix="Ask again; where it stays so, INTERLOCK_API_CONNECTIONS allows more.",
            )
        self._held[thread] += 1
        try:
            yield
        finally:
            self._held[thread] -= 1
            if is_first:
                del self._held[thread]
                self._turns.release()

    def _taken(self, role: Role) -> Connection | None:
        while True:
            with self._mutex:
                if not self._idle[role]:
                    return None
                connection = self._idle[role].pop()
            if _is_well(connection):
                return connection
            connection.close()

    def _give_back(self, role: Role, connection: Connection) -> None:
        if not _is_reset(connection):
            connection.close()
            return
        with self._mutex:
            is_kept = not self._is_closed and len(self._idle[role]) < self._most
            if is_kept:
                self._idle[role].append(connection)
        if not is_kept:
            connection.close()


_installed: Pools | None = None


def install(most: int) -> Pools:
    """From now on `connect` in this process lends connections that are kept, to so many threads at a time."""
    global _installed  # noqa: PLW0603  (of the process, as its connections are)
    close()
    _installed = Pools(most)
    return _installed


def installed() -> Pools | None:
    """The pools of this process. Those that a fork inherited are the parent's, and left alone."""
    return _installed if _installed is not None and _installed.process == os.getpid() else None


def close() -> None:
    """`connect` dials again for each use."""
    global _installed
    pools, _installed = installed(), None
    if pools is not None:
        pools.close()


@contextmanager
def _transaction(connection: Connection) -> Iterator[None]:
    """What leaving a connection does, without closing it."""
    import psycopg

    try:
        yield
    except BaseException:
        with suppress(psycopg.Error):  # the connection may be what failed
            connection.rollback()
        raise
    connection.commit()


def _is_well(connection: Connection) -> bool:
    """Whether the server has said nothing since: to an idle connection it only ever says that it ends."""
    if connection.closed:
        return False
    heard = select.poll()
    heard.register(connection.fileno(), select.POLLIN)
    return not heard.poll(0)


def _is_reset(connection: Connection) -> bool:
    import psycopg

    if connection.closed:
        return False
    try:
        connection.autocommit = True
        connection.execute(AS_IT_WAS)
    except psycopg.Error:
        return False
    connection.row_factory = psycopg.rows.tuple_row
    return not connection.broken
