"""Background programs are known by more than a number, and a stop reaches all of one and nothing else."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from interlock import processes
from interlock.processes import Identity


def start(tmp_path: Path, script: str) -> Identity:
    return processes.start_detached(
        [sys.executable, "-c", script], log=tmp_path / "log", cwd=tmp_path, environment={"PATH": "/usr/bin:/bin"}
    )


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if path.exists() and (text := path.read_text()):
            return text
        time.sleep(0.02)
    raise AssertionError(f"{path} was not written")


def test_it_survives_its_starter_has_a_session_of_its_own_and_holds_no_pipe(tmp_path):
    identity = start(tmp_path, "import time; print('here', flush=True); time.sleep(60)")
    try:
        assert processes.is_alive(identity)
        assert os.getsid(identity.pid) == identity.session != os.getsid(0)
        assert psutil.Process(identity.pid).ppid() != os.getpid()
        assert wait_for(tmp_path / "log") == "here\n"
    finally:
        processes.stop([identity])
    assert not processes.is_alive(identity)


def test_a_stop_ends_the_children_and_what_ignores_the_polite_way(tmp_path):
    child = tmp_path / "child"
    identity = start(
        tmp_path,
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(child)!r}, 'w').write(str(child.pid))\n"
        "time.sleep(60)",
    )
    pid = int(wait_for(child))
    processes.stop([identity], grace_seconds=0.3)
    assert not processes.is_alive(identity)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("earlier", [60, 0])
def test_a_stranger_with_the_same_id_is_left_alone(earlier):
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        started = psutil.Process(stranger.pid).create_time()
        ours = Identity(stranger.pid, started - earlier if earlier else 0.0, session=stranger.pid)
        assert not processes.is_alive(ours)
        processes.stop([ours], grace_seconds=0.1)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_an_identity_is_written_down_and_read_back_and_rubbish_is_nobody(tmp_path):
    path = tmp_path / "identity.json"
    assert Identity.load(path) is None
    identity = Identity(1, 2.5, 3)
    identity.save(path)
    assert Identity.load(path) == identity
    path.write_text("{}")
    assert Identity.load(path) is None
    path.write_text("not json")
    assert Identity.load(path) is None
    assert dataclasses.replace(identity, pid=2) != identity
