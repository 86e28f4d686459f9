"""Endpoints of owners, as notices are sent to them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from interlock.settings import settings


class Receiver:
    """An owner's endpoint: a real HTTP server on loopback that keeps what it was sent, or refuses it."""

    def __init__(self) -> None:
        self.messages: list[dict[str, str]] = []
        self.status = 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if receiver.status == 200:
                    receiver.messages.append(json.loads(body))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def titles(self) -> list[str]:
        return [message["title"] for message in self.messages]


@contextmanager
def receiving(monkeypatch: pytest.MonkeyPatch, *owners: str) -> Iterator[dict[str, Receiver]]:
    """An endpoint for each of some owners, which the settings name."""
    receivers = {owner: Receiver() for owner in owners}
    urls = {owner: [f"json://127.0.0.1:{receiver.server.server_port}/"] for owner, receiver in receivers.items()}
    monkeypatch.setenv("INTERLOCK_NOTIFY_URLS", json.dumps(urls))
    settings.cache_clear()
    try:
        yield receivers
    finally:
        for receiver in receivers.values():
            receiver.server.shutdown()
            receiver.server.server_close()
