"""A server that is down, slow, or answers nonsense: refused, in time, and with the reason."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from interlock.control.bundles import Bundle
from interlock.control.cases import Case
from interlock.control.opa import OpaEngine
from interlock.control.policy import Policy
from interlock.control.questions import Question

SECONDS = 0.3
ANSWER = {
    "allow": False, "outcome": "refuse", "approvals_required": 2, "approvals_counted": 0, "obligations": [],
    "caps": {}, "reasons": [{"code": "fine", "message": "Refused in earnest."}],
}  # fmt: skip


def http(body: str | bytes, status: str = "200 OK") -> bytes:
    content = body.encode() if isinstance(body, str) else body
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content


def answered(bundle: Bundle, **changes: Any) -> str:
    said = {"result": ANSWER, "provenance": {"bundles": {"b": {"revision": bundle.revision}}}} | changes
    return json.dumps({key: value for key, value in said.items() if value is not None})


def read_request(connection: socket.socket) -> None:
    with connection.makefile("rb") as stream:
        length = 0
        while (line := stream.readline()) not in (b"\r\n", b""):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        stream.read(length)


@pytest.fixture
def serving() -> Iterator[Callable[[list[list[bytes | float]]], str]]:
    """A server that sends prepared pieces: one list a connection; a number is a pause, and none is no answer ever."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()
    threads: list[threading.Thread] = []

    def talk(connection: socket.socket, pieces: list[bytes | float]) -> None:
        with connection, suppress(OSError):
            for piece in pieces:
                if isinstance(piece, float):
                    stop.wait(piece)
                else:
                    read_request(connection)
                    connection.sendall(piece)

    def drip(connection: socket.socket, pieces: list[bytes | float]) -> None:
        with connection, suppress(OSError):
            read_request(connection)
            for byte in pieces[1]:  # type: ignore[union-attr]
                connection.sendall(bytes([byte]))
                if stop.wait(0.05):
                    return

    def accept(connections: list[list[bytes | float]]) -> None:
        for pieces in connections:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.settimeout(5)
            (drip if pieces[:1] == [b"drip"] else talk)(connection, pieces)

    def start(connections: list[list[bytes | float]]) -> str:
        thread = threading.Thread(target=accept, args=[connections])
        threads.append(thread)
        thread.start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    stop.set()
    with suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for thread in threads:
        thread.join()


@pytest.fixture
def question(cases: dict[str, Case]) -> Question:
    document = cases["a recalled version that is served is quarantined by itself"].document
    return Question.model_validate_json(json.dumps(document))


def test_a_server_that_is_not_there_is_a_refusal(bundle: Bundle, question: Question):
    with Policy(bundle, OpaEngine(bundle, "http://127.0.0.1:1", seconds=SECONDS)) as policy:
        decision = policy.decide(question)
    assert not decision.allow
    assert "could not be asked" in decision.failure


@pytest.mark.parametrize("url", ["", "127.0.0.1:8181", "ftp://127.0.0.1", "http://127.0.0.1:port"])
def test_an_address_that_is_none_is_a_refusal(bundle: Bundle, question: Question, url: str):
    with Policy(bundle, OpaEngine(bundle, url, seconds=SECONDS)) as policy:
        assert "could not be asked" in policy.decide(question).failure


@pytest.mark.parametrize("how", ["never", "drip", "half"])
def test_a_server_that_is_slow_is_a_refusal_at_the_deadline(how: str, bundle: Bundle, question: Question, serving: Any):
    whole = http(answered(bundle))
    pieces = {"never": [5.0], "drip": [b"drip", whole], "half": [whole[:-9], 5.0]}[how]
    with Policy(bundle, OpaEngine(bundle, serving([pieces]), seconds=SECONDS)) as policy:
        began = time.monotonic()
        decision = policy.decide(question)
        assert time.monotonic() - began < SECONDS + 1
    assert f"did not answer in {SECONDS:g} s" in decision.failure


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("no JSON", "200 OK", "no JSON"),
        ("[]", "200 OK", "answered 200"),
        ('{"code": "internal_error"}', "500 Internal Server Error", "answered 500"),
        ("{}", "200 OK", "no known revision"),
        ('{"provenance": {"bundles": []}}', "200 OK", "no known revision"),
        ('{"provenance": {"bundles": {"b": {"revision": "abc"}}}}', "200 OK", "decides by abc"),
    ],
)
def test_an_answer_that_is_none_is_a_refusal(
    body: str, status: str, said: str, bundle: Bundle, question: Question, serving: Any
):
    with Policy(bundle, OpaEngine(bundle, serving([[http(body, status)]]), seconds=5)) as policy:
        decision = policy.decide(question)
    assert not decision.allow
    assert said in decision.failure


@pytest.mark.parametrize(
    ("result", "said"), [(None, "undefined"), (True, "makes no sense"), ({}, "makes no sense"), ("yes", "no sense")]
)
def test_a_result_that_is_none_is_a_refusal(result: Any, said: str, bundle: Bundle, question: Question, serving: Any):
    with Policy(bundle, OpaEngine(bundle, serving([[http(answered(bundle, result=result))]]), seconds=5)) as policy:
        decision = policy.decide(question)
    assert said in decision.failure


def test_an_answer_without_end_is_a_refusal(bundle: Bundle, question: Question, serving: Any):
    endless = b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + b" " * 2_000_000
    with Policy(bundle, OpaEngine(bundle, serving([[endless]]), seconds=5)) as policy:
        assert "does not end" in policy.decide(question).failure


def test_a_connection_that_the_server_closed_while_it_was_idle_is_opened_again(
    bundle: Bundle, question: Question, serving: Any
):
    good = http(answered(bundle))
    with Policy(bundle, OpaEngine(bundle, serving([[good], [good, good]]), seconds=5)) as policy:
        decisions = [policy.decide(question) for _ in range(3)]
    assert [decision.failure for decision in decisions] == [None, None, None]
