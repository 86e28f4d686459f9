"""What a policy decision costs: in-process, and against an OPA server on this machine where there is an `opa`."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.benchmarks.figures import Figure, middle, p95, seconds
from tests.benchmarks.platform import ROOT

from interlock.control.bundles import Bundle, archive, load_bundle
from interlock.control.cases import load_cases
from interlock.control.opa import OpaEngine
from interlock.control.policy import Policy
from interlock.control.rego import RegoEngine

ROUNDS = 10
POLICIES = ROOT / "include" / "policies"


def figures() -> Iterator[Figure]:
    """Every case of the shipped policy, some times over."""
    bundle = load_bundle(POLICIES)
    with Policy(bundle, RegoEngine(bundle)) as policy:
        first = seconds(lambda: policy.answer({}))
        in_process = _decisions(policy)
    yield Figure(what="the first decision of a process, in-process", ours=first * 1000, unit="ms", target="under 2 s")
    yield Figure(what="a decision in-process (p95)", ours=p95(in_process) * 1000, unit="ms", target="under 25 ms")
    if shutil.which("opa") is None:
        return
    with _opa(bundle) as url, Policy(bundle, OpaEngine(bundle, url)) as policy:
        policy.answer({})
        by_server = _decisions(policy)
    yield Figure(what="a decision of OPA (p95)", ours=p95(by_server) * 1000, unit="ms", target="under 10 ms")
    yield Figure(
        what="a decision in-process, beside one of OPA",
        ours=middle(in_process) * 1000,
        reference=middle(by_server) * 1000,
        unit="ms",
        target="(for comparison)",
    )


def _decisions(policy: Policy) -> list[float]:
    """Seconds of each decision."""
    documents = [case.document for case in load_cases(POLICIES)] * ROUNDS
    return [seconds(lambda: policy.answer(document)) for document in documents]  # noqa: B023


@contextmanager
def _opa(bundle: Bundle) -> Iterator[str]:
    """An OPA server with the bundle, for as long as it is needed."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder) / "bundle.tar.gz"
        packed.write_bytes(archive(bundle))
        server = subprocess.Popen(
            ["opa", "run", "--server", "--addr", address, "--disable-telemetry", "--bundle", str(packed)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            _wait_for(f"http://{address}/health?bundles")
            yield f"http://{address}"
        finally:
            server.kill()
            server.wait()


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with suppress(OSError), urllib.request.urlopen(url, timeout=1):  # noqa: S310
            return
        time.sleep(0.05)
    raise TimeoutError(url)
