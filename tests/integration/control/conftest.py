"""The shipped bundle, and an OPA server that decides by it, where there is an `opa` to start."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from interlock.control.bundles import Bundle, archive, load_bundle

POLICIES = Path(__file__).parents[3] / "include" / "policies"


@dataclass(frozen=True)
class OpaServer:
    """An OPA server of this test's own."""

    url: str
    process: subprocess.Popen[bytes]


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    """The bundle that ships."""
    return load_bundle(POLICIES)


@pytest.fixture(scope="session")
def opa() -> str:
    """The `opa` program: on the PATH, or where Go puts what it installs."""
    folders = [os.environ.get("GOBIN"), f"{os.environ.get('GOPATH', Path.home() / 'go')}/bin"]
    found = shutil.which("opa") or shutil.which("opa", path=os.pathsep.join(filter(None, folders)))
    if found is None:
        pytest.skip("no opa on the PATH or in Go's folder (`go install github.com/open-policy-agent/opa@v1.22.2`)")
    return found


@pytest.fixture(scope="session")
def serve_opa(opa: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Bundle], OpaServer]]:
    """Start OPA servers, each with a bundle as `interlock policy bundle` writes it."""
    with ExitStack() as stack:

        def start(bundle: Bundle) -> OpaServer:
            packed = tmp_path_factory.mktemp("opa") / "bundle.tar.gz"
            packed.write_bytes(archive(bundle))
            with socket.create_server(("127.0.0.1", 0)) as probe:
                address = f"127.0.0.1:{probe.getsockname()[1]}"
            process = subprocess.Popen(
                [opa, "run", "--server", "--addr", address, "--disable-telemetry", "--bundle", str(packed)],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            stack.callback(process.wait)
            stack.callback(process.kill)
            server = OpaServer(f"http://{address}", process)
            _until_ready(server)
            return server

        yield start


@pytest.fixture(scope="session")
def opa_server(serve_opa: Callable[[Bundle], OpaServer], bundle: Bundle) -> OpaServer:
    """A server with the bundle that ships."""
    return serve_opa(bundle)


def _until_ready(server: OpaServer) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{server.url}/health?bundles", timeout=1):  # noqa: S310
                return
        except OSError:
            if server.process.poll() is not None:
                break
            time.sleep(0.05)
    pytest.fail("opa did not start")
