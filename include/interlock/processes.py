"""Programs that run in the background: started detached, known by more than a number, stopped for sure.

A process id alone is no name: after a crash the system gives it to somebody else, and a stop command that
trusts it kills a stranger. So an identity is the id *and* the moment at which the process began, and a
stop reaches the whole session that the program opened, and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

LARGEST_LOG = 10_000_000
# Two readings of one start differ by less than a clock tick; two processes with one id by far more.
SAME_START_SECONDS = 1.0


@dataclass(frozen=True)
class Identity:
    """One process: its id, when it began (seconds since 1970), and the session that it and its children share."""

    pid: int
    started: float
    session: int

    def save(self, path: Path) -> None:
        """Write it down, whole or not at all."""
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(self)))
        fresh.replace(path)

    @classmethod
    def load(cls, path: Path) -> Identity | None:
        """What was written down, or None."""
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            return None


def start_detached(
    command: Sequence[str | Path], *, log: Path, cwd: Path, environment: Mapping[str, str], **as_user: Any
) -> Identity:
    """Start a program in a session of its own that holds no terminal, no pipe and no open file of ours.

    It is an orphan at once, so nobody has to wait for it; what it says goes to `log`. Extra arguments
    (`user`, `group`, `umask`, ...) go to `subprocess`.
    """
    import psutil

    with log_file(log) as output:
        # The shell's pipe carries the program's id and closes; the program itself writes to the log alone.
        started = subprocess.run(  # noqa: S603
            ["/bin/sh", "-c", '"$@" >&2 & echo $! $$', "sh", *map(str, command)],
            cwd=cwd, env=dict(environment), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=output,
            start_new_session=True, check=True, **as_user,
        )  # fmt: skip
    pid, session = map(int, started.stdout.split())
    try:
        return Identity(pid, psutil.Process(pid).create_time(), session)
    except psutil.NoSuchProcess:
        return Identity(pid, 0.0, session)  # ended already; nothing will ever match it


def log_file(path: Path) -> IO[bytes]:
    """A log opened for appending, emptied first where it has grown out of hand; for its owner's eyes only."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")
    if file.tell() > LARGEST_LOG:
        file.truncate(0)
    return file


def is_alive(identity: Identity) -> bool:
    """Whether that very process still runs."""
    import psutil

    try:
        process = psutil.Process(identity.pid)
        is_same = abs(process.create_time() - identity.started) < SAME_START_SECONDS
        return is_same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def stop(identities: Sequence[Identity], *, grace_seconds: float = 10.0) -> None:
    """Ask the processes to end, all at once; after the grace kill what is left of them and of their sessions."""
    import psutil

    alive = [identity for identity in identities if is_alive(identity)]
    members = {process for identity in identities for process in _members(identity)}
    for identity in alive:
        with contextlib.suppress(ProcessLookupError):
            os.kill(identity.pid, signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    while time.monotonic() < deadline and any(is_alive(identity) for identity in alive):
        time.sleep(0.05)
    members |= {process for identity in identities for process in _members(identity)}
    for process in members:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(members, timeout=5)


def is_port_free(port: int) -> bool:
    """Whether nobody listens on that port of this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _members(identity: Identity) -> list[Any]:
    """The process, its descendants, and orphans of its session: all of them ours, none older than it."""
    import psutil

    found = []
    if is_alive(identity):
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(identity.pid)
            found += [process, *process.children(recursive=True)]
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            in_session = os.getsid(process.pid) == identity.session
            if in_session and identity.started and process.create_time() >= identity.started - SAME_START_SECONDS:
                found.append(process)
    return found
