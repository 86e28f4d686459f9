"""A platform of the benchmark's own: a server, a state folder and a landing folder that are gone afterwards.

The server is as durable as production's, for ours and for the reference alike.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from interlock.db import connection as connections
from interlock.db.connection import Role
from interlock.settings import settings

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def scratch(root: Path = ROOT) -> Iterator[Path]:
    """Point this process and its children at a platform of their own; yields its folder."""
    folder = Path(tempfile.mkdtemp(prefix="interlock-bench-"))
    folder.chmod(0o711)
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("INTERLOCK_")]:
        del os.environ[name]
    os.environ.update(
        INTERLOCK_ROOT=str(root),
        INTERLOCK_STATE_DIR=str(folder / "state"),
        INTERLOCK_LANDING_URL=str(folder / "landing"),
    )
    _forget()
    server = connections.embedded_server()
    server.keep()
    try:
        yield folder
    finally:
        server.erase()
        os.environ.clear()
        os.environ.update(before)
        _forget()
        shutil.rmtree(folder, ignore_errors=True)


def interlock(*words: str, expected: int = 0) -> str:
    """Run one command as a process of its own and return what it printed."""
    ended = subprocess.run([sys.executable, "-m", "interlock", *words], check=False, capture_output=True, text=True)
    if ended.returncode != expected:
        raise RuntimeError(
            f"interlock {' '.join(words)} ended with {ended.returncode}:\n{ended.stdout}\n{ended.stderr}"
        )
    return ended.stdout


def dbt_environment(role: Role, schema: str) -> dict[str, str]:
    """The variables by which dbt's profile finds the warehouse."""
    server = urlsplit(connections.url(role))
    given = {
        "HOST": server.hostname,
        "PORT": server.port,
        "USER": server.username,
        "PASSWORD": server.password,
        "DBNAME": server.path.lstrip("/"),
        "SCHEMA": schema,
        "THREADS": 2,
    }
    return {f"INTERLOCK_DBT_{name}": str(value) for name, value in given.items()}


def deliver(first: date, last: date) -> None:
    """The example's producer delivers a range."""
    interlock("deliver", "--from", str(first), "--to", str(last))


def days(first: date, number: int) -> list[str]:
    """Consecutive partitions."""
    return [str(first + timedelta(days=n)) for n in range(number)]


def _forget() -> None:
    settings.cache_clear()
    connections.forget()
