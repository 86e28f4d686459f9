"""Serving the application by itself: one process, on one address, until it is told to stop.

A polite stop ends the streams first, because a server that waits for them to end waits for ever. What is under way is
answered; what takes longer than the grace is cut.
"""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING, Any

import uvicorn

from interlock.api.app import create_app
from interlock.errors import UsageError

if TYPE_CHECKING:
    from fastapi import FastAPI

logger = logging.getLogger(__name__)

GRACE_SECONDS = 5
# So many requests wait for their turn in the kernel while the process is busy.
BACKLOG = 1024


class Server(uvicorn.Server):
    """uvicorn's, but that it ends the application's streams before it waits for what is under way."""

    def __init__(self, app: FastAPI) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                loop="auto",
                http="auto",
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                backlog=BACKLOG,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        self._surface = app.state.surface

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, and end."""
        for listening in sockets or []:
            listening.close()
        await self._surface.end_streams()
        await super().shutdown(sockets)


def listening(host: str, port: int, *, is_exact: bool) -> socket.socket:
    """A socket that listens; where the port is taken, on the next free one unless exactly it was asked for."""
    for candidate in (port,) if is_exact or port == 0 else (*range(port, min(port + 20, 65536)), 0):
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            return socket.create_server((host, candidate), family=family, backlog=BACKLOG)
        except OSError as error:
            problem: Any = error
    raise UsageError(
        f"It cannot listen on {host} port {port}: {problem.strerror or problem}.",
        fix="Give another --host or --port, or stop what listens there.",
    )


def serve(listens: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    _log_as_ours()
    Server(create_app()).run(sockets=[listens])


def _log_as_ours() -> None:
    """uvicorn's records, in the form of ours."""
    theirs = logging.getLogger("uvicorn")
    theirs.handlers = logging.getLogger("interlock").handlers
    theirs.propagate = False
    theirs.setLevel(logging.WARNING)
