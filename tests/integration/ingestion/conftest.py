"""A feed under test: a landing folder of its own, a contract in Python, and a run that holds the partition."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from psycopg.types.json import Jsonb
from tests.integration.conftest import DATASETS, RAW_COLUMNS

from interlock.contracts.model import Column, Contract, Delivery, Drift, Grain, Layer, Partition
from interlock.db.connection import Role
from interlock.ingestion import loads
from interlock.settings import settings

if TYPE_CHECKING:
    from interlock.ingestion.loads import LoadResult

DAY = "2013-01-05"
LANDING = {
    "orders": "orders_{partition}.csv",
    "sizes": "sizes_{delivered}.csv",
    "refunds": "refunds_{partition}_{delivered}_{sequence}.csv",
    "colours": "colours_{delivered}.csv",
}
TYPES = {"id": "integer", "day": "date", "amount": "number"}


def contract_of(dataset: str = "orders", *, drift: dict[str, str] | None = None, **delivery: Any) -> Contract:
    """The contract of a raw dataset: of the hand-driven platform, or one that is registered for these tests."""
    is_daily = dataset in ("orders", "refunds")
    columns = tuple(
        Column(name=name, logical_type=kind, physical_type="text", value_type="text") for name, kind in TYPES.items()
    )
    return Contract(
        dataset=dataset, domain="shop", layer=Layer.RAW, version="1.0.0", owner="shop-team",
        partition=Partition(grain=Grain.DAY if is_daily else Grain.ALL), columns=columns,
        delivery=Delivery(
            **{
                "mode": "increment" if dataset in ("sizes", "refunds") else "full-partition",
                "landing": LANDING[dataset],
                "null": ("NA", ""),
                **delivery,
            }
        ),
        drift=Drift(**(drift or {})), content_digest="c1", path=Path(f"{dataset}.yaml"), document={},
    )  # fmt: skip


@dataclass
class Feed:
    """A producer, its landing folder, and the run that takes up what it delivers."""

    platform: Any
    landing: Path
    contract: Contract
    runs: list[Any] = field(default_factory=list)

    @property
    def run(self) -> Any:
        return self.runs[-1]

    @property
    def partition(self) -> str:
        return DAY if self.contract.partition.grain is Grain.DAY else "all"

    @property
    def connection(self) -> Any:
        return self.platform.as_(Role.LOADER)

    def path(self, name: str) -> Path:
        return self.landing / self.contract.dataset / name

    def deliver(self, content: bytes | str, name: str | None = None, *, mark: Any = None) -> Path:
        """Put a file there, as it would lie there a minute later; `mark` is its mark, or True for a right one."""
        path = self.path(name or f"{self.contract.dataset}_{DAY}.csv")
        path.parent.mkdir(parents=True, exist_ok=True)
        raw = content.encode() if isinstance(content, str) else content
        path.write_bytes(raw)
        age(path)
        if mark is True:
            raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
            mark = {"rows": max(0, len(raw.splitlines()) - 1), "sha256": hashlib.sha256(raw).hexdigest()}
        if mark is not None:
            path.with_name(path.name + ".done").write_text(mark if isinstance(mark, str) else json.dumps(mark))
        return path

    def admit(self) -> None:
        """Another run of the same day."""
        if self.runs:
            self.platform.finish(self.run)
        self.runs.append(self.platform.admit("shop", DAY))

    def load(self) -> LoadResult:
        """Take up what lies there; for tests of one delivery."""
        [result] = self.load_all()
        return result

    def load_all(self) -> list[LoadResult]:
        return loads.load_partition(self.connection, self.run.run_id, self.run.token, self.contract, self.partition)

    def accept(self, result: LoadResult) -> None:
        """Let the gate pass a load and publish it."""
        self.platform.judge(self.run, result.load_id, self.partition)
        self.platform.publish(self.run, self.partition, result.load_id)

    def reject(self, result: LoadResult) -> None:
        """Let the gate fail a load."""
        self.platform.fail(self.run, result.load_id, self.partition)

    def rows(self) -> list[tuple[Any, ...]]:
        """What lies in raw, whoever may read it."""
        return self.platform.rows(
            Role.GATE,
            f"select id, day, amount, _row_number, _source_file, _load_id from raw_shop.{self.contract.dataset}"
            " order by _load_id, _row_number",
        )

    def deliveries(self) -> list[tuple[Any, ...]]:
        """The record of what came: outcome and file."""
        return self.platform.rows(
            Role.AUDITOR, "select outcome, source_file, load_id from interlock.delivery order by delivery_id"
        )

    def state(self) -> str:
        return str(self.platform.state(self.contract.dataset, self.partition))

    def reasons(self) -> list[dict[str, Any]]:
        return list(self.platform.reasons(self.contract.dataset, self.partition))


def register(feed: Feed) -> None:
    """Make a feed known that the hand-driven platform lacks: increments of a day, or snapshots without days."""
    contract = feed.contract
    definition = {
        "name": contract.dataset, "domain": contract.domain, "layer": "raw", "grain": contract.partition.grain.value,
        "is_increment": contract.delivery is not None and contract.delivery.mode == "increment",
        "columns": RAW_COLUMNS, "on_gate_failure": "withhold", "lease": "P7D", "owner": "shop-team",
        "contract_version": "1.0.0", "content_digest": "c1", "clause_digest": "d1", "clauses": ["rows", "keys"],
    }  # fmt: skip
    feed.platform.call(Role.OPERATOR, "register_dataset", Jsonb(definition), "tester")


def age(path: Path) -> None:
    """Let a file look as if it had been written a minute ago, so that nobody waits for it to settle."""
    now = path.stat().st_mtime
    os.utime(path, (now - 60, now - 60))


@pytest.fixture
def feed_of(platform: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Makes a feed for a contract."""
    landing = tmp_path / "landing here"
    landing.mkdir()
    monkeypatch.setenv("INTERLOCK_LANDING_URL", str(landing))
    settings.cache_clear()

    def made(*arguments: Any, **changes: Any) -> Feed:
        feed = Feed(platform, landing, contract_of(*arguments, **changes))
        if feed.contract.dataset not in DATASETS:
            register(feed)
        feed.admit()
        return feed

    return made


@pytest.fixture
def feed(feed_of: Any) -> Feed:
    """A daily feed with every default of the contract."""
    return feed_of()
