"""PostgreSQL and Airflow as one platform that is up or down.

`up()` leaves it up; `running()` is the same for the length of a block, for the demo and the tests, and
ends it however the block ends, Ctrl-C included. Three Airflow processes are the least that makes real
runs: the API server, the scheduler and the DAG processor; the triggerer waits for every task that waits
without a process of its own.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from interlock import orchestration, processes
from interlock.airflow_rest import Airflow
from interlock.errors import PermanentFailure, TransientFailure
from interlock.settings import settings

Say = Callable[[str], None]

COMMANDS = {
    "api-server": ("api-server",),
    # The API server reads the logs from the disk; the scheduler's own log server would take a fixed port.
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
HEALTHY_SECONDS = 180
DAGS_SECONDS = 60
GRACE_SECONDS = 10
PORT_TAKEN = "address already in use"
PORTS_TRIED = 5


class _PortTaken(TransientFailure):
    """Between the look at a port and its use lie seconds, in which somebody else took it."""


def quietly(_line: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Stopped:
    """What a stop did: the services it ended, and whether the embedded database is down."""

    services: tuple[str, ...]
    database: bool


def up(say: Say = quietly) -> Airflow:
    """Start everything and leave it up; what already runs is left as it is."""
    from interlock.db.connection import embedded_server

    if not settings().is_embedded or embedded_server().is_kept:
        return start(say)
    embedded_server().keep()
    try:
        return start(say)
    except BaseException:
        embedded_server().keep_no_longer()
        raise


@contextmanager
def running(say: Say = quietly) -> Iterator[Airflow]:
    """Everything up for the length of the block. What was up before stays up; what was started is stopped."""
    already_up = is_up()
    try:
        yield start(say)
    finally:
        if not already_up:
            with _undisturbed():
                say("Stopping Airflow.")
                stop_airflow()


def start(say: Say = quietly) -> Airflow:
    """Bring the database and Airflow up and wait until Airflow reports itself healthy."""
    from interlock.control import credentials
    from interlock.db.connection import Role, connect

    with connect(Role.OPERATOR):
        say("PostgreSQL is up, and its schema is current.")
    orchestration.prepare()
    with _one_at_a_time():
        if settings().is_embedded and credentials.enrol_laptop(orchestration.login()[0]):
            say("Whoever logs in to this Airflow may act in every domain (`interlock token list`).")
        return _start(say)


def _start(say: Say) -> Airflow:
    if is_up():
        airflow = Airflow(_recorded_port() or settings().airflow_port)
        _wait_until_healthy(airflow, say)
        return airflow
    stop_airflow()
    orchestration.make_metadata_database()
    if not orchestration.metadata_is_current():
        say("Preparing Airflow's own tables (once, about 15 s).")
        _migrate_airflow(orchestration.airflow_environment(settings().airflow_port))
    taken: set[int] = set()
    while True:
        airflow = Airflow(_free_port(taken))
        try:
            _start_processes(airflow, say)
            _wait_until_healthy(airflow, say)
            return airflow
        except BaseException as error:
            with _undisturbed():
                stop_airflow()
            if not isinstance(error, _PortTaken) or len(taken) == PORTS_TRIED:
                raise
            taken.add(airflow.port)
            say(f"Another program took port {airflow.port} at the same moment; the next one is tried.")


def _start_processes(airflow: Airflow, say: Say) -> None:
    say(f"Starting Airflow on port {airflow.port}.")
    _port_file().write_text(str(airflow.port))
    environment = orchestration.airflow_environment(airflow.port)
    for name, arguments in COMMANDS.items():
        processes.start_detached(
            (*_airflow(), *arguments),
            log=_log(name),
            cwd=settings().root,
            environment=environment,
            umask=0o077,
        ).save(_identity_file(name))


def is_up() -> bool:
    """Whether all of Airflow's processes run."""
    return all(_is_alive(name) for name in COMMANDS)


def reachable() -> Airflow | None:
    """The Airflow to call: the one that INTERLOCK_AIRFLOW_URL names, or else the one that runs here, if one does."""
    configured = settings()
    if configured.airflow_url:
        return Airflow(configured.airflow_port, configured.airflow_url.rstrip("/"))
    return Airflow(_recorded_port() or configured.airflow_port) if _is_alive("api-server") else None


def airflow_page() -> str | None:
    """Where a person opens Airflow's UI, without a slash at its end; None where it is not known and none runs here."""
    public = settings().airflow_public_url
    if public:
        return public.rstrip("/")
    airflow = reachable()
    return None if airflow is None else airflow.address.rstrip("/")


def stop_airflow() -> tuple[str, ...]:
    """Stop what runs of Airflow; the names of what was stopped."""
    identities = {name: processes.Identity.load(_identity_file(name)) for name in COMMANDS}
    found = {name: identity for name, identity in identities.items() if identity is not None}
    alive = tuple(name for name, identity in found.items() if processes.is_alive(identity))
    processes.stop(list(found.values()), grace_seconds=GRACE_SECONDS)
    for name in COMMANDS:
        _identity_file(name).unlink(missing_ok=True)
    return alive


def stop(*, force: bool = False) -> Stopped:
    """Stop Airflow, then the embedded database unless another command uses it (or `force`)."""
    from interlock.db.connection import embedded_server

    with _undisturbed():
        names = stop_airflow()
        if not settings().is_embedded:
            return Stopped(names, database=True)
        server = embedded_server()
        was_up = server.process is not None
        is_down = server.stop(force=force)
    return Stopped((*names, "PostgreSQL") if was_up and is_down else names, is_down)


def summary() -> str:
    """What runs, where, and how to log in, for a person to read. Starts nothing."""
    from interlock.db.connection import embedded_server

    configured = settings()
    lines = []
    if configured.is_embedded:
        server = embedded_server()
        state = f"up on 127.0.0.1:{server.running_port}" if server.process else "down (starts by itself when needed)"
        lines.append(f"PostgreSQL  {state}{', kept up' if server.is_kept else ''}")
    else:
        lines.append("PostgreSQL  the server that INTERLOCK_DATABASE_URL names")
    running_parts = [name for name in COMMANDS if _is_alive(name)]
    user, password = orchestration.login()
    login = f"            user {user}, password {password}"
    if not running_parts:
        return "\n".join([*lines, "Airflow     down", login])
    airflow = Airflow(_recorded_port() or configured.airflow_port)
    lines.append(f"Airflow     {airflow.address}  ({', '.join(running_parts)})")
    missing = [name for name in COMMANDS if name not in running_parts]
    if missing:
        lines.append(f"            NOT RUNNING: {', '.join(missing)}; logs in {orchestration.logs()}")
    return "\n".join([*lines, login])


def _wait_until_healthy(airflow: Airflow, say: Say) -> None:
    # Not the triggerer: what waits for it can wait the seconds that it starts later.
    wanted = ("metadatabase", "scheduler", "dag_processor")
    started = told = time.monotonic()
    while time.monotonic() - started < HEALTHY_SECONDS:
        for name in COMMANDS:
            if not _is_alive(name):
                words = _last_words(name)
                raise (_PortTaken if PORT_TAKEN in words else TransientFailure)(
                    f"Airflow's {name} ended while it started. Its last words:\n{words}",
                    fix=f"Read {_log(name)}; `interlock doctor` looks for the usual reasons.",
                )
        health = airflow.health()
        if all(health.get(part) == "healthy" for part in wanted) and airflow.is_ours():
            _wait_for_dags(airflow)
            say(f"Airflow is up at {airflow.address} after {time.monotonic() - started:.0f} s.")
            return
        if time.monotonic() - told > 5:
            told = time.monotonic()
            waiting = [part for part in wanted if health.get(part) != "healthy"]
            say(f"Waiting for Airflow ({', '.join(waiting)}): {told - started:.0f} s")
        time.sleep(0.3)
    raise TransientFailure(
        f"Airflow was not healthy after {HEALTHY_SECONDS} s.",
        fix=f"Read the logs in {orchestration.logs()}; then try again.",
    )


def _wait_for_dags(airflow: Airflow) -> None:
    """Until every DAG file was read once; an Airflow that has none for longer is up all the same, and shows why."""
    files = {file.name for file in (settings().root / "dags").glob("*.py")}
    started = time.monotonic()
    while not files <= airflow.parsed_files() and time.monotonic() - started < DAGS_SECONDS:
        time.sleep(0.3)


def migrate_airflow() -> None:
    """Make Airflow's database, tables and, where its auth manager keeps them in the database, its users."""
    orchestration.prepare()
    orchestration.make_metadata_database()
    environment = orchestration.airflow_environment(settings().airflow_port, with_overrides=True)
    _migrate_airflow(environment)
    if not environment.get("AIRFLOW__CORE__AUTH_MANAGER", "").endswith("FabAuthManager"):
        return
    for user, role in orchestration.USERS.items():
        name, password = orchestration.login(user)
        who = ("--username", name, "--password", password, "--role", role.title())
        about = ("--firstname", "Interlock", "--lastname", name, "--email", f"{name}@example.invalid")
        _run_airflow(environment, "users", "create", *who, *about)


def airflow(arguments: list[str]) -> int:
    """Run one `airflow` command in the platform's environment, in which `AIRFLOW__*` variables may overrule it."""
    orchestration.prepare()
    port = _recorded_port() or settings().airflow_port
    environment = orchestration.airflow_environment(port, with_overrides=True)
    command = [*_airflow(), *arguments]
    if settings().is_embedded:
        return subprocess.run(command, env=environment, check=False).returncode  # noqa: S603
    # In a container the command takes this process's place, so that signals reach it.
    return os.execve(command[0], command, environment)  # noqa: S606


def _migrate_airflow(environment: dict[str, str]) -> None:
    _run_airflow(environment, "db", "migrate")
    orchestration.stamp_metadata()


def _run_airflow(environment: dict[str, str], *arguments: str) -> None:
    with processes.log_file(_log("migrate")) as log:
        ended = subprocess.run(  # noqa: S603
            [*_airflow(), *arguments],
            env=environment,
            cwd=settings().root,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=False,
        )
    if ended.returncode != 0:
        raise PermanentFailure(
            f"Airflow's own tables could not be prepared. Its last words:\n{_last_words('migrate')}",
            fix=f"Read {_log('migrate')}.",
        )


def _airflow() -> tuple[str, ...]:
    """The `airflow` command of this very environment; not its script, whose first line a long path breaks."""
    if importlib.util.find_spec("airflow") is None:
        raise PermanentFailure(
            "Airflow is not installed in this environment.",
            fix="Run `make up` from the checkout, which sets up its environment.",
        )
    return sys.executable, "-m", "airflow"


def _free_port(taken: set[int]) -> int:
    wanted = settings().airflow_port
    if "airflow_port" in settings().model_fields_set:
        if wanted in taken or not processes.is_port_free(wanted):
            raise PermanentFailure(
                f"Port {wanted}, which INTERLOCK_AIRFLOW_PORT names, is taken by another program.",
                fix="Set INTERLOCK_AIRFLOW_PORT to a free port, or unset it and the next free one is taken.",
            )
        return wanted
    candidates: list[int] = [_recorded_port() or wanted, *range(wanted, wanted + 200)]
    for port in candidates:
        if port not in taken and processes.is_port_free(port):
            return port
    raise TransientFailure(f"No port from {wanted} on is free for Airflow.", fix="Set INTERLOCK_AIRFLOW_PORT.")


def _recorded_port() -> int | None:
    try:
        return int(_port_file().read_text())
    except (OSError, ValueError):
        return None


def _port_file() -> Path:
    return orchestration.home() / "port"


def _identity_file(name: str) -> Path:
    return orchestration.home() / f"{name}.process.json"


def _is_alive(name: str) -> bool:
    identity = processes.Identity.load(_identity_file(name))
    return identity is not None and processes.is_alive(identity)


def _log(name: str) -> Path:
    return orchestration.logs() / f"airflow-{name}.log"


def _last_words(name: str) -> str:
    with suppress(OSError):
        text = _log(name).read_text(errors="replace")
        return os.linesep.join(text.splitlines()[-15:])
    return "(nothing was written)"


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Two commands that start Airflow at once: the second waits, and finds it up."""
    with (orchestration.home() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C a second time must not leave half of it running: the block is short, and it is finished."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
