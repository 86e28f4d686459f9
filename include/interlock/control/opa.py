"""Rego on an OPA server, by setting INTERLOCK_OPA_URL.

The server must say that it decided by the revision that it was asked about (it loads what `interlock policy bundle
--active` writes): a decision by other rules would be recorded under rules that it does not follow. The deadline is for
the whole of a question and its answer: a watchdog shuts the connection, however slowly the server talks.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import threading
import time
from typing import Any
from urllib.parse import urlsplit

from interlock.control.bundles import ENTRYPOINT, Bundle
from interlock.control.decisions import Engine, PolicyUnavailable

LARGEST_ANSWER = 1 << 20
PATH = f"/v1/data/{ENTRYPOINT}?provenance=true&strict-builtin-errors=true"


class OpaEngine:
    """Asks one OPA server about one bundle."""

    name = Engine.OPA

    def __init__(self, bundle: Bundle, url: str, *, seconds: float = 2.0) -> None:
        self._revision = bundle.revision
        self._url = url.rstrip("/")
        self._seconds = seconds
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._connection: http.client.HTTPConnection | None = None

    def evaluate(self, document: dict[str, Any]) -> Any:
        """What the policy says to an input document, as JSON. Raises PolicyUnavailable."""
        if os.getpid() != self._owner:
            # A fork shares the socket, and would read its parent's decisions from it.
            self._owner, self._lock = os.getpid(), threading.Lock()
            self.close()
        if not self._lock.acquire(timeout=self._seconds):
            raise PolicyUnavailable(f"OPA at {self._url} was busy with other questions for {self._seconds:g} s.")
        try:
            deadline = time.monotonic() + self._seconds
            status, body = self._asked(json.dumps({"input": document}).encode(), deadline)
        finally:
            self._lock.release()
        return self._value(status, body)

    def close(self) -> None:
        """Close the connection. The next question would open another."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _asked(self, body: bytes, deadline: float) -> tuple[int, bytes]:
        is_reused = self._connection is not None
        try:
            return self._exchange(body, deadline)
        except (http.client.HTTPException, OSError, ValueError) as error:
            self.close()
            # A server may close a connection that was idle; whether it read the question does not matter.
            if is_reused and isinstance(error, ConnectionError) and time.monotonic() < deadline:
                return self._asked(body, deadline)
            if time.monotonic() >= deadline:
                raise PolicyUnavailable(f"OPA at {self._url} did not answer in {self._seconds:g} s.") from error
            raise PolicyUnavailable(f"OPA at {self._url} could not be asked: {error}") from error

    def _exchange(self, body: bytes, deadline: float) -> tuple[int, bytes]:
        connection = self._connection or self._opened(deadline)
        self._connection = connection
        watchdog = threading.Timer(max(0.0, deadline - time.monotonic()), _shut, [connection.sock])
        watchdog.daemon = True
        watchdog.start()
        try:
            connection.request("POST", PATH, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = response.read(LARGEST_ANSWER + 1)
        finally:
            watchdog.cancel()
        if time.monotonic() >= deadline:
            raise TimeoutError("too late")
        if len(answer) > LARGEST_ANSWER:
            raise ValueError("its answer does not end")
        if response.will_close:
            self.close()
        return response.status, answer

    def _opened(self, deadline: float) -> http.client.HTTPConnection:
        parts = urlsplit(self._url)
        kinds: dict[str, type[http.client.HTTPConnection]] = {
            "http": http.client.HTTPConnection,
            "https": http.client.HTTPSConnection,
        }
        if parts.scheme not in kinds or not parts.hostname:
            raise ValueError("INTERLOCK_OPA_URL is no http or https URL")
        connection = kinds[parts.scheme](
            parts.hostname, parts.port, timeout=max(0.001, min(self._seconds, deadline - time.monotonic()))
        )
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _value(self, status: int, body: bytes) -> Any:
        try:
            answer = json.loads(body)
        except ValueError as error:
            raise PolicyUnavailable(f"OPA at {self._url} answered {status} and no JSON.") from error
        if not isinstance(answer, dict) or status != http.client.OK:
            raise PolicyUnavailable(f"OPA at {self._url} answered {status}: {str(answer)[:300]}")
        revisions = _revisions(answer)
        if revisions != {self._revision}:
            told = ", ".join(sorted(revision[:12] for revision in revisions if revision)) or "no known revision"
            raise PolicyUnavailable(
                f"OPA at {self._url} decides by {told}, and not by {self._revision[:12]}.",
                fix="Load what `interlock policy bundle --active` writes into the server."
                " `interlock policy test --engine rego` tests the checkout's without it.",
            )
        if "result" not in answer:
            raise PolicyUnavailable("The policy is undefined for this question.")
        return answer["result"]


def _revisions(answer: dict[str, Any]) -> set[str]:
    """The revisions of the bundles that the server decided by."""
    try:
        bundles = answer["provenance"]["bundles"]
        return {str(bundle.get("revision") or "") for bundle in bundles.values()}
    except (KeyError, TypeError, AttributeError):
        return set()


def _shut(connected: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)
