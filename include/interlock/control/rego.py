"""Rego in a child process: warm, one question at a time, killed at its deadline and replaced.

The child is started once and answers in milliseconds. What it may not do is hold a decision up, or decide by mistake:
past the deadline, after a crash, or with an answer that is not the one asked for, it is killed, the question is
refused, and the next question gets a new child. After a fork (Airflow forks its tasks) the copy leaves the child to its
parent and starts its own: two processes on one pipe would read each other's decisions.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from typing import IO, Any, cast

from interlock.control.bundles import ENTRYPOINT, Bundle, BundleInvalid, PolicyProblem
from interlock.control.decisions import Engine, PolicyUnavailable
from interlock.control.questions import NOT_PLAIN

START_SECONDS = 20.0
LARGEST_ANSWER = 1 << 20
# Nothing of ours is the policy's business, secrets least of all.
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR")


class RegoEngine:
    """Evaluates one bundle in a child of this process."""

    name = Engine.REGO

    def __init__(self, bundle: Bundle, *, seconds: float = 2.0, memory_mb: int = 512) -> None:
        self._bundle = bundle
        self._seconds = seconds
        self._memory = memory_mb << 20
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._asked = 0

    def start(self) -> None:
        """Start the child and let it compile. Raises BundleInvalid, or PolicyUnavailable."""
        with self._turn(START_SECONDS):
            self._started()

    def evaluate(self, document: dict[str, Any]) -> Any:
        """What the policy says to an input document, as JSON. Raises PolicyUnavailable; BundleInvalid at the start."""
        _refuse_forgery(document)
        deadline = time.monotonic() + self._seconds
        with self._turn(self._seconds):
            if self._child is None or not self._child.is_alive:
                self._started()
                deadline = time.monotonic() + self._seconds  # a new child's start has a limit of its own
            child = self._started()
            self._asked += 1
            try:
                reply = child.ask({"id": self._asked, "input": document, "seconds": self._seconds}, deadline)
                if reply.get("id") != self._asked:
                    raise PolicyUnavailable("The policy engine answered another question.")
            except PolicyUnavailable:
                self._drop()
                raise
        return _value(reply)

    def close(self) -> None:
        """End the child. The next question would start another."""
        if os.getpid() == self._owner:
            self._drop()

    @contextlib.contextmanager
    def _turn(self, seconds: float) -> Iterator[None]:
        """One question at a time; in a fork nothing of the parent's is used."""
        if os.getpid() != self._owner:
            if self._child is not None:
                self._child.abandon()
            # The lock too: another thread of the parent's may have held it when this process was forked.
            self._owner, self._lock, self._child = os.getpid(), threading.Lock(), None
        if not self._lock.acquire(timeout=seconds):
            raise PolicyUnavailable(f"The policy engine was busy with other questions for {seconds:g} s.")
        try:
            yield
        finally:
            self._lock.release()

    def _started(self) -> _Child:
        if self._child is not None and self._child.is_alive:
            return self._child
        self._drop()
        child = _Child(self._bundle.modules, self._bundle.data, self._memory)
        try:
            reply = child.compile(time.monotonic() + START_SECONDS)
        except PolicyUnavailable:
            child.kill()
            raise
        if not reply.get("ready"):
            child.kill()
            if problems := reply.get("problems"):
                raise BundleInvalid(tuple(PolicyProblem(**problem) for problem in problems))
            raise PolicyUnavailable(f"The policy engine does not start: {reply.get('error', 'it says nothing')}")
        self._child = child
        return child

    def _drop(self) -> None:
        if self._child is not None:
            self._child.kill()
        self._child = None


class _Child:
    """The process, its pipes, and one line at a time in each direction."""

    def __init__(self, modules: dict[str, str], data: dict[str, Any], memory: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-m", "interlock.control.rego_child"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0,
            env={name: os.environ[name] for name in PASSED_ON if name in os.environ},
        )  # fmt: skip
        self._in, self._out = (cast("IO[bytes]", pipe).fileno() for pipe in (self._process.stdin, self._process.stdout))
        os.set_blocking(self._in, False)
        # Killed at the latest when nobody holds it any more, and at this process's end; not at the end of a fork of it.
        self._end = weakref.finalize(self, _end, self._process, os.getpid())
        self._bundle = {"modules": modules, "data": data, "entrypoint": ENTRYPOINT, "memory": memory}

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, request: dict[str, Any], deadline: float) -> dict[str, Any]:
        """Send one line and read one."""
        self._send(json.dumps(request).encode() + b"\n", deadline)
        return self._read(deadline)

    def compile(self, deadline: float) -> dict[str, Any]:
        """Hand over the bundle and read what the child makes of it; once, before anything is asked."""
        return self.ask(self._bundle, deadline)

    def kill(self) -> None:
        """End it now."""
        self._end()

    def abandon(self) -> None:
        """Let go of it without ending it: it is the child of the process that this one was forked from."""
        self._end.detach()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.returncode = 0  # or its destructor would wait for a process that is not ours

    def _send(self, line: bytes, deadline: float) -> None:
        while line:
            self._wait(self._in, select.POLLOUT, deadline)
            try:
                line = line[os.write(self._in, line) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._crashed() from error

    def _read(self, deadline: float) -> dict[str, Any]:
        read = bytearray()
        while not read.endswith(b"\n"):
            self._wait(self._out, select.POLLIN, deadline)
            part = os.read(self._out, 1 << 16)
            if not part:
                raise self._crashed()
            read += part
            if len(read) > LARGEST_ANSWER:
                raise PolicyUnavailable("The policy engine's answer does not end.")
        try:
            reply = json.loads(read)
        except ValueError as error:
            raise PolicyUnavailable("The policy engine answered no JSON.") from error
        return reply if isinstance(reply, dict) else {}

    def _wait(self, pipe: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(pipe, event)
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise PolicyUnavailable("The policy engine did not answer in time and was killed.")

    def _crashed(self) -> PolicyUnavailable:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        return PolicyUnavailable(f"The policy engine crashed (exit code {self._process.returncode}).")


def _end(process: subprocess.Popen[bytes], owner: int) -> None:
    if os.getpid() != owner:
        return
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def _refuse_forgery(value: Any) -> None:
    """The engine prints strings of its input without escaping them, so such strings never get to it."""
    if isinstance(value, str):
        if NOT_PLAIN.search(value):
            raise PolicyUnavailable("A string of the question has quotes, backslashes or control characters in it.")
    elif isinstance(value, dict):
        for key, held in value.items():
            _refuse_forgery(key)
            _refuse_forgery(held)
    elif isinstance(value, list | tuple):
        for held in value:
            _refuse_forgery(held)


def _value(reply: dict[str, Any]) -> Any:
    """The one value that the engine printed."""
    if "error" in reply:
        raise PolicyUnavailable(f"The policy could not be evaluated: {reply['error']}")
    text = reply.get("text")
    if text == "undefined":
        raise PolicyUnavailable("The policy is undefined for this question.")
    try:
        (value,) = json.loads(str(text), object_pairs_hook=_unique)["expressions"]
    except (ValueError, KeyError, TypeError) as error:
        raise PolicyUnavailable("The policy engine's answer is not one value.") from error
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A mapping without a key twice: an answer that says two things says none."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key repeats")
    return found
