"""What asking over HTTP costs: one question, many at once, and how soon a change is heard of.

The server is `interlock serve` in a process of its own, and so is who asks it many things at once: neither is to wait
for the other's interpreter. Beside it stands the same question in SQL, which is what `interlock check` asks.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from itertools import islice
from typing import IO, Any

from psycopg.types.json import Jsonb
from tests.benchmarks.figures import Figure, middle, p95, timed
from tests.benchmarks.platform import interlock, scratch
from tests.benchmarks.serving import DATASET, FIRST, Publisher

from interlock.db.connection import Role, connect

PARTITIONS, ASKED, CHANGES = 100, 500, 30
DATASETS, DAYS, MATRICES = 100, 1_000, 30
AT_ONCE, LOAD_SECONDS = 32, 5.0


def figures() -> Iterator[Figure]:
    """A safety answer beside SQL's, answers a second on one worker, a change until it is heard of, and the matrix."""
    with scratch(), Publisher() as publisher:
        days = [FIRST + timedelta(days=number) for number in range(PARTITIONS)]
        for day in days:
            publisher.publish(day, 100)
        token = interlock("token", "create", "--for", "bench", "--scope", "read", "--domain", "*").strip()
        with _served() as port:
            yield from _one_by_one(port, token, [str(days[number % PARTITIONS]) for number in range(ASKED)])
            answered = _asked(port, token, [f"/v1/safety/{DATASET}/{day}" for day in days])
            yield Figure(
                what=f"safety answers over HTTP, {AT_ONCE} at once, one worker",
                ours=answered["per_second"],
                unit="a second",
                target="at least 1,000",
            )
            yield Figure(
                what=f"the same, how long one takes (p95), {AT_ONCE} at once",
                ours=answered["p95"],
                unit="ms",
                target="(for comparison)",
            )
            took = _heard(port, token, publisher, days[:CHANGES])
            yield Figure(what="a change, until a client of the feed has it (p95)", ours=p95(took), target="under 1 s")
            _fill_matrix()
            answered = _asked(port, token, [f"/v1/matrix?days={DAYS}"] * MATRICES, at_once=1)
            yield Figure(
                what=f"the matrix of {DATASETS} datasets x {DAYS:,} partitions over HTTP (p95)",
                ours=answered["p95"],
                unit="ms",
                target="under 300 ms",
            )


def _one_by_one(port: int, token: str, days: list[str]) -> Iterator[Figure]:
    answered = _asked(port, token, [f"/v1/safety/{DATASET}/{day}" for day in days], at_once=1)
    with connect(Role.CONSUMER, autocommit=True) as consumer:
        by_sql = timed(lambda day: consumer.execute("select interlock.ask(%s, %s)", [DATASET, day]).fetchone(), days)
    yield Figure(what="a safety answer over HTTP (p95)", ours=answered["p95"], unit="ms", target="under 5 ms")
    yield Figure(
        what="a safety answer over HTTP, beside the SQL of `interlock check`",
        ours=answered["middle"],
        reference=middle(by_sql) * 1000,
        unit="ms",
        target="(for comparison)",
    )


def _heard(port: int, token: str, publisher: Publisher, days: list[date]) -> list[float]:
    """Publish; the seconds from when the database wrote each event, just before its commit, until the client has it."""
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/v1/changes", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(asked, timeout=60) as stream, ThreadPoolExecutor(1) as beside:  # noqa: S310  (ours)
        stream.readline()
        heard = beside.submit(lambda: list(islice(_ages(stream), len(days))))
        for day in days:
            publisher.publish(day, 100)
        return heard.result(60)


def _ages(stream: IO[bytes]) -> Iterator[float]:
    for line in stream:
        if line.startswith(b"data:"):
            yield time.time() - datetime.fromisoformat(json.loads(line[5:])["time"]).timestamp()


def _fill_matrix() -> None:
    """Datasets with so many partitions each, all safe, as published; without their tables, which no answer looks at."""
    with connect(Role.OPERATOR, autocommit=True) as operator:
        for number in range(DATASETS - 1):
            definition = {
                "name": f"matrix_{number}", "domain": "matrix", "layer": "curated", "grain": "day",
                "partition_column": "day", "columns": [{"name": "day", "type": "date"}], "lease": "7 days",
                "on_gate_failure": "withhold", "owner": "bench", "contract_version": "1.0.0",
                "content_digest": "x", "clause_digest": "x", "clauses": ["one"],
            }  # fmt: skip
            operator.execute("select interlock.register_dataset(%s, 'bench')", [Jsonb(definition)])
    with connect(Role.ADMIN) as admin:
        admin.execute("set local session_replication_role = replica")
        admin.execute("update interlock.dataset set lease_until = now() + interval '7 days'")
        admin.execute(
            "insert into interlock.version (dataset_id, run_id, contract_version, clause_digest, rows, sealed_at)"
            " select dataset_id, 1, '1.0.0', 'x', 100, now() from interlock.dataset where domain = 'matrix'"
        )
        admin.execute(
            "insert into interlock.verdict (version, dataset_id, partition, outcome, contract_version, clause_digest,"
            " is_bootstrapped, warnings, evidence, run_id)"
            " select v.version, dataset_id, (%s::date + n)::text, 'passed',"
            " '1.0.0', 'x', false, 0, '[]', 1 from interlock.version v join interlock.dataset d using (dataset_id),"
            " generate_series(0, %s - 1) n where d.domain = 'matrix'",
            [FIRST, DAYS],
        )
        admin.execute(
            "insert into interlock.partition (dataset_id, partition, starts_on, version, verdict_id, published_at)"
            " select dataset_id, partition, partition::date, version, verdict_id, now()"
            " from interlock.verdict join interlock.dataset d using (dataset_id) where d.domain = 'matrix'"
        )
        admin.execute("analyze interlock.verdict, interlock.partition, interlock.version, interlock.dataset")


@contextmanager
def _served() -> Iterator[int]:
    """`interlock serve` on a free port."""
    command = [sys.executable, "-m", "interlock", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            yield int(server.stdout.readline().rsplit(":", 1)[1])
        finally:
            server.terminate()


def _asked(port: int, token: str, paths: list[str], at_once: int = AT_ONCE) -> dict[str, float]:
    """Ask in a process of its own, one at a time each path once, else for some seconds; what it took, in ms."""
    command = [sys.executable, "-m", "tests.benchmarks.asking", str(port), str(at_once)]
    given = json.dumps({"token": token, "paths": paths})
    told: dict[str, float] = json.loads(
        subprocess.run(command, input=given, check=True, stdout=subprocess.PIPE, text=True).stdout
    )
    return told


async def _asking(port: int, token: str, paths: list[str], at_once: int) -> dict[str, float]:
    """Connections that each ask on when they have their answer: plain sockets, as a client costs more than we do."""
    took: list[float] = []
    began = time.perf_counter()

    async def connection(first: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        number = first
        while (number < len(paths)) if at_once == 1 else (time.perf_counter() - began < LOAD_SECONDS):
            path = paths[number % len(paths)]
            number += at_once
            start = time.perf_counter()
            writer.write(f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            took.append(time.perf_counter() - start)
        writer.close()

    await asyncio.gather(*(connection(number) for number in range(at_once)))
    lasted = time.perf_counter() - began
    warm = took[len(took) // 10 :]
    return {"per_second": len(took) / lasted, "p95": p95(warm) * 1000, "middle": middle(warm) * 1000}


def _main() -> None:
    given: dict[str, Any] = json.load(sys.stdin)
    port, at_once = map(int, sys.argv[1:])
    print(json.dumps(asyncio.run(_asking(port, given["token"], given["paths"], at_once))))


if __name__ == "__main__":
    _main()
