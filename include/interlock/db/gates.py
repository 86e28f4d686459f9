"""A gate that one process passes at a time, by a lock on a file: the kernel drops it however the process ends."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from interlock.errors import TransientFailure

# Longer than whoever is inside may take to start a server or to stop one.
PATIENCE_SECONDS = 120


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Pass the gate for the length of a block. TransientFailure where another process stands still inside."""
    gate = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not _locked(gate):
            if time.monotonic() > deadline:
                raise _stands_still(os.pread(gate, 32, 0).decode())
            time.sleep(0.02)
        os.truncate(gate, 0)
        os.pwrite(gate, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(gate)


def _locked(gate: int) -> bool:
    try:
        fcntl.flock(gate, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _stands_still(holder: str) -> TransientFailure:
    return TransientFailure(
        f"Process {holder} has been starting or stopping a server for {PATIENCE_SECONDS} s: is it paused?",
        fix=f"Let it go on (`kill -CONT {holder}`) or end it; then run this again.",
    )
