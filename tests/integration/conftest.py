"""A small platform driven by hand: two domains, every mapping of the lineage, no dbt and no gate in the way.

    orders (raw) -> stg_orders -> fct_orders -> agg_orders -> total_orders (all days, reopens)
    sizes (raw, increments) -> stg_sizes -> dim_sizes -> fct_orders (does not reopen), price_list (reopens)
    readings (raw) -> stg_readings ->(window of 2 days)-> fct_conditions <- fct_orders        [weather]

`Platform` does what the rooms above the database do, with the same calls and the same roles.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from psycopg.types.json import Jsonb
from tests.conftest import prepared

from interlock.db.connection import Role

if TYPE_CHECKING:
    from interlock.db.connection import Connection

RAW_COLUMNS = [{"name": "id", "type": "text"}, {"name": "day", "type": "text"}, {"name": "amount", "type": "text"}]
COLUMNS = [{"name": "id", "type": "integer"}, {"name": "day", "type": "date"}, {"name": "amount", "type": "integer"}]

# name: (domain, layer, grain)
DATASETS = {
    "orders": ("shop", "raw", "day"),
    "sizes": ("shop", "raw", "all"),
    "stg_orders": ("shop", "staged", "day"),
    "stg_sizes": ("shop", "staged", "all"),
    "dim_sizes": ("shop", "curated", "all"),
    "fct_orders": ("shop", "curated", "day"),
    "agg_orders": ("shop", "curated", "day"),
    "total_orders": ("shop", "curated", "all"),
    "price_list": ("shop", "curated", "day"),
    "readings": ("weather", "raw", "day"),
    "stg_readings": ("weather", "staged", "day"),
    "fct_conditions": ("weather", "curated", "day"),
}

# upstream, downstream, mapping, lookback, reopens
EDGES = [
    ("orders", "stg_orders", "same", 0, True),
    ("sizes", "stg_sizes", "same", 0, True),
    ("stg_sizes", "dim_sizes", "same", 0, True),
    ("stg_orders", "fct_orders", "same", 0, True),
    ("dim_sizes", "fct_orders", "all", 0, False),
    ("fct_orders", "agg_orders", "same", 0, True),
    ("agg_orders", "total_orders", "all", 0, True),
    ("stg_orders", "price_list", "same", 0, True),
    ("dim_sizes", "price_list", "all", 0, True),
    ("readings", "stg_readings", "same", 0, True),
    ("stg_readings", "fct_conditions", "window", 1, True),
    ("fct_orders", "fct_conditions", "same", 0, True),
]


@dataclass
class HandRun:
    """An admitted run."""

    run_id: int
    token: int


@dataclass
class Platform:
    """The calls of a run, one by one. Connections are in autocommit unless a test opens a transaction on them."""

    database: Any
    stack: ExitStack
    connections: dict[Role, Connection] = field(default_factory=dict)
    keys: int = 0

    def as_(self, role: Role) -> Connection:
        """The platform's own connection as a role."""
        if role not in self.connections or self.connections[role].closed:
            self.connections[role] = self.session(role)
        return self.connections[role]

    def session(self, role: Role, *, autocommit: bool = True) -> Connection:
        """Another connection as a role, closed after the test."""
        return self.stack.enter_context(self.database.connect(role, autocommit=autocommit))

    def call(self, role: Role, function: str, *arguments: Any) -> Any:
        """Call a function of the schema `interlock` as a role."""
        row = (
            self.as_(role)
            .execute(f"select * from interlock.{function}({', '.join(['%s'] * len(arguments))})".encode(), arguments)
            .fetchone()
        )
        return row if row is None or len(row) > 1 else row[0]

    def rows(self, role: Role, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """The rows of a query as a role."""
        return self.as_(role).execute(query.encode(), arguments).fetchall()

    def register(self, **changes: dict[str, Any]) -> None:
        """Register all datasets and the lineage; `changes` by dataset name."""
        for name in DATASETS:
            self.register_one(name, **changes.get(name, {}))
        edges = [{"upstream": u, "downstream": d, "mapping": m, "lookback": n, "reopens": r} for u, d, m, n, r in EDGES]
        self.call(Role.OPERATOR, "register_lineage", Jsonb(edges))

    def register_one(self, name: str, **changes: Any) -> None:
        """Register one dataset."""
        domain, layer, grain = DATASETS[name]
        definition = {
            "name": name, "domain": domain, "layer": layer, "grain": grain,
            "partition_column": "day" if grain == "day" and layer != "raw" else None,
            "is_increment": name == "sizes", "columns": RAW_COLUMNS if layer == "raw" else COLUMNS,
            "on_gate_failure": "withhold", "lease": "P7D", "owner": f"{domain}-team",
            "contract_version": "1.0.0", "content_digest": "c1", "clause_digest": "d1", "clauses": ["rows", "keys"],
        }  # fmt: skip
        self.call(Role.OPERATOR, "register_dataset", Jsonb(definition | changes), "tester")

    def admit(self, domain: str, *days: str, key: str | None = None, lease: str = "30 min") -> HandRun:
        """Admit a run for days of a domain."""
        self.keys += 1
        run_id, token = self.call(
            Role.OPERATOR, "admit_run", key or f"test:{self.keys}", domain, list(days), "test", "tester", lease
        )
        return HandRun(run_id, token)

    def finish(self, run: HandRun) -> None:
        """End a run, which frees its claims."""
        self.call(Role.OPERATOR, "finish_run", run.run_id, "succeeded", None)

    def load(
        self, run: HandRun, feed: str, partition: str, amounts: Sequence[int] = (1, 2), *, finish: bool = True
    ) -> int:
        """Load a delivery in one transaction; returns the load's id."""
        connection = self.as_(Role.LOADER)
        with connection.transaction():
            connection.execute("create temp sequence if not exists interlock_row_number")
            row = connection.execute(
                "select interlock.begin_load(%s, %s, %s, %s, null, 'file.csv', 'h')",
                [run.run_id, run.token, feed, partition],
            ).fetchone()
            assert row is not None
            columns = b"(id, day, amount)"
            target = f"raw_{DATASETS[feed][0]}.{feed} ".encode()
            with connection.cursor().copy(b"copy " + target + columns + b" from stdin") as copy:
                for number, amount in enumerate(amounts):
                    copy.write_row((str(number), partition, str(amount)))
            if finish:
                connection.execute("select interlock.finish_load(%s, %s, 10, 'h')", [row[0], len(amounts)])
        return int(row[0])

    def judge(self, run: HandRun, version: int, *partitions: str, **result: Any) -> list[tuple[Any, ...]]:
        """Record a gate's verdict; passing unless `evidence` says otherwise."""
        evidence = result.pop("evidence", [{"clause": c, "success": True} for c in ("rows", "keys")])
        results = [{"partition": p, "evidence": evidence, **result} for p in partitions]
        return self.rows(
            Role.GATE,
            "select * from interlock.record_verdicts(%s, %s, %s, %s)",
            run.run_id,
            run.token,
            version,
            Jsonb(results),
        )

    def fail(self, run: HandRun, version: int, *partitions: str) -> list[tuple[Any, ...]]:
        """Record a failing verdict."""
        bad = {"clause": "keys", "success": False, "message": "2 keys are doubled", "expected": 0, "observed": 2}
        return self.judge(run, version, *partitions, evidence=[{"clause": "rows", "success": True}, bad])

    def publish(self, run: HandRun, partition: str, *versions: int) -> int:
        """Publish versions of one partition."""
        return int(self.call(Role.PUBLISHER, "publish", run.run_id, run.token, partition, list(versions)))

    def deliver(self, run: HandRun, feed: str, partition: str, amounts: Sequence[int] = (1, 2)) -> int:
        """Load, accept and publish a delivery."""
        load = self.load(run, feed, partition, amounts)
        self.judge(run, load, partition)
        self.publish(run, partition, load)
        return load

    def workspace(self, run: HandRun) -> str:
        """A fresh workspace."""
        return str(self.call(Role.BUILDER, "open_workspace", run.run_id, run.token))

    def pin(self, run: HandRun, dataset: str, *, skip: Sequence[tuple[str, str]] = ()) -> None:
        """Pin every input that is served and safe, except `skip`."""
        inputs = [edge[0] for edge in EDGES if edge[1] == dataset]
        for name in inputs:
            own = self.rows(
                Role.BUILDER,
                "select n.version from interlock.pin n join interlock.dataset d using (dataset_id)"
                " join interlock.version v on v.version = n.version"
                " where n.run_id = %s and d.name = %s and v.run_id = n.run_id",
                run.run_id, name,
            )  # fmt: skip
            if own and DATASETS[name][1] != "raw":
                continue  # built by this very run: its pin is there
            served = self.rows(
                Role.BUILDER,
                "select p.partition, p.version from interlock.readable_partition p"
                " join interlock.dataset d using (dataset_id) where d.name = %s",
                name,
            )
            pins = [{"partition": p, "version": v} for p, v in served if (name, p) not in skip]
            self.call(Role.BUILDER, "pin_input", run.run_id, run.token, name, Jsonb(pins))

    def make(self, run: HandRun, dataset: str, *partitions: str, amounts: Sequence[int] = (1, 2)) -> None:
        """Create the candidate's table, as dbt would: one table, or one partitioned by month."""
        workspace = f"run_{run.run_id}"
        connection = self.as_(Role.BUILDER)
        months = sorted({p[:7] for p in partitions if p != "all"})
        split = " partition by range (day)" if len(months) > 1 else ""
        connection.execute(f"create table {workspace}.{dataset} (id integer, day date, amount integer){split}".encode())
        for month in months if split else []:
            connection.execute(
                f"create table {workspace}.{dataset}__{month.replace('-', '_')} partition of {workspace}.{dataset}"
                f" for values from ('{month}-01') to (('{month}-01'::date + interval '1 month')::date)".encode()
            )
        for partition in partitions:
            day = "null" if partition == "all" else f"'{partition}'"
            values = ", ".join(f"({n}, {day}, {amount})" for n, amount in enumerate(amounts))
            connection.execute(f"insert into {workspace}.{dataset} values {values}".encode())

    def seal(self, run: HandRun, dataset: str, *partitions: str) -> int:
        """Seal the candidate."""
        return int(self.call(Role.BUILDER, "seal", run.run_id, run.token, dataset, list(partitions), "code-1"))

    def build(self, run: HandRun, dataset: str, *partitions: str, amounts: Sequence[int] = (1, 2)) -> int:
        """Pin, make and seal in the workspace that is open; returns the version."""
        self.pin(run, dataset)
        self.make(run, dataset, *partitions, amounts=amounts)
        return self.seal(run, dataset, *partitions)

    def renew(self, run: HandRun, dataset: str, *partitions: str, amounts: Sequence[int] = (1, 2)) -> int:
        """Build, judge and publish one dataset in a workspace of its own."""
        self.workspace(run)
        version = self.build(run, dataset, *partitions, amounts=amounts)
        self.judge(run, version, *partitions)
        for partition in partitions:
            self.publish(run, partition, version)
        return version

    def fill(self, *days: str, weather: bool = True) -> None:
        """Bring every dataset to served and safe for these days."""
        run = self.admit("shop", *days)
        if not self.rows(Role.OPERATOR, "select 1 from interlock.readable_partition where partition = 'all'"):
            self.deliver(run, "sizes", "all")
            self.renew(run, "stg_sizes", "all")
            self.renew(run, "dim_sizes", "all")
        for day in days:
            self.deliver(run, "orders", day)
            for name in ("stg_orders", "fct_orders", "agg_orders", "price_list"):
                self.renew(run, name, day)
        self.renew(run, "total_orders", "all")
        self.finish(run)
        if weather:
            run = self.admit("weather", *days)
            for day in days:
                self.deliver(run, "readings", day)
                self.renew(run, "stg_readings", day)
            for day in days:
                self.renew(run, "fct_conditions", day)
            self.finish(run)

    def state(self, dataset: str, partition: str) -> str:
        """The state that a consumer is told."""
        return str(self.call(Role.CONSUMER, "ask", dataset, partition)["state"])

    def reasons(self, dataset: str, partition: str) -> list[dict[str, Any]]:
        """The reasons that a consumer is told."""
        return list(self.call(Role.CONSUMER, "ask", dataset, partition)["reasons"])

    def amounts(self, dataset: str, day: str | None = None) -> list[int]:
        """What a consumer reads."""
        where = f" where day = '{day}'" if day else ""
        return [row[0] for row in self.rows(Role.CONSUMER, f"select amount from safe.{dataset}{where} order by 1")]


# What a test may ask for, the furthest first, and the fixture that names the database to begin with.
ORIGINS = {"replaced": "worn_database", "filled": "filled_database", "platform": "registered_database"}


@pytest.fixture
def origin(request: pytest.FixtureRequest, template: str) -> str:
    """The furthest of the states that a test asks for, made once a session."""
    asked = [made for state, made in ORIGINS.items() if state in request.fixturenames]
    return str(request.getfixturevalue(asked[0])) if asked else template


@pytest.fixture(scope="session")
def registered_database(server: Any, template: str) -> str:
    """A platform with nothing in it. Copy it, do not touch it."""
    with prepared(server, template, "interlock_registered") as database, ExitStack() as stack:
        Platform(database, stack).register()
    return database.name


@pytest.fixture(scope="session")
def filled_database(server: Any, registered_database: str) -> str:
    """Two days of everything, all safe. Copy it, do not touch it."""
    with prepared(server, registered_database, "interlock_filled") as database, ExitStack() as stack:
        Platform(database, stack).fill("2013-01-05", "2013-01-06")
    return database.name


@pytest.fixture
def platform(database: Any) -> Iterator[Platform]:
    """A registered platform with nothing in it."""
    with ExitStack() as stack:
        yield Platform(database, stack)


@pytest.fixture
def filled(database: Any) -> Iterator[Platform]:
    """Two days of everything, all safe."""
    with ExitStack() as stack:
        yield Platform(database, stack)
