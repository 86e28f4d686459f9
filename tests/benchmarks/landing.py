"""Landing to raw beside a bare COPY into the same table, and the loader's peak memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from psycopg import sql
from tests.benchmarks.bare import CHUNK
from tests.benchmarks.figures import Figure, middle, seconds
from tests.benchmarks.platform import deliver, scratch

from interlock.contracts.loading import load_contracts
from interlock.db.connection import Role, connect
from interlock.pipeline import registry
from interlock.pipeline.admission import admitted
from interlock.pipeline.runs import Run

DAY = "2013-01-01"
ROUNDS = 5
COPIES = 10

LOADER = """
import re, sys
from pathlib import Path
from interlock.contracts.loading import load_contracts
from interlock.db.connection import Role, connect
from interlock.ingestion import loads
run_id, token = int(sys.argv[1]), int(sys.argv[2])
with connect(Role.LOADER, autocommit=True) as connection:
    [result] = loads.load_partition(connection, run_id, token, load_contracts()["flights"], "2013-01-01")
assert result.outcome == "loaded", result
# Not getrusage: its peak is inherited from the process that started this one.
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024)
"""


def figures() -> Iterator[Figure]:
    """Rows a second as times for the same rows, and memory."""
    with scratch() as folder:
        deliver(date(2013, 1, 1), date(2013, 12, 31))
        feed = folder / "landing" / "flights"
        whole = _one_file(feed, folder / "year.csv", copies=1)
        for file in feed.iterdir():
            file.unlink()
        contract = load_contracts()["flights"]
        registry.register(load_contracts(), "benchmark")
        ours, reference = [], []
        for number in range(ROUNDS):
            (feed / f"flights_{DAY}.csv").write_bytes(whole.read_bytes())
            _vary(feed / f"flights_{DAY}.csv", number)
            with admitted(_run(f"bench {number}"), is_one_process=True) as session:
                from interlock.ingestion import loads

                connection = session.connection(Role.LOADER)
                reference.append(seconds(lambda: _bare_copy(session, whole)))
                ours.append(
                    seconds(lambda: loads.load_partition(connection, session.run.run_id, session.token, contract, DAY))  # noqa: B023
                )
                session.finish("succeeded")
        yield Figure(
            what="landing to raw, 336,776 rows, beside COPY into the same table",
            ours=middle(ours),
            reference=middle(reference),
            target="at most 1.43 x (0.7 of the rows/s)",
        )
        big = _one_file(folder / "nothing", folder / "big.csv", copies=COPIES, source=whole)
        for file in feed.iterdir():
            file.unlink()
        big.rename(feed / f"flights_{DAY}.csv")
        with admitted(_run("bench memory"), is_one_process=True) as session:
            said = subprocess.run(
                [sys.executable, "-c", LOADER, str(session.run.run_id), str(session.token)],
                check=True,
                capture_output=True,
                text=True,
            )
            session.finish("succeeded")
        yield Figure(
            what=f"peak memory of the loader, {COPIES * 336_776:,} rows",
            ours=float(said.stdout),
            unit="MB",
            target="under 200 MB",
        )


def _run(key: str) -> Run:
    return Run(run_key=key, domain="flight_operations", partitions=(DAY,), trigger="benchmark", actor="benchmark")


def _one_file(feed: Path, whole: Path, *, copies: int, source: Path | None = None) -> Path:
    """One file of all a feed's files, or of one file several times over."""
    parts = [source] * copies if source else sorted(feed.glob("*.csv"))
    with whole.open("wb") as stream:
        for number, part in enumerate(parts):
            header, _, rows = part.read_bytes().partition(b"\n")
            stream.write((header + b"\n" if number == 0 else b"") + rows)
    return whole


def _vary(file: Path, number: int) -> None:
    """Other content in each round, or it would be recognised as delivered already."""
    content = file.read_bytes()
    file.write_bytes(content + content.splitlines(keepends=True)[1 + number])


def _bare_copy(session: object, file: Path) -> None:
    """COPY into the raw table itself, inside a load that is opened by hand and rolled back."""
    from interlock.pipeline.runs import Session

    assert isinstance(session, Session)
    with connect(Role.LOADER) as connection, file.open("rb") as stream:
        connection.execute("create temporary sequence interlock_row_number")
        connection.execute(
            "select interlock.begin_load(%s, %s, 'flights', %s, null, 'bare', 'bare')",
            [session.run.run_id, session.token, DAY],
        )
        header = stream.readline().decode().strip().split(",")
        command = sql.SQL("copy raw_flight_operations.flights ({}) from stdin (format csv)").format(
            sql.SQL(", ").join(map(sql.Identifier, header))
        )
        with connection.cursor().copy(command) as copy:
            while chunk := stream.read(CHUNK):
                copy.write(chunk)
        connection.rollback()
