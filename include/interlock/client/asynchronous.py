"""The client that awaits, for asyncio. What it asks and what it makes of the answers is that of the one that blocks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self, TypeVar, overload

import httpx

from interlock.client import feed, questions, rows, waiting
from interlock.client.answers import Answer
from interlock.client.configuration import configured
from interlock.client.exchange import Broken, Found, Next, Open, Pause, Reply, Request, Send, Step, Steps
from interlock.client.feed import Change
from interlock.client.metrics import Metric
from interlock.client.moments import Deadline
from interlock.client.questions import Partition, Question
from interlock.client.rows import Rows
from interlock.client.transport import arguments, broken
from interlock.errors import UsageError

T = TypeVar("T")


class AsyncClient:
    """`Client` for asyncio: the same calls, the same answers, the same errors."""

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        consumer: str | None = None,
        timeout: float = 10.0,
    ) -> None:
        self._said = configured(url, token, consumer, timeout)
        self._http = httpx.AsyncClient(headers=self._said.headers, follow_redirects=False)

    async def safety(self, dataset: str, partition: Partition | None = None) -> Answer:
        """As `Client.safety`."""
        return await self._run(questions.safety(dataset, partition, self._deadline()))

    async def safety_of(self, asked: Iterable[Question]) -> tuple[Answer, ...]:
        """As `Client.safety_of`."""
        return await self._run(questions.safety_of(asked, self._deadline()))

    @overload
    async def require_safe(self, dataset: str, partition: Partition | None = None) -> Answer: ...
    @overload
    async def require_safe(self, dataset: str, *, partitions: Iterable[Partition]) -> tuple[Answer, ...]: ...
    async def require_safe(
        self, dataset: str, partition: Partition | None = None, *, partitions: Iterable[Partition] | None = None
    ) -> Answer | tuple[Answer, ...]:
        """As `Client.require_safe`."""
        if partition is not None and partitions is not None:
            raise UsageError("Both `partition` and `partitions` were given.", fix="Give one of them.")
        if partitions is None:
            return await self._run(questions.require_safe(dataset, partition, self._deadline()))
        return await self._run(questions.require_all_safe(dataset, partitions, self._deadline()))

    async def wait_until_safe(self, dataset: str, partition: Partition | None = None, *, timeout: float) -> Answer:
        """As `Client.wait_until_safe`."""
        return await self._run(waiting.wait_until_safe(dataset, partition, timeout))

    async def read(
        self,
        dataset: str,
        partitions: Iterable[Partition] | Partition,
        columns: Iterable[str] | None = None,
        *,
        timeout: float = 300.0,
    ) -> Rows:
        """As `Client.read`."""
        return await self._run(rows.read(dataset, partitions, columns, Deadline.after(timeout)))

    async def metric(
        self,
        name: str,
        start: Partition | None = None,
        end: Partition | None = None,
        group_by: Sequence[str] = (),
        *,
        timeout: float = 60.0,
    ) -> Metric:
        """As `Client.metric`."""
        return await self._run(questions.metric(name, (start, end), group_by, Deadline.after(timeout)))

    async def watch(self, dataset: str | None = None, *, after: str | None = None) -> AsyncIterator[Change]:
        """As `Client.watch`."""
        steps = feed.changes(after, dataset)
        async with AsyncExitStack() as open_now:
            doing = _Doing(self._http, self._said.url, open_now)
            outcome: Reply | Broken | bytes | None = None
            while True:
                try:
                    step = steps.send(outcome)
                except StopIteration:
                    return
                if isinstance(step, Found):
                    yield step.item
                    outcome = None
                else:
                    outcome = await doing.outcome(step)

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _deadline(self) -> Deadline:
        return Deadline.after(self._said.timeout)

    async def _run(self, steps: Steps[T]) -> T:
        """Do the steps until they return."""
        async with AsyncExitStack() as open_now:
            doing = _Doing(self._http, self._said.url, open_now)
            outcome: Reply | Broken | bytes | None = None
            while True:
                try:
                    step = steps.send(outcome)
                except StopIteration as ended:
                    return ended.value  # type: ignore[no-any-return]
                outcome = await doing.outcome(step)


class _Doing:
    """The steps of one call, done over HTTP."""

    def __init__(self, http: httpx.AsyncClient, url: str, open_now: AsyncExitStack) -> None:
        self._http = http
        self._url = url
        self._open_now = open_now
        self._pieces: AsyncIterator[bytes] | None = None

    async def outcome(self, step: Step) -> Reply | Broken | bytes | None:
        """What came of a step."""
        try:
            if isinstance(step, Send):
                async with asyncio.timeout(step.within):
                    return await self._sent(step.request, step.within)
            if isinstance(step, Open):
                return await self._opened(step.request, step.silence)
            if isinstance(step, Next):
                return await anext(self._pieces, Broken("it ended")) if self._pieces else Broken("it never began")
        except TimeoutError:
            return Broken("it had not said all when the time was up")
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            return broken(error)
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
        return None

    async def _sent(self, request: Request, within: float) -> Reply:
        async with self._http.stream(**arguments(self._url, request, within)) as response:
            return Reply(response.status_code, response.headers, await response.aread())

    async def _opened(self, request: Request, silence: float) -> Reply:
        await self._open_now.pop_all().aclose()
        self._pieces = None
        response = await self._open_now.enter_async_context(self._http.stream(**arguments(self._url, request, silence)))
        if response.status_code != 200:
            return Reply(response.status_code, response.headers, await response.aread())
        self._pieces = response.aiter_bytes()
        return Reply(response.status_code, response.headers)
