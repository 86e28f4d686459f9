"""What asking, reading and publishing cost, at several sizes, with readers running and one idle in a transaction."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import date, timedelta

from psycopg.errors import SerializationFailure
from psycopg.types.json import Jsonb
from tests.benchmarks.figures import Figure, middle, p95, seconds, timed
from tests.benchmarks.platform import scratch

from interlock.db.connection import Role, connect
from interlock.publishing import publications

ASKED, PUBLISHED = 300, 40
FIRST = date(2013, 1, 1)
DATASET = "bench_facts"
# A fact table's usual width: what is read of a row costs little beside what is not.
MORE = {f"note_{n}": "text" for n in range(12)} | {f"count_{n}": "integer" for n in range(10)}
COLUMNS = {"id": "integer", "day": "date", "amount": "integer"} | MORE
VALUES = {"text": "'value ' || n %% 37", "integer": "n %% 100"}
AGGREGATES = {
    "sums": "select count(*), sum(amount), max(id) from {}",
    "sums by day": "select day, sum(amount), avg(count_1) from {} group by day",
    "sums by word": "select note_1, sum(amount), avg(count_1) from {} group by note_1",
    "sums of a month": "select sum(amount), avg(count_1) from {} where day between '2013-02-01' and '2013-02-28'",
}


def figures() -> Iterator[Figure]:
    """Publish at 365 and 1,000 partitions and at 1,000 and 1,000,000 rows; is_safe; safe.* beside the bare table."""
    for partitions, rows in ((365, 1_000), (1_000, 1_000)):
        with scratch(), Publisher() as publisher:
            for number in range(partitions):
                publisher.publish(FIRST + timedelta(days=number), rows)
            with publisher.readers():
                times = [publisher.publish(FIRST + timedelta(days=number), rows) for number in range(PUBLISHED)]
            yield Figure(
                what=f"publish (p95), {partitions:,} partitions of {rows:,} rows, readers running",
                ours=p95(times) * 1000,
                unit="ms",
                target="under 100 ms",
            )
            if partitions == 365:
                yield from _reading(partitions)
    with scratch(), Publisher() as publisher:
        publisher.publish(FIRST, 1_000)
        with publisher.readers():
            times = [publisher.publish(FIRST + timedelta(days=number), 1_000_000) for number in range(3)]
        yield Figure(
            what="publish (slowest of 3), 1,000,000 rows, readers running",
            ours=max(times) * 1000,
            unit="ms",
            target="under 100 ms",
        )


def _reading(partitions: int) -> Iterator[Figure]:
    with connect(Role.CONSUMER, autocommit=True) as consumer, connect(Role.ADMIN, autocommit=True) as admin:
        days = [str(FIRST + timedelta(days=number % partitions)) for number in range(ASKED)]
        asked = timed(lambda day: consumer.execute("select interlock.is_safe(%s, %s)", [DATASET, day]).fetchone(), days)
        yield Figure(what="interlock.is_safe (p95)", ours=p95(asked) * 1000, unit="ms", target="under 1 ms")
        # Bare: the same tables, read past the policy. Plain: the same rows in one table that was never partitioned.
        admin.execute(f"create table public.plain as select * from safe.{DATASET}".encode())
        admin.execute("create index on public.plain (day)")
        for table in ("public.plain", f"curated.{DATASET}"):
            admin.execute(f"vacuum analyze {table}".encode())
        for name, query in AGGREGATES.items():
            safe, bare, plain = (
                middle([seconds(lambda: by.execute(query.format(table).encode()).fetchall()) for _ in range(15)])  # noqa: B023
                for by, table in (
                    (consumer, f"safe.{DATASET}"),
                    (admin, f"curated.{DATASET}"),
                    (admin, "public.plain"),
                )
            )
            yield Figure(
                what=f"{name} over safe.*, beside the bare table",
                ours=safe * 1000,
                reference=bare * 1000,
                unit="ms",
                target="at most 1.6 x",
            )
            yield Figure(
                what=f"{name} over safe.*, beside one plain table",
                ours=safe * 1000,
                reference=plain * 1000,
                unit="ms",
                target="(for comparison)",
            )
        one = "select count(*), sum(amount) from {} where day = %s"
        ours = middle(
            timed(lambda day: consumer.execute(one.format(f"safe.{DATASET}").encode(), [day]).fetchone(), days)
        )
        bare = middle(timed(lambda day: admin.execute(one.format("public.plain").encode(), [day]).fetchone(), days))
        yield Figure(
            what="one partition of safe.*, more than of one plain table",
            ours=(ours - bare) * 1000,
            unit="ms",
            target="at most 1 ms",
        )


class Publisher:
    """Publishes partitions of one small dataset through the database's own functions, on one clause's evidence."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> Publisher:
        self._by = {
            role: self._stack.enter_context(connect(role, autocommit=True))
            for role in (Role.OPERATOR, Role.BUILDER, Role.GATE, Role.PUBLISHER)
        }
        definition = {
            "name": DATASET, "domain": "bench", "layer": "curated", "grain": "day", "partition_column": "day",
            "columns": [{"name": name, "type": type_} for name, type_ in COLUMNS.items()],
            "on_gate_failure": "withhold", "lease": "7 days", "owner": "bench", "contract_version": "1.0.0",
            "content_digest": "x", "clause_digest": "x", "clauses": ["one"],
        }  # fmt: skip
        self._by[Role.OPERATOR].execute("select interlock.register_dataset(%s, 'bench')", [Jsonb(definition)])
        return self

    def __exit__(self, *raised: object) -> None:
        self._stack.close()

    def publish(self, day: date, rows: int) -> float:
        """Build, seal, judge and publish one day; the seconds that the publish itself took."""
        part = str(day)
        admitted = (
            self._by[Role.OPERATOR]
            .execute(
                "select run_id, token from interlock.admit_run(%s, 'bench', %s, 'bench', 'bench', '10 minutes')",
                [f"bench {part}", [part]],
            )
            .fetchone()
        )
        assert admitted
        run_id, token = admitted
        builder = self._by[Role.BUILDER]
        builder.execute("select interlock.open_workspace(%s, %s)", [run_id, token])
        shape = ", ".join(f"{name} {type_}" for name, type_ in COLUMNS.items())
        values = ", ".join(VALUES[type_] for type_ in MORE.values())
        builder.execute(f"create table run_{run_id}.{DATASET} ({shape})".encode())
        builder.execute(
            f"insert into run_{run_id}.{DATASET} select n, %s::date, n %% 100, {values}"
            " from generate_series(1, %s) n".encode(),
            [part, rows],
        )
        sealed = builder.execute(
            "select interlock.seal(%s, %s, %s, %s, 'x')", [run_id, token, DATASET, [part]]
        ).fetchone()
        assert sealed
        evidence = [{"partition": part, "evidence": [{"clause": "one", "success": True}]}]
        self._by[Role.GATE].execute(
            "select * from interlock.record_verdicts(%s, %s, %s, %s)", [run_id, token, sealed[0], Jsonb(evidence)]
        )
        took = seconds(lambda: self._serve(run_id, token, part, sealed[0]))
        builder.execute("select interlock.close_workspace(%s)", [run_id])
        self._by[Role.OPERATOR].execute("select interlock.finish_run(%s, 'succeeded')", [run_id])
        return took

    def _serve(self, run_id: int, token: int, part: str, version: int) -> None:
        publisher = self._by[Role.PUBLISHER]
        publications.attach(publisher, run_id, token, [version])
        publications.publish(publisher, run_id, token, part, [version])

    @contextmanager
    def readers(self) -> Iterator[None]:
        """Two readers in a loop, and one idle in a transaction that has read everything."""
        done = threading.Event()

        def read() -> None:
            with connect(Role.CONSUMER, autocommit=True) as connection:
                while not done.wait(0.02):
                    with suppress(SerializationFailure):  # planned before the attach, run after the publish
                        connection.execute(
                            f"select sum(amount) from safe.{DATASET} where day < '2013-02-01'".encode()
                        ).fetchone()

        threads = [threading.Thread(target=read) for _ in range(2)]
        with connect(Role.CONSUMER) as idle:
            idle.execute(f"select count(*) from safe.{DATASET}".encode()).fetchone()
            for thread in threads:
                thread.start()
            try:
                yield
            finally:
                done.set()
                for thread in threads:
                    thread.join()
