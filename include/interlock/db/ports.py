"""The port of the embedded server: the one that was asked for, else the one it had, else a free one of its own.

Where two checkouts of one machine start at once, each begins to look at another place, so that both find one at once.
"""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

from interlock import processes
from interlock.errors import PermanentFailure, TransientFailure

# Below the ports that systems hand out for outgoing connections, so that a remembered one stays free.
FIRST_PORT, PORTS = 20_000, 10_000


def free_port(state: Path, *, wanted: int, remembered: object) -> int:
    """A port that nobody listens on, for the server of a state folder; `wanted` is 0 where any will do."""
    if wanted:
        if not processes.is_port_free(wanted):
            raise PermanentFailure(
                f"Port {wanted}, which INTERLOCK_POSTGRES_PORT names, is taken by another program.",
                fix="Set INTERLOCK_POSTGRES_PORT to a free port, or unset it and a free one is chosen.",
            )
        return wanted
    if isinstance(remembered, int) and processes.is_port_free(remembered):
        return remembered
    begin = crc32(str(state).encode()) % PORTS
    for step in range(PORTS):
        port = FIRST_PORT + (begin + step) % PORTS
        if processes.is_port_free(port):
            return port
    raise TransientFailure("No port is free for the embedded PostgreSQL.", fix="Set INTERLOCK_POSTGRES_PORT.")
