"""The Python client against a real server: asked by the one that blocks and by the one that awaits, alike."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from interlock.client import (
    AsyncClient,
    Client,
    CouldNotAsk,
    FeedLost,
    NotAllowed,
    NotSafe,
    NotSafeInTime,
    State,
    UsageError,
)
from interlock.control.questions import Right
from interlock.db.connection import Role

DAY, NEXT = "2013-01-05", "2013-01-06"


class Awaited:
    """The client that awaits, driven call by call."""

    def __init__(self, *given: Any, **more: Any) -> None:
        self._given, self._more = given, more

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def called(*given: Any, **more: Any) -> Any:
            async with AsyncClient(*self._given, **self._more) as client:
                return await getattr(client, name)(*given, **more)

        return lambda *given, **more: asyncio.run(called(*given, **more))

    def watch(self, *given: Any, **more: Any) -> Iterator[Any]:
        async def first() -> Any:
            async with AsyncClient(*self._given, **self._more) as client:
                changes = client.watch(*given, **more)
                try:
                    return await anext(changes)
                finally:
                    await changes.aclose()  # type: ignore[attr-defined]

        yield asyncio.run(first())

    def close(self) -> None:
        """Nothing is kept."""


@pytest.fixture(params=[Client, Awaited], ids=["blocking", "awaiting"])
def client(request: pytest.FixtureRequest, served: Any, token: Any) -> Iterator[Any]:
    """A client of the small platform, for somebody who may read one of its domains."""
    made = request.param(served.url, token("ada", [Right.READ], ["shop"]))
    yield made
    made.close()


def spoil(platform: Any, day: str = DAY) -> None:
    """The bad day: what is delivered again for it fails its gate."""
    run = platform.admit("shop", day)
    platform.fail(run, platform.load(run, "orders", day), day)
    platform.finish(run)


def mend(platform: Any, day: str = DAY) -> None:
    """Its correction, delivered and built."""
    run = platform.admit("shop", day)
    platform.deliver(run, "orders", day)
    for name in ("stg_orders", "fct_orders"):
        platform.renew(run, name, day)
    platform.finish(run)


def test_what_is_safe_is_returned_and_what_is_not_is_raised(filled: Any, client: Any):
    answer = client.require_safe("fct_orders", DAY)
    assert (answer.state, bool(answer), answer.require_current()) == (State.SAFE, True, answer)
    assert [a.partition for a in client.require_safe("fct_orders", partitions=[DAY, NEXT])] == [DAY, NEXT]
    spoil(filled)
    assert not client.safety("fct_orders", DAY)
    with pytest.raises(NotSafe, match="2 keys are doubled") as refused:
        client.require_safe("fct_orders", DAY)
    assert refused.value.answers[0].partition == DAY
    assert refused.value.reasons[0].clears in str(refused.value)
    with pytest.raises(NotSafe, match="2 keys are doubled"):
        client.require_safe("fct_orders", partitions=[NEXT, DAY])
    answers = client.safety_of([("fct_orders", DAY), ("fct_orders", NEXT), "dim_sizes"])
    assert [answer.safe for answer in answers] == [False, True, True]


def test_who_may_not_ask_and_what_does_not_exist_are_no_answers(filled: Any, client: Any, served: Any):
    with pytest.raises(NotAllowed, match="weather"):
        client.safety("fct_conditions", DAY)
    with pytest.raises(NotAllowed, match="weather"):
        client.safety_of(["fct_orders", "fct_conditions"])
    with pytest.raises(UsageError, match="fct_order"):
        client.safety("fct_order", DAY)
    with Client(served.url, "ilk_1_" + "0" * 64) as stranger, pytest.raises(NotAllowed):
        stranger.safety("fct_orders", DAY)


def test_waiting_ends_when_the_feed_tells_and_says_so_when_the_time_is_up(
    filled: Any, client: Any, monkeypatch: pytest.MonkeyPatch
):
    spoil(filled)
    with pytest.raises(NotSafeInTime, match="2 keys are doubled"):
        client.wait_until_safe("fct_orders", DAY, timeout=0.2)
    for never in ("ASK_EVERY", "ASK_EVERY_WITH_FEED"):
        monkeypatch.setattr(f"interlock.client.waiting.{never}", 1e6)
    mended = threading.Timer(0.3, mend, [filled])
    mended.start()
    assert client.wait_until_safe("fct_orders", DAY, timeout=60).safe
    mended.join()


def test_a_watcher_resumes_where_it_was_and_is_told_where_that_is_not_possible(filled: Any, client: Any):
    head = filled.rows(Role.AUDITOR, "select position from interlock.audit_head")[0][0]
    spoil(filled)
    change = next(client.watch("fct_orders", after=str(head)))
    assert (change.dataset, change.partition, change.safe) == ("fct_orders", DAY, False)
    mend(filled)
    assert next(client.watch("fct_orders", after=change.position)).position != change.position
    with pytest.raises(FeedLost):
        next(client.watch(after=str(head + 10_000_000)))


def test_with_the_database_gone_nobody_could_say(filled: Any, client: Any, server: Any):
    assert client.safety("fct_orders", DAY)
    server.run(f"alter database {filled.database.name} allow_connections false")
    try:
        server.run(f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{filled.database.name}'")
        for ask in (client.safety, client.require_safe):
            with pytest.raises(CouldNotAsk):
                ask("fct_orders", DAY)
        with pytest.raises(CouldNotAsk):
            client.wait_until_safe("fct_orders", DAY, timeout=0.2)
    finally:
        server.run(f"alter database {filled.database.name} allow_connections true")


def test_a_thousand_questions_get_each_its_own_answer(filled: Any, client: Any):
    days = [f"20{year}-0{month}-{day:02}" for year in (11, 12, 13) for month in range(1, 10) for day in range(1, 29)]
    asked = [("fct_orders", day) for day in [*days, NEXT, DAY]] + [("stg_orders", DAY), ("fct_orders", None)]
    answers = client.safety_of(asked)
    assert [(answer.dataset, answer.partition) for answer in answers] == asked
    assert {answer.partition for answer in answers if answer.safe} == {DAY, NEXT, None}
