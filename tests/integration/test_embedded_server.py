"""The embedded server survives what laptops do: kills, long paths, two checkouts, commands at once."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg
import pytest
from tests.scratch import scratch_folder

from interlock.db import embedded, gates, unprivileged
from interlock.db.embedded import EmbeddedServer
from interlock.errors import PermanentFailure, TransientFailure

# A process that uses the server, says so, and waits to be told (or killed).
USER = """
import sys
from pathlib import Path
from interlock.db.embedded import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]), lambda: "secret", durable=False)
print(server.acquire(), flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short-lived folder that the server's own user may pass through."""
    made = scratch_folder("server")
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def make_server(folder: Path) -> Iterator[Callable[..., EmbeddedServer]]:
    """Servers that are gone after the test."""
    made: list[EmbeddedServer] = []

    def make(name: str = "state", *, durable: bool = False, port: int = 0) -> EmbeddedServer:
        made.append(EmbeddedServer(folder / name, lambda: "secret", durable=durable, port=port))
        return made[-1]

    yield make
    for server in made:
        server.erase()


def connect(port: int, password: str = "secret") -> psycopg.Connection:
    return psycopg.connect(host="127.0.0.1", port=port, user="postgres", password=password, dbname="postgres")


def answer(port: int, query: str = "select 1") -> object:
    with connect(port) as connection:
        return connection.execute(query.encode()).fetchone()[0]


def another_user(server: EmbeddedServer) -> subprocess.Popen[str]:
    """Another process that uses the same server, and has it."""
    process = subprocess.Popen(
        [sys.executable, "-c", USER, str(server.state)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline().strip().isdigit()
    return process


def leave(process: subprocess.Popen[str]) -> None:
    process.communicate("\n", timeout=30)
    assert process.returncode == 0


def test_it_takes_passwords_only_listens_on_loopback_only_and_lives_in_utc(make_server):
    server = make_server()
    port = server.acquire()
    assert answer(port, "show timezone") == "UTC"
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(port, "wrong")
    assert answer(port, "select count(*) from pg_hba_file_rules where auth_method <> 'scram-sha-256'") == 0
    addresses = {found.laddr.ip for found in server.process.net_connections() if found.status == psutil.CONN_LISTEN}
    assert addresses == {"127.0.0.1"}


def test_it_is_durable(make_server):
    port = make_server(durable=True).acquire()
    assert [answer(port, f"show {name}") for name in ("fsync", "synchronous_commit", "full_page_writes")] == ["on"] * 3


def test_nobody_else_can_look_into_the_state(make_server):
    server = make_server()
    server.acquire()
    assert stat.S_IMODE(server.state.stat().st_mode) & 0o007 == 0
    assert stat.S_IMODE(server.data.stat().st_mode) == 0o700
    assert stat.S_IMODE(server.log.stat().st_mode) == 0o600


def test_a_killed_server_comes_back_with_its_data_on_the_same_port(make_server):
    server = make_server(durable=True)
    port = server.acquire()
    with connect(port) as connection:
        connection.execute("create table kept as select 42 as value")
    killed = server.process
    killed.kill()
    psutil.wait_procs([killed], timeout=10)
    assert make_server().acquire() == port
    assert answer(port, "select value from kept") == 42


def test_a_pid_file_that_names_a_strangers_process_is_not_believed(make_server):
    server = make_server()
    server.acquire()
    server.release()
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        lines = [stranger.pid, server.data, int(time.time()), 20000, "", "127.0.0.1", "1 1", "ready"]
        pid_file = server.data / "postmaster.pid"
        pid_file.write_text("\n".join(map(str, lines)) + "\n")
        assert server.process is None
        assert answer(server.acquire()) == 1
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_the_last_one_out_stops_it(make_server):
    server = make_server()
    port = server.acquire()
    other = another_user(server)
    server.release()
    assert answer(port) == 1
    leave(other)
    assert server.process is None


def test_a_user_that_was_killed_counts_no_more(make_server):
    server = make_server()
    server.acquire()
    other = another_user(server)
    other.kill()
    other.communicate()
    server.release()
    assert server.process is None


def test_a_forked_child_neither_stops_it_nor_keeps_it(make_server):
    server = make_server()
    port = server.acquire()
    child = os.fork()
    if child == 0:
        os._exit(0 if server.acquire() == port else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert answer(port) == 1
    server.release()
    assert server.process is None


def test_kept_it_outlives_its_users_until_it_is_stopped(make_server):
    server = make_server()
    server.keep()
    server.release()
    leave(another_user(server))
    assert server.process is not None
    assert server.stop() is True
    assert server.process is None


def test_a_stop_leaves_it_to_the_last_user_unless_forced(make_server):
    server = make_server()
    server.keep()
    other = another_user(server)
    assert server.stop() is False
    assert server.process is not None
    assert server.stop(force=True) is True
    assert server.process is None
    leave(other)


def test_two_checkouts_have_a_server_each(make_server):
    one, two = make_server("one"), make_server("two")
    assert one.acquire() != two.acquire()
    assert answer(one.acquire(), "show data_directory") != answer(two.acquire(), "show data_directory")


def test_commands_that_come_at_once_start_it_once(make_server):
    servers = [make_server() for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(lambda server: server.acquire(), servers))) == 1
    for server in servers[1:]:
        server.release()
    assert answer(servers[0].acquire()) == 1


def test_who_stands_still_while_starting_it_is_named_and_not_waited_for_without_end(make_server, monkeypatch):
    server = make_server()
    server.acquire()
    monkeypatch.setattr(gates, "PATIENCE_SECONDS", 0)
    with (server.state / "postgres.lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(TransientFailure, match=rf"Process {os.getpid()} has been starting"):
            server.release()
    server.release()


@pytest.mark.parametrize("name", ["with a space", "x" * 150, "quote's $HOME %s é"])
def test_any_path_will_do(make_server, name):
    assert answer(make_server(f"{name}/.interlock").acquire()) == 1


def test_a_copied_checkout_gets_a_server_of_its_own(make_server, folder):
    original = make_server("original")
    port = original.acquire()
    shutil.copytree(original.state, folder / "copy")
    subprocess.run(["chown", "-R", f"{original.data.stat().st_uid}", folder / "copy" / "postgres"], check=True)
    copy = make_server("copy")
    assert copy.acquire() != port
    assert copy.data != original.data
    assert answer(port) == 1


def test_a_port_that_was_taken_meanwhile_is_left_to_its_taker(make_server):
    server = make_server()
    port = server.acquire()
    server.release()
    with socket.create_server(("127.0.0.1", port)):
        assert server.acquire() != port


def test_a_port_that_was_asked_for_and_is_taken_is_named_with_its_setting(make_server):
    with socket.create_server(("127.0.0.1", 0)) as taker:
        port = taker.getsockname()[1]
        with pytest.raises(PermanentFailure, match=f"{port}.*INTERLOCK_POSTGRES_PORT"):
            make_server(port=port).acquire()


def test_it_holds_no_terminal_no_pipe_and_no_file_of_its_starter(make_server):
    server = make_server()
    starter = another_user(server)
    server.keep()
    leave(starter)  # communicate() returns: the pipes are closed on every side
    process = server.process
    assert process.terminal() is None
    assert os.getsid(process.pid) != os.getsid(0)
    held = (
        {str(file.readlink()) for file in Path(f"/proc/{process.pid}/fd").iterdir()}
        if sys.platform == "linux"
        else set()
    )
    assert not [file for file in held if file.startswith("/dev/pts")]
    assert not [file for file in held if "postgres.uses" in file or "postgres.lock" in file]


def test_a_state_folder_that_is_a_file_is_named_with_its_setting(folder, make_server):
    (folder / "state").write_text("not a folder")
    server = EmbeddedServer(folder / "state", lambda: "secret")
    with pytest.raises(PermanentFailure, match="INTERLOCK_STATE_DIR"):
        server.acquire()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody else")
@pytest.mark.optional_in_ci
def test_root_uses_a_folder_elsewhere_where_the_checkout_is_closed_and_opens_nothing(make_server, folder):
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    server = make_server("closed/.interlock")
    port = server.acquire()
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert not server.home.is_relative_to(closed)
    assert server.process.uids().real != 0
    home = server.home
    server.release()
    assert make_server("closed/.interlock").acquire() == port
    server.erase()
    assert not home.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody else")
@pytest.mark.optional_in_ci
def test_root_copies_the_programs_where_the_environment_is_closed(make_server, folder, monkeypatch):
    hidden = folder / "hidden"
    hidden.mkdir(mode=0o700)
    package = embedded.programs().parents[1]
    programs = hidden / package.name / "pginstall18" / "bin"
    shutil.copytree(embedded.programs().parent, programs.parent)
    shutil.copytree(package.with_name(f"{package.name}.libs"), hidden / f"{package.name}.libs")
    monkeypatch.setattr(embedded, "programs", lambda: programs)
    server = make_server()
    assert answer(server.acquire()) == 1
    assert Path(server.process.exe()).is_relative_to(server.home)
    assert not unprivileged.runner(None).can_run(programs / "postgres")
