"""The client that blocks. What it asks and what it makes of the answers is in `questions` and its neighbours."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
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


class Client:
    """Asks Interlock before something is done with data. May be shared by threads; `close` it, or use it in a `with`.

    Every call ends within `timeout` seconds. Raises NotSafe, CouldNotAsk, NotAllowed and UsageError, and never returns
    anything in their place.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        consumer: str | None = None,
        timeout: float = 10.0,
    ) -> None:
        self._said = configured(url, token, consumer, timeout)
        self._http = httpx.Client(headers=self._said.headers, follow_redirects=False)

    def safety(self, dataset: str, partition: Partition | None = None) -> Answer:
        """Is it safe? Without a partition the answer is about the dataset's window and freshness."""
        return self._run(questions.safety(dataset, partition, self._deadline()))

    def safety_of(self, asked: Iterable[Question]) -> tuple[Answer, ...]:
        """Many answers in one call, in the order of the questions: names of datasets, or (dataset, partition)."""
        return self._run(questions.safety_of(asked, self._deadline()))

    @overload
    def require_safe(self, dataset: str, partition: Partition | None = None) -> Answer: ...
    @overload
    def require_safe(self, dataset: str, *, partitions: Iterable[Partition]) -> tuple[Answer, ...]: ...
    def require_safe(
        self, dataset: str, partition: Partition | None = None, *, partitions: Iterable[Partition] | None = None
    ) -> Answer | tuple[Answer, ...]:
        """The answer, or those about each of `partitions`: safe. Raises NotSafe with the reasons where one is not."""
        if partition is not None and partitions is not None:
            raise UsageError("Both `partition` and `partitions` were given.", fix="Give one of them.")
        if partitions is None:
            return self._run(questions.require_safe(dataset, partition, self._deadline()))
        return self._run(questions.require_all_safe(dataset, partitions, self._deadline()))

    def wait_until_safe(self, dataset: str, partition: Partition | None = None, *, timeout: float) -> Answer:
        """The answer, once it is safe. Raises NotSafeInTime after `timeout` seconds, else CouldNotAsk."""
        return self._run(waiting.wait_until_safe(dataset, partition, timeout))

    def read(
        self,
        dataset: str,
        partitions: Iterable[Partition] | Partition,
        columns: Iterable[str] | None = None,
        *,
        timeout: float = 300.0,
    ) -> Rows:
        """The rows of some partitions, read in one snapshot in which all of them are safe, or NotSafe."""
        return self._run(rows.read(dataset, partitions, columns, Deadline.after(timeout)))

    def metric(
        self,
        name: str,
        start: Partition | None = None,
        end: Partition | None = None,
        group_by: Sequence[str] = (),
        *,
        timeout: float = 60.0,
    ) -> Metric:
        """A metric over whole days, both ends included, in an envelope whose `value` raises where it is not safe.

        The first one that a server is asked for takes it some seconds.
        """
        return self._run(questions.metric(name, (start, end), group_by, Deadline.after(timeout)))

    def watch(self, dataset: str | None = None, *, after: str | None = None) -> Iterator[Change]:
        """Every change of safety from now, or from after a `Change.position`; it reconnects by itself.

        Raises FeedLost where changes may have been missed.
        """
        steps = feed.changes(after, dataset)
        with ExitStack() as open_now:
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
                    outcome = doing.outcome(step)

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _deadline(self) -> Deadline:
        return Deadline.after(self._said.timeout)

    def _run(self, steps: Steps[T]) -> T:
        """Do the steps until they return."""
        with ExitStack() as open_now:
            doing = _Doing(self._http, self._said.url, open_now)
            outcome: Reply | Broken | bytes | None = None
            while True:
                try:
                    step = steps.send(outcome)
                except StopIteration as ended:
                    return ended.value  # type: ignore[no-any-return]
                outcome = doing.outcome(step)


class _Doing:
    """The steps of one call, done over HTTP."""

    def __init__(self, http: httpx.Client, url: str, open_now: ExitStack) -> None:
        self._http = http
        self._url = url
        self._open_now = open_now
        self._pieces: Iterator[bytes] = iter(())

    def outcome(self, step: Step) -> Reply | Broken | bytes | None:
        """What came of a step."""
        try:
            if isinstance(step, Send):
                return self._sent(step.request, step.within)
            if isinstance(step, Open):
                return self._opened(step.request, step.silence)
            if isinstance(step, Next):
                return next(self._pieces, Broken("it ended"))
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            return broken(error)
        if isinstance(step, Pause):
            time.sleep(step.seconds)
        return None

    def _sent(self, request: Request, within: float) -> Reply | Broken:
        deadline = Deadline.after(within)
        with self._http.stream(**arguments(self._url, request, within)) as response:
            content = bytearray()
            for piece in response.iter_bytes():
                content += piece
                if deadline.left <= 0:
                    return Broken("it had not said all when the time was up")
            return Reply(response.status_code, response.headers, bytes(content))

    def _opened(self, request: Request, silence: float) -> Reply:
        self._open_now.pop_all().close()
        self._pieces = iter(())
        response = self._open_now.enter_context(self._http.stream(**arguments(self._url, request, silence)))
        if response.status_code != 200:
            return Reply(response.status_code, response.headers, response.read())
        self._pieces = response.iter_bytes()
        return Reply(response.status_code, response.headers)
