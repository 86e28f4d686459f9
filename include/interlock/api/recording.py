"""Recording, of every caller, what they were told: `Recorded` is the dependency, and its calls cost microseconds.

A caller may say for which registered consumer (a dbt exposure) they ask, in the header `Interlock-Consumer`. A name
that nobody registered is refused: what is recorded under it could not be told to anybody.
"""

from __future__ import annotations

import asyncio
import difflib
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Header
from starlette.concurrency import run_in_threadpool

from interlock.api.identity import Reader
from interlock.api.state import Surfaced
from interlock.errors import UsageError
from interlock.safety.reliances import Asker, Recorder, Via

if TYPE_CHECKING:
    from interlock.safety.answer import Answer
    from interlock.transform.metrics import MetricAnswer

CLIENT = "interlock-client"
KEPT_SECONDS = 5.0
FRESH_SECONDS = 0.5


class Consumers:
    """The names of the registered consumers, as they were within the last seconds."""

    def __init__(self) -> None:
        self._known: frozenset[str] = frozenset()
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def require(self, name: str) -> None:
        """UsageError, with names that are near, unless there is such a consumer."""
        async with self._reading:
            age = time.monotonic() - self._read_at
            if age > KEPT_SECONDS or (name not in self._known and age > FRESH_SECONDS):
                self._known = await run_in_threadpool(_registered)
                self._read_at = time.monotonic()
        if name not in self._known:
            near = difflib.get_close_matches(name, self._known, n=3, cutoff=0.5)
            said = f"Did you mean {' or '.join(near)}?" if near else "/v1/consumers lists them: dbt's exposures."
            raise UsageError(f"No consumer is registered as {name[:120]!r}.", fix=said)


class Recording:
    """The notes of one request."""

    def __init__(self, recorder: Recorder, asker: Asker) -> None:
        self._recorder = recorder
        self._asker = asker

    def checked(self, answer: Answer) -> None:
        """They were given this answer."""
        self._recorder.note(self._asker.checked(answer))

    def read(self, dataset: str, versions: Mapping[str, int]) -> None:
        """They were given the rows of these partitions, in these versions."""
        self._recorder.note(self._asker.read(dataset, versions))

    def given(self, answer: MetricAnswer) -> None:
        """They were given a metric's value."""
        for note in self._asker.given(answer.metric, answer.value, answer.about, answer.versions):
            self._recorder.note(note)


async def recording_of(
    surface: Surfaced,
    caller: Reader,
    user_agent: Annotated[str | None, Header(include_in_schema=False)] = None,
    interlock_consumer: Annotated[
        str | None, Header(description="The registered consumer (a dbt exposure) that this is for.", max_length=200)
    ] = None,
) -> Recording:
    """The dependency of every endpoint that gives out what somebody may act on."""
    if interlock_consumer is not None:
        await surface.consumers.require(interlock_consumer)
    via = Via.CLIENT if (user_agent or "").startswith(CLIENT) else Via.AIRFLOW if caller.via == "airflow" else Via.API
    return Recording(surface.recorder, Asker(caller.actor.name, via, interlock_consumer))


def _registered() -> frozenset[str]:
    from interlock.safety.recall import consumers

    return frozenset(consumer.name for consumer in consumers())


Recorded = Annotated[Recording, Depends(recording_of)]
