"""A real Prometheus scrapes the numbers, knows the rules, and alerts once for one bad delivery."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from tests.integration.api.test_telemetry import make_bad

from interlock.control.questions import Right

ALERTS = Path(__file__).parents[3] / "include" / "alerts"
PATIENCE_SECONDS = 60

pytestmark = pytest.mark.system


@pytest.fixture
def prometheus(served: Any, token: Any, tmp_path: Path) -> Iterator[httpx.Client]:
    """Prometheus over the test's own server, every second."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("no prometheus on the PATH (Debian's package `prometheus`)")
    (tmp_path / "token").write_text(token("prometheus", [Right.READ]))
    scrape = {
        "job_name": "interlock",
        "authorization": {"credentials_file": str(tmp_path / "token")},
        "static_configs": [{"targets": [served.url.removeprefix("http://")]}],
    }
    configuration = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(ALERTS / "interlock.yaml")],
        "scrape_configs": [scrape],
    }
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address={address}"],
            cwd=tmp_path, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            with httpx.Client(base_url=f"http://{address}/api/v1", trust_env=False) as client:
                until(lambda: is_up(client))
                yield client
        finally:
            process.terminate()
            process.wait(20)


def test_a_bad_delivery_fires_one_alert_and_a_correction_ends_it(filled, prometheus):
    groups = prometheus.get("/rules").json()["data"]["groups"]
    assert {rule["health"] for group in groups for rule in group["rules"]} <= {"ok", "unknown"}
    make_bad(filled)
    until(lambda: alerts(prometheus) != [])
    assert alerts(prometheus) == [("InterlockDatasetUnsafeLowerCriticality", "orders")]
    run = filled.admit("shop", "2013-01-06")
    filled.deliver(run, "orders", "2013-01-06")
    filled.finish(run)
    until(lambda: alerts(prometheus) == [])


def is_up(client: httpx.Client) -> bool:
    """Whether it runs and has read the numbers."""
    try:
        answer = client.get("/query", params={"query": 'up{job="interlock"} == 1'})
    except httpx.TransportError:
        return False
    return answer.status_code == 200 and answer.json()["data"]["result"] != []


def alerts(client: httpx.Client) -> list[tuple[str, str]]:
    """What fires, of what somebody is to do something about."""
    found = client.get("/alerts").json()["data"]["alerts"]
    return [
        (alert["labels"]["alertname"], alert["labels"].get("dataset", ""))
        for alert in found
        if alert["state"] == "firing" and alert["labels"]["severity"] != "log"
    ]


def until(holds: Callable[[], bool]) -> None:
    """Ask again until it holds; the other side is a program with a rhythm of its own."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.2)
