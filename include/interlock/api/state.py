"""What one process that serves holds: its questions, its callers, its registry and its feed, each made when first used.

Airflow runs no lifespan of what it mounts, so nothing here waits for one; where there is one, its end closes all.
"""

from __future__ import annotations

import asyncio
import difflib
import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from interlock.api.answering import Answering
from interlock.api.identity import AirflowLogin, Identities, Reader
from interlock.control.questions import Right
from interlock.db import pools
from interlock.db.connection import Role, connect
from interlock.db.failures import translated
from interlock.errors import Unknown
from interlock.safety.reliances import Recorder
from interlock.settings import settings

if TYPE_CHECKING:
    from interlock.api.feed import Feed
    from interlock.api.recording import Consumers
    from interlock.telemetry.requests import Requests

KEPT_SECONDS = 5.0
FRESH_SECONDS = 0.5


class Surface:
    """The state of the application, at `app.state.surface`."""

    def __init__(self, airflow_login: AirflowLogin | None = None) -> None:
        self._airflow_login = airflow_login
        self._is_open = False

    def open(self) -> None:
        """Keep connections from now on; done by the first request."""
        if not self._is_open:
            self._is_open = True
            if pools.installed() is None:
                pools.install(settings().api_connections)

    @cached_property
    def identities(self) -> Identities:
        """Who was seen within the last seconds."""
        return Identities(self._airflow_login)

    @cached_property
    def answering(self) -> Answering:
        """The questions that are under way."""
        return Answering()

    @cached_property
    def registry(self) -> Registry:
        """The datasets that there are."""
        return Registry()

    @cached_property
    def requests(self) -> Requests:
        """How the requests of this process fare, in numbers."""
        from interlock.telemetry.requests import Requests

        return Requests()

    @cached_property
    def recorder(self) -> Recorder:
        """What was told to whom."""
        return Recorder()

    @cached_property
    def consumers(self) -> Consumers:
        """The names of the registered consumers."""
        from interlock.api.recording import Consumers

        return Consumers()

    @cached_property
    def feed(self) -> Feed:
        """The changes, and who listens to them."""
        from interlock.api.feed import Feed

        return Feed()

    async def end_streams(self) -> None:
        """End what would go on for ever."""
        if "feed" in self.__dict__:
            await self.feed.close()

    async def close(self) -> None:
        """End the streams and close every connection."""
        held = self.__dict__
        for name in ("feed", "answering"):
            if name in held:
                await held.pop(name).close()
        if "recorder" in held:
            await run_in_threadpool(self.recorder.close)
        pools.close()
        self._is_open = False


@dataclass(frozen=True, slots=True)
class KnownDataset:
    """A dataset as it is registered."""

    name: str
    domain: str
    layer: str
    grain: str
    is_retired: bool


class Registry:
    """The datasets that are registered, as they were within the last seconds. Safety is never taken from here."""

    def __init__(self) -> None:
        self._known: dict[str, KnownDataset] = {}
        self._read_at = float("-inf")
        self._reading: asyncio.Future[None] | None = None

    async def dataset(self, name: str) -> KnownDataset:
        """One of them. Raises Unknown, with names that are near."""
        found = await self._found(name)
        if found is None:
            raise await self.unknown(name)
        return found

    async def unknown(self, name: str) -> Unknown:
        """What whoever asks for a name is told that is none."""
        await self._found(name)
        near = difflib.get_close_matches(name, self._known, n=3, cutoff=0.5)
        fix = f"Did you mean {' or '.join(near)}?" if near else "/v1/datasets lists what there is."
        return Unknown(f"There is no dataset {name[:200]!r}.", fix=fix)

    async def _found(self, name: str) -> KnownDataset | None:
        age = time.monotonic() - self._read_at
        if age > KEPT_SECONDS or (name not in self._known and age > FRESH_SECONDS):
            await self._refresh()
        return self._known.get(name)

    async def _refresh(self) -> None:
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._read())
            self._reading.add_done_callback(lambda _: setattr(self, "_reading", None))
        await asyncio.shield(self._reading)

    async def _read(self) -> None:
        since = time.monotonic()
        self._known = await run_in_threadpool(_registered)
        self._read_at = since


def _registered() -> dict[str, KnownDataset]:
    with translated(), connect(Role.OPERATOR, autocommit=True) as connection:
        rows = connection.execute(
            "select d.name, d.domain, d.layer, d.grain, d.retired_at is not null from interlock.dataset d"
        ).fetchall()
    return {row[0]: KnownDataset(*row) for row in rows}


async def surface_of(request: Request) -> Surface:
    """The dependency for what the process holds; asynchronous, as others cost a thread."""
    surface: Surface = request.app.state.surface
    return surface


async def readable_dataset(dataset: str, request: Request, caller: Reader) -> KnownDataset:
    """The dataset that the path names: 404 where there is none, 403 where the caller may not read its domain."""
    surface: Surface = request.app.state.surface
    found = await surface.registry.dataset(dataset)
    caller.require(Right.READ, [found.domain])
    return found


Surfaced = Annotated[Surface, Depends(surface_of)]
ReadableDataset = Annotated[KnownDataset, Depends(readable_dataset)]
