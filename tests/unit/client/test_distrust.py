"""Whatever comes back and is no answer is never taken for one: it raises CouldNotAsk, for both clients."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from interlock.client import AsyncClient, Client, CouldNotAsk, FeedLost, NotAllowed, NotSafe, State, UsageError

DAY = "2013-01-05"


def ask(url: str, kind: type, **more: Any) -> Any:
    """The safety of one partition, by one of the clients."""
    if kind is Client:
        with Client(url, "token", **more) as client:
            return client.safety("fct_orders", DAY)

    async def asked() -> Any:
        async with AsyncClient(url, "token", **more) as client:
            return await client.safety("fct_orders", DAY)

    return asyncio.run(asked())


both = pytest.mark.parametrize("kind", [Client, AsyncClient])


def at(**difference: float) -> str:
    return (datetime.now(UTC) + timedelta(**difference)).isoformat()


NO_ANSWERS = {
    "another dataset": {"dataset": "dim_sizes"},
    "another partition": {"partition": "2013-01-06"},
    "safe and unsafe": {"state": "unsafe"},
    "not safe and safe": {"safe": False},
    "a state that nobody knows": {"state": "fine"},
    "no end": {"valid_until": None},
    "run out when it came": {"valid_until": at(seconds=-1), "as_of": at(seconds=0)},
    "of an hour ago": {"as_of": at(hours=-1)},
    "of tomorrow": {"as_of": at(days=1), "valid_until": at(days=2)},
    "of no zone": {"as_of": "2013-01-05T00:00:00"},
    "safe as a word": {"safe": "maybe"},
}


@both
@pytest.mark.parametrize("changes", NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_an_answer_that_is_off_is_none(remote: Any, answer: Any, reply: Any, kind: type, changes: dict[str, Any]):
    remote.says = [reply(answer(**changes))]
    with pytest.raises(CouldNotAsk):
        ask(remote.url, kind)


@both
def test_what_is_no_answer_over_http_is_none(remote: Any, answer: Any, reply: Any, kind: type):
    whole = reply(answer())
    for said in (
        reply(b"<html>Log in</html>", media_type="text/html"),
        reply(b"", status=302, Location="/login"),
        reply(answer(), media_type="text/plain"),
        reply(answer(), Age="30"),
        reply(answer(), status=203),
        reply(b"not found", status=404, media_type="text/html"),
        reply(b"{", media_type="application/json"),
        reply([], media_type="application/json"),
        whole[:-10],
        b"",
        b"SSH-2.0-OpenSSH_9.6\r\n",
    ):
        remote.says = [said]
        with pytest.raises(CouldNotAsk):
            ask(remote.url, kind, timeout=5)


@both
def test_a_platform_that_learnt_to_say_more_is_understood(remote: Any, answer: Any, reply: Any, kind: type):
    remote.says = [
        reply(answer(mood="good", freshness={"last_partition": None, "lag_seconds": 1, "sla_seconds": None, "x": 1}))
    ]
    assert ask(remote.url, kind).state is State.SAFE


@both
def test_a_clock_that_is_set_is_no_other_time(remote: Any, answer: Any, reply: Any, kind: type):
    offset = timedelta(days=-4000)
    times = {"as_of": datetime.now(UTC) + offset, "valid_until": datetime.now(UTC) + offset + timedelta(hours=1)}
    told = {name: instant.isoformat() for name, instant in times.items()}
    remote.says = [reply(answer(**told, clock_offset_seconds=offset.total_seconds()))]
    assert ask(remote.url, kind)


def test_an_answer_runs_out_here_as_it_does_there(
    remote: Any, answer: Any, reply: Any, monkeypatch: pytest.MonkeyPatch
):
    remote.says = [reply(answer())]
    held = ask(remote.url, Client)
    assert held.require_current() is held
    for clock in ("wall", "steady"):
        with monkeypatch.context() as later:
            if clock == "wall":
                later.setattr("interlock.clock.real_now", lambda: datetime.now(UTC) + timedelta(hours=2))
            else:
                now = time.monotonic()
                later.setattr("time.monotonic", lambda now=now: now + 7200)
            assert not held, clock
            with pytest.raises(CouldNotAsk, match="has run out"):
                held.require_current()


@both
def test_what_passes_is_asked_again_and_what_does_not_is_said_at_once(remote: Any, answer: Any, reply: Any, kind: type):
    problem = {"detail": "Not so fast.", "status": 429}
    remote.says = [
        b"", reply({}, 503), reply(problem, 429, "application/problem+json", Retry_After="0"), reply(answer()),
    ]  # fmt: skip
    with pytest.raises(CouldNotAsk):
        ask(remote.url, kind, timeout=0.5)  # not so much time as the third asks for
    assert ask(remote.url, kind)
    for status, kind_of_error in ((401, NotAllowed), (403, NotAllowed), (404, UsageError), (422, UsageError)):
        remote.heard.clear()
        remote.says = [reply({"detail": "No.", "status": status}, status, "application/problem+json")]
        with pytest.raises(kind_of_error, match="No"):
            ask(remote.url, kind)
        assert len(remote.heard) == 1
    remote.heard.clear()
    remote.says = [reply({}, 500)]
    with pytest.raises(CouldNotAsk):
        ask(remote.url, kind)
    assert len(remote.heard) == 3


@both
def test_a_call_ends_in_its_time_however_slowly_it_is_answered(remote: Any, answer: Any, reply: Any, kind: type):
    def drip(connection: Any) -> None:
        head, _, body = reply(answer()).partition(b"\r\n\r\n")
        connection.sendall(head + b"\r\n\r\n")
        for byte in body:
            connection.sendall(bytes([byte]))
            time.sleep(0.05)

    remote.says = [drip]
    began = time.monotonic()
    with pytest.raises(CouldNotAsk):
        ask(remote.url, kind, timeout=0.3)
    assert time.monotonic() - began < 10, "the answer alone drips for twenty seconds"


def test_nobody_listening_is_said_so_and_the_token_is_nowhere_in_it():
    with pytest.raises(CouldNotAsk) as refused:
        Client("http://127.0.0.1:9", "ilk_secret", timeout=1).safety("fct_orders", DAY)
    assert "ilk_secret" not in str(refused.value)


def test_a_refusal_of_rows_must_say_which_partition_is_not_safe(remote: Any, answer: Any, reply: Any):
    kind = "urn:interlock:problem:not-safe"
    unsafe = answer(state="unsafe", safe=False)
    for errors, raised in (([unsafe], NotSafe), ([answer()], CouldNotAsk), ([], CouldNotAsk), (None, CouldNotAsk)):
        problem = {"type": kind, "status": 409, "detail": "No.", "errors": errors}
        remote.says = [reply(problem, 409, "application/problem+json")]
        with Client(remote.url, "token") as client, pytest.raises(raised):
            client.read("fct_orders", DAY)


METRIC = {"metric": "on_time_rate", "start": DAY, "end": DAY, "rows": [], "inputs": [], "contract_versions": {}}


def test_a_metric_gives_its_number_away_only_while_it_is_safe(remote: Any, reply: Any):
    reason = {"code": "stale", "message": "It is old.", "clears": "A run.", "partition": "fct_flights 2013-01-05"}
    times = {"as_of": at(), "valid_until": at(hours=1), "clock_offset_seconds": None}
    remote.says = [reply({**METRIC, **times, "value": 0.8, "safe": False, "reasons": [reason]})]
    with Client(remote.url, "token") as client:
        unsafe = client.metric("on_time_rate", DAY, DAY)
        assert not unsafe
        assert unsafe.unsafe_value == 0.8
        assert "NOT SAFE" in str(unsafe)
        for guarded in ("value", "rows"):
            with pytest.raises(NotSafe, match="It is old"):
                getattr(unsafe, guarded)
        with pytest.raises(TypeError):
            float(unsafe)
        remote.says = [reply({**METRIC, **times, "value": 0.8, "safe": True, "reasons": []})]
        assert client.metric("on_time_rate", DAY, DAY).value == 0.8
        for changes in ({"metric": "another"}, {"reasons": [reason]}, {"valid_until": None}):
            remote.says = [reply({**METRIC, **times, "value": 0.8, "safe": True, "reasons": []} | changes)]
            with pytest.raises(CouldNotAsk):
                client.metric("on_time_rate", DAY, DAY)


def test_a_feed_that_broke_off_is_resumed_at_its_place_and_one_that_is_gone_is_lost(
    remote: Any, reply: Any, monkeypatch: pytest.MonkeyPatch
):
    def event(place: str) -> bytes:
        data = {"dataset": "fct_orders", "domain": "shop", "partition": DAY, "state": "unsafe", "safe": False}
        document = {"type": "interlock.safety.changed", "time": at(), "data": data}
        return f"id: {place}\ndata: {json.dumps(document)}\n\n".encode()

    head = b"HTTP/1.1 200 X\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\nretry: 0\n\n"
    begun, torn = event("7.1"), event("7.2")
    remote.says = [
        lambda connection: connection.sendall(head + begun + torn[:40]),
        reply({}, 503),
        head + event("7.2"),
        reply({"detail": "Gone.", "status": 410}, 410, "application/problem+json"),
    ]
    with Client(remote.url, "token") as client:
        changes = client.watch()
        assert [next(changes).position, next(changes).position] == ["7.1", "7.2"]
        with pytest.raises(FeedLost):
            next(changes)
        assert [b"last-event-id: 7.1" in said.lower() for said in remote.heard[:3]] == [False, True, True]
        remote.says = [head + begun, reply({}, 503)]
        changes = client.watch()
        assert next(changes).position == "7.1"
        monkeypatch.setattr("interlock.client.feed.SILENCE", 0.0)
        with pytest.raises(FeedLost):
            next(changes)


@pytest.mark.parametrize(
    ("dataset", "partition"), [("..", None), ("", None), ("fct_orders", "2013-1-5"), ("fct_orders", datetime.now(UTC))]
)
def test_a_question_that_is_none_is_never_sent(remote: Any, dataset: str, partition: Any):
    with Client(remote.url, "token") as client, pytest.raises(UsageError):
        client.safety(dataset, partition)
    assert remote.heard == []


def test_arguments_win_over_the_environment_and_neither_is_refused(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UsageError, match="Nobody said where"):
        Client()
    monkeypatch.setenv("INTERLOCK_URL", "https://there/base/")
    with pytest.raises(UsageError, match="no token"):
        Client()
    monkeypatch.setenv("INTERLOCK_TOKEN", "of the environment".replace(" ", "_"))
    with Client(token="given") as client:
        assert (client._said.url, client._said.token) == ("https://there/base", "given")
    for url in ("there", "ftp://there", "http://", "https://there?x=1"):
        with pytest.raises(UsageError, match="no address"):
            Client(url)
