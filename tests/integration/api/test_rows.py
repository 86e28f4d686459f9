"""Rows over HTTP: all of them safe in the snapshot that is read, counted to the last, exact, or a refusal."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from psycopg.types.json import Jsonb

from interlock.api.resources.rows import _pieces
from interlock.client import CouldNotAsk, NotSafe, Rows, UsageError
from interlock.client.exchange import Reply, refusal_of
from interlock.client.moments import Moment
from interlock.client.rows import rows_in
from interlock.control.questions import Right
from interlock.db.connection import Role
from interlock.safety import snapshots
from interlock.safety.snapshots import Snapshot, selection
from interlock.settings import settings

DAY, NEXT = "2013-01-05", "2013-01-06"
CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: shop-fct_orders
name: Orders
version: 1.0.0
status: active
domain: shop
description: {purpose: Orders.}
team: {name: shop-team}
schema:
  - name: fct_orders
    physicalType: table
    properties:
      - {name: id, logicalType: integer, physicalType: integer, primaryKey: true, primaryKeyPosition: 1, required: true}
      - {name: day, logicalType: date, physicalType: date, required: true}
      - {name: amount, logicalType: integer, physicalType: integer, classification: confidential}
customProperties:
  - {property: interlock.layer, value: curated}
  - {property: interlock.partition, value: {grain: day, column: day}}
"""


@pytest.fixture
def contracted(filled: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The small platform, with a contract of fct_orders that keeps its amounts from general readers."""
    folder = tmp_path / "checkout" / "include" / "contracts" / "shop"
    folder.mkdir(parents=True)
    (folder / "fct_orders.yaml").write_text(CONTRACT)
    monkeypatch.setenv("INTERLOCK_ROOT", str(tmp_path / "checkout"))
    settings.cache_clear()
    return filled


@pytest.fixture
def rows(asked: Any, token: Any) -> Callable[..., Any]:
    """Asks for rows of the days of fct_orders, as somebody who may read them."""
    client = asked(token("ada", [Right.READ], ["shop"]))

    def get(*days: str, dataset: str = "fct_orders", columns: tuple[str, ...] = ()) -> Any:
        query = [("partition", day) for day in days] + [("column", name) for name in columns]
        return client.get(f"/v1/datasets/{dataset}/rows", params=query)

    return get


def read(content: bytes, *days: str, dataset: str = "fct_orders") -> Rows:
    """The rows as the client takes them."""
    return rows_in(Reply(200, {}, content), Moment.now(), dataset, days)


def spoil(platform: Any, day: str = DAY) -> None:
    """The bad day: what is delivered again for it fails its gate."""
    run = platform.admit("shop", day)
    platform.fail(run, platform.load(run, "orders", day), day)
    platform.finish(run)


def test_rows_of_safe_partitions_come_with_their_versions_and_without_what_is_classified(contracted: Any, rows: Any):
    told = rows(DAY, NEXT)
    assert told.headers["interlock-withheld-columns"] == "amount"
    found = read(told.content, DAY, NEXT)
    assert found.to_arrow().to_pylist() == [{"id": n, "day": date(2013, 1, d)} for d in (5, 6) for n in (0, 1)]
    assert found.to_pandas().shape == found.to_polars().shape == (4, 2)
    served = {day: contracted.call(Role.CONSUMER, "ask", "fct_orders", day)["version"] for day in (DAY, NEXT)}
    assert found.versions == served
    assert told.headers["interlock-versions"] == ", ".join(f"{day}={version}" for day, version in served.items())
    assert found.withheld_columns == ("amount",)


def test_one_unsafe_partition_of_several_is_none_of_the_rows(contracted: Any, rows: Any):
    spoil(contracted, NEXT)
    told = rows(DAY, NEXT)
    assert (told.status_code, told.json()["type"]) == (409, "urn:interlock:problem:not-safe")
    assert [(answer["partition"], answer["safe"]) for answer in told.json()["errors"]] == [(DAY, True), (NEXT, False)]
    refusal = refusal_of(Reply(409, told.headers, told.content), Moment.now())
    assert isinstance(refusal, NotSafe)
    assert "2 keys are doubled" in str(refusal)
    assert len(read(rows(DAY).content, DAY)) == 2


def test_what_may_not_be_had_is_refused_by_name(contracted: Any, rows: Any, asked: Any, token: Any):
    told = {
        name: rows(DAY, **given)
        for name, given in {
            "classified": {"columns": ("id", "amount")},
            "unknown": {"columns": ("colour",)},
            "raw": {"dataset": "orders"},
            "elsewhere": {"dataset": "fct_conditions"},
            "no contract": {"dataset": "agg_orders"},
            "nothing": {"dataset": "fct_nothing"},
        }.items()
    }
    told["no day"] = rows("yesterday")
    told["all"] = rows("all")
    told["nobody"] = asked().get(f"/v1/datasets/fct_orders/rows?partition={DAY}")
    assert {name: answer.status_code for name, answer in told.items()} == {
        "classified": 403, "unknown": 400, "raw": 400, "elsewhere": 403, "no contract": 503, "nothing": 404,
        "no day": 400, "all": 400, "nobody": 401,
    }  # fmt: skip
    assert "amount" in told["classified"].json()["detail"]
    assert all(answer.headers["content-type"] == "application/problem+json" for answer in told.values())


def test_what_is_withdrawn_before_the_last_row_is_not_safe_to_the_reader(
    contracted: Any, monkeypatch: pytest.MonkeyPatch
):
    counted = snapshots._sealed_rows

    def spoiled(*given: Any) -> int:
        spoil(contracted)
        return counted(*given)

    monkeypatch.setattr(snapshots, "_sealed_rows", spoiled)  # called after it was asked, and before a row is read
    snapshot = Snapshot(selection("fct_orders", [DAY]))
    content = b"".join(_pieces(snapshot, "request"))
    snapshot.close()
    assert pa.ipc.open_stream(content).read_all().num_rows == 2, "what was asked and what is read are of one moment"
    with pytest.raises(NotSafe, match="2 keys are doubled"):
        read(content, DAY)


def test_rows_that_got_lost_in_the_database_are_noticed(contracted: Any, rows: Any):
    version = contracted.call(Role.CONSUMER, "ask", "fct_orders", DAY)["version"]
    table = contracted.rows(Role.OPERATOR, "select table_name from interlock.version_table where version = %s", version)
    contracted.as_(Role.ADMIN).execute(f'delete from versions."{table[0][0]}" where id = 1'.encode())
    with pytest.raises(CouldNotAsk, match="1 rows of fct_orders were read, and 2 were published"):
        read(rows(DAY).content, DAY)


def test_a_stream_that_was_cut_anywhere_is_never_less_rows(contracted: Any, rows: Any):
    content = rows(DAY).content
    for length in range(len(content)):
        try:
            found = read(content[:length], DAY)
        except CouldNotAsk:
            continue
        assert len(found) == 2, length
        assert length > len(content) - 16, "only the mark at the end may be missing"


def test_a_stream_from_which_rows_were_lost_is_none(contracted: Any, rows: Any):
    with pa.ipc.open_stream(rows(DAY).content) as reader:
        schema, (batch, _), (nothing, last) = reader.schema, *reader.iter_batches_with_custom_metadata()
    for kept in ([], [batch.slice(1)], [batch, batch]):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, schema) as writer:
            for part in kept:
                writer.write_batch(part)
            writer.write_batch(nothing, custom_metadata=last)
        with pytest.raises(CouldNotAsk, match="not the number that it should"):
            read(sink.getvalue().to_pybytes(), DAY)


VALUES = {
    "day": ("date", date(2013, 1, 5)),
    "day_of_end": ("date", date(1, 1, 1)),
    "exact": ("numeric(30,9)", Decimal("123456789012345678901.123456789")),
    "longer": ("numeric(60,20)", "1234567890123456789012345678901234567890.12345678901234567890"),
    "free": ("numeric", "12345678901234567890.123456789012345678901234567890"),
    "far": ("timestamptz", datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
    "plain": ("timestamp", datetime(9999, 12, 31, 23, 59, 59, 999999)),  # noqa: DTZ001
    "clock": ("time", time(23, 59, 59, 999999)),
    "big": ("bigint", 9_007_199_254_740_993),
    "flag": ("boolean", None),
    "bytes": ("bytea", b"\x00\xff"),
    "list": ("text[]", ["a", None, "c,d"]),
    "prices": ("numeric(10,2)[]", ["1.10", "2.00"]),
    "net": ("inet", "10.0.0.1/32"),
    "json": ("jsonb", '{"a": 1.10}'),
    "code": ("char(3)", "ab "),
    "empty": ("text", ""),
}


@pytest.fixture
def values(contracted: Any) -> Callable[..., None]:
    """Publishes a day of a dataset with a column of every kind, whose values are these or those given."""

    def publish(**other: Any) -> None:
        kinds = {name: kind for name, (kind, _) in VALUES.items()}
        definition = {
            "name": "fct_values", "domain": "shop", "layer": "curated", "grain": "day", "partition_column": "day",
            "columns": [{"name": name, "type": kind} for name, kind in kinds.items()], "on_gate_failure": "withhold",
            "lease": "P7D", "owner": "shop-team", "contract_version": "1.0.0", "content_digest": "v1",
            "clause_digest": "d1", "clauses": ["rows", "keys"],
        }  # fmt: skip
        contracted.call(Role.OPERATOR, "register_dataset", Jsonb(definition), "tester")
        run = contracted.admit("shop", DAY)
        table = f"{contracted.workspace(run)}.fct_values"
        listed = ", ".join(f"{name} {kind}" for name, kind in kinds.items())
        contracted.as_(Role.BUILDER).execute(f"create table {table} ({listed})".encode())
        row = {name: value for name, (_, value) in VALUES.items()} | other
        contracted.as_(Role.BUILDER).execute(
            f"insert into {table} values ({', '.join(f'%s::{kind}' for kind in kinds.values())})".encode(),
            list(row.values()),
        )
        version = contracted.seal(run, "fct_values", DAY)
        contracted.judge(run, version, DAY)
        contracted.publish(run, DAY, version)
        contracted.finish(run)

    columns = "".join(
        f"      - {{name: {name}, logicalType: string, physicalType: '{kind}'}}\n" for name, (kind, _) in VALUES.items()
    )
    before, _, after = CONTRACT.partition("    properties:\n")
    document = before + "    properties:\n" + columns + after[after.index("customProperties") :]
    file = settings().root / "include" / "contracts" / "shop" / "fct_values.yaml"
    file.write_text(document.replace("fct_orders", "fct_values"))
    return publish


def test_every_value_arrives_as_it_is(values: Any, rows: Any):
    values()
    found = read(rows(DAY, dataset="fct_values").content, DAY, dataset="fct_values")
    assert found.to_arrow().to_pylist() == [{name: value for name, (_, value) in VALUES.items()}]
    assert found.to_polars().row(0, named=True)["exact"] == VALUES["exact"][1]
    frame = found.to_pandas()
    assert (frame["big"][0], frame["exact"][0]) == (VALUES["big"][1], VALUES["exact"][1])


def test_a_value_that_cannot_be_said_is_refused_and_not_bent(values: Any, rows: Any):
    for column, value in (("far", "infinity"), ("day_of_end", "-infinity"), ("exact", "NaN")):
        values(**{column: value})
        with pytest.raises(UsageError, match=f"column {column} has a value"):
            read(rows(DAY, dataset="fct_values").content, DAY, dataset="fct_values")
        assert len(read(rows(DAY, dataset="fct_values", columns=("big",)).content, DAY, dataset="fct_values")) == 1


def test_who_read_which_version_is_on_record_and_an_unknown_consumer_is_refused(
    contracted: Any, rows: Any, application: Any, asked: Any, token: Any
):
    versions = read(rows(DAY).content, DAY).versions
    assert application.state.surface.recorder.flush()
    noted = contracted.rows(Role.AUDITOR, "select who, kind, version from interlock.reliance order by version")
    assert {(who, kind) for who, kind, _ in noted} == {("ada", "read")}
    assert {version for _, _, version in noted} == set(versions.values())
    told = asked(token("ben"), Interlock_Consumer="nobody").get(f"/v1/datasets/fct_orders/rows?partition={DAY}")
    assert told.status_code == 400
