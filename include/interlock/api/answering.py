"""Safety asked by many at once: what arrives while a statement is under way is asked together in the next one.

So every answer was derived after its question arrived, none is kept, and a thousand questions a second cost the
database a few hundred short statements. The same question asked by several at once is asked once. One connection, as a
consumer: it is opened when it is needed, and again after it was lost; whoever waits then is told that nobody could be
asked.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from interlock.db.connection import Role, session_options, url
from interlock.errors import CouldNotAsk, InterlockError
from interlock.safety.answer import Answer
from interlock.safety.answers import unanswered

Question = tuple[str, str | None]

NOT_SAFE = "Read this as *not safe*, and ask again."
MOST_AT_ONCE = 500
STATEMENTS_AT_ONCE = 2
PATIENCE_SECONDS = 5.0
QUERY = b"select place, domain, answer from interlock.ask_all(%s::text[], %s::text[])"


@dataclass(frozen=True, slots=True)
class Told:
    """An answer that was had, as the document that everybody is given. `lasting` is what its ETag is made of."""

    domain: str
    answer: Answer
    body: bytes
    lasting: bytes

    @property
    def valid_until(self) -> datetime | None:
        """Until when it may be relied on without asking again."""
        return self.answer.valid_until


class Answering:
    """The questions of one process."""

    def __init__(self) -> None:
        self._waiting: dict[Question, asyncio.Future[Told | None]] = {}
        self._lanes: list[_Lane] = []
        self._busy = 0
        self._running: set[asyncio.Task[None]] = set()

    async def ask(self, dataset: str, partition: str | None) -> Told | None:
        """The answer; None for a dataset that nobody registered. Raises CouldNotAsk."""
        if "\0" in dataset:
            return None  # no name, and no text that could be asked for: the others' questions must not fail by it
        question = (dataset, partition)
        waiting = self._waiting.get(question)
        if waiting is None:
            waiting = self._waiting[question] = asyncio.get_running_loop().create_future()
            waiting.add_done_callback(_heard)
            self._start()
        return await asyncio.shield(waiting)

    async def require_answering(self) -> None:
        """Raises CouldNotAsk unless the database answers: there is no dataset without a name."""
        await self.ask("", None)

    async def close(self) -> None:
        """Ask no more; who still waits is told so."""
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        for lane in self._lanes:
            await lane.drop()

    def _start(self) -> None:
        if self._busy >= STATEMENTS_AT_ONCE:
            return
        self._busy += 1
        task = asyncio.get_running_loop().create_task(self._work())
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _work(self) -> None:
        """Ask for as long as somebody waits."""
        lane = self._lanes.pop() if self._lanes else _Lane()
        try:
            await asyncio.sleep(0)  # whoever arrived in the same turn of the loop is asked with this one
            while self._waiting:
                first = list(self._waiting)[:MOST_AT_ONCE]
                asked = {question: self._waiting.pop(question) for question in first}
                await _answer(lane, asked)
        finally:
            self._busy -= 1
            self._lanes.append(lane)


def _heard(answered: asyncio.Future[Any]) -> None:
    """Whoever asked may be gone: what they would have been told is no error then that nobody looked at."""
    if not answered.cancelled():
        answered.exception()


async def _answer(lane: _Lane, asked: dict[Question, asyncio.Future[Told | None]]) -> None:
    """Tell everybody who waits what there is to tell, if only that nobody could be asked."""
    failure: BaseException = CouldNotAsk("The database left a question without an answer.", fix=NOT_SAFE)
    rows: list[Any] = []
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            rows = await lane.rows(list(asked))
    except TimeoutError:
        failure = CouldNotAsk(f"The database did not answer within {PATIENCE_SECONDS:g} s.", fix=NOT_SAFE)
    except asyncio.CancelledError:
        _tell_all(asked, CouldNotAsk("The server is stopping.", fix="Ask again: another takes its place."))
        await lane.drop()
        raise
    except Exception as error:
        failure = error
    if not rows:
        await lane.drop()
        is_lost = isinstance(failure, InterlockError) and isinstance(failure.__cause__, psycopg.OperationalError | None)
        if len(asked) > 1 and not is_lost:
            # It could answer, but for one of them: that one must not keep the others from their answers.
            for question, waiting in asked.items():
                await _answer(lane, {question: waiting})
    for (_, domain, document), waiting in zip(rows, asked.values(), strict=False):
        if not waiting.done():
            try:
                waiting.set_result(None if domain is None else _told(domain, document))
            except Exception as error:
                waiting.set_exception(error)
    _tell_all(asked, failure)


def _tell_all(asked: dict[Question, asyncio.Future[Told | None]], failure: BaseException) -> None:
    """Whoever was told nothing yet is told this."""
    for waiting in asked.values():
        if not waiting.done():
            waiting.set_exception(failure)


def _told(domain: str, document: str) -> Told:
    try:
        answer = Answer.model_validate_json(document)
    except ValidationError as error:
        raise CouldNotAsk(
            f"The database's answer is not of a shape that this code knows ({error.error_count()} differences).",
            fix="Read this as *not safe*; bring checkout and database to the same version (`interlock migrate`).",
        ) from error
    lasting = answer.model_dump_json(exclude={"as_of": True, "freshness": {"lag_seconds"}})
    return Told(domain, answer, answer.model_dump_json().encode(), lasting.encode())


class _Lane:
    """One connection, for one statement at a time."""

    def __init__(self) -> None:
        self._connection: psycopg.AsyncConnection[Any] | None = None

    async def rows(self, questions: list[Question]) -> list[Any]:
        """What the database answers, in order. A connection that turns out lost before it answered is replaced once."""
        is_kept = self._connection is not None
        try:
            return await self._ask(questions)
        except psycopg.OperationalError as error:
            await self.drop()
            if not is_kept:
                raise unanswered(error) from error
        except psycopg.Error as error:
            await self.drop()
            raise unanswered(error) from error
        try:
            return await self._ask(questions)
        except psycopg.Error as error:
            await self.drop()
            raise unanswered(error) from error

    async def drop(self) -> None:
        """Forget the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _ask(self, questions: list[Question]) -> list[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = await dialled(Role.CONSUMER)
        datasets, partitions = [list(part) for part in zip(*questions, strict=True)]
        cursor = await self._connection.execute(QUERY, [datasets, partitions], prepare=True)
        return await cursor.fetchall()


async def dialled(role: Role) -> psycopg.AsyncConnection[Any]:
    """A connection for the loop of this process, in autocommit. Raises CouldNotAsk."""
    target = await run_in_threadpool(url, role)
    try:
        return await psycopg.AsyncConnection.connect(target, autocommit=True, **session_options(role))
    except psycopg.OperationalError as error:
        raise unanswered(error) from error
