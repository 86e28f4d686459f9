"""A remote side that answers whatever a test has it answer, byte for byte: what no sane server would say."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

Conversation = Callable[[socket.socket], None]


def _answer(**changes: Any) -> dict[str, Any]:
    """The document of an answer that is safe for an hour, given now."""
    now = datetime.now(UTC)
    return {
        "dataset": "fct_orders", "partition": "2013-01-05", "state": "safe", "safe": True, "reasons": [], "version": 6,
        "contract_version": "1.0.0", "verdict_id": 6, "as_of": now.isoformat(),
        "valid_until": (now + timedelta(hours=1)).isoformat(),
        "freshness": {"last_partition": None, "lag_seconds": None, "sla_seconds": None},
        "waiver": None, "bootstrapped": False, "warnings": 0, "clock_offset_seconds": None,
    } | changes  # fmt: skip


def _reply(content: Any, status: int = 200, media_type: str = "application/json", **headers: str) -> bytes:
    """A whole answer over HTTP."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    given = {"Content-Type": media_type, "Content-Length": str(len(body)), "Connection": "close"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + body


@dataclass
class Remote:
    """A server on a port of its own: each connection is answered by the next of `says`, the last one for ever."""

    url: str
    says: list[bytes | Conversation] = field(default_factory=list)
    heard: list[bytes] = field(default_factory=list)

    def next(self) -> bytes | Conversation:
        """What is said next."""
        return self.says.pop(0) if len(self.says) > 1 else self.says[0]


@pytest.fixture
def remote() -> Iterator[Remote]:
    """The remote side; it says nothing until a test tells it what."""
    listens = socket.create_server(("127.0.0.1", 0))
    made = Remote(f"http://127.0.0.1:{listens.getsockname()[1]}")

    def talk() -> None:
        while True:
            try:
                connection, _ = listens.accept()
            except OSError:
                return
            with connection:
                try:
                    made.heard.append(connection.recv(65536))
                    said = made.next()
                    if isinstance(said, bytes):
                        connection.sendall(said)
                    else:
                        said(connection)
                except OSError:
                    continue  # the client has gone

    thread = threading.Thread(target=talk, daemon=True)
    thread.start()
    yield made
    listens.shutdown(socket.SHUT_RDWR)
    listens.close()
    thread.join(10)


@pytest.fixture
def answer() -> Callable[..., dict[str, Any]]:
    """Makes documents of answers: `answer(state="unsafe", safe=False)`."""
    return _answer


@pytest.fixture
def reply() -> Callable[..., bytes]:
    """Makes whole answers over HTTP: `reply(document, 503)`."""
    return _reply
