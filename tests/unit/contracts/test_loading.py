"""Whatever a contract's file holds, reading it ends with a contract or with problems."""

from __future__ import annotations

import string
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interlock.contracts.loading import load_contracts, read_contract
from interlock.contracts.model import Grain, Layer
from interlock.contracts.problems import ContractInvalid

if TYPE_CHECKING:
    from conftest import Project

ANY_DOCUMENT = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
WORDS = st.text(string.ascii_letters + string.digits + " .:-_[]{}'\"%$\n\0é☃", max_size=12)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.dates() | st.binary(max_size=4)
KEYS = WORDS | st.integers() | st.dates() | st.none()
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


def is_contract_or_problems(file: Path) -> None:
    contract, problems = read_contract(file)
    assert (contract is None) == bool(problems)
    for problem in problems:
        assert problem.file.suffix == ".yaml"
        assert problem.where
        assert problem.found
        assert problem.fix


@ANY_DOCUMENT
@given(tree=TREES)
def test_any_yaml_ends_as_problems_and_never_as_a_crash(project: Project, tree: Any) -> None:
    is_contract_or_problems(project.write(project.file("orders"), yaml.safe_dump(tree)))


@ANY_DOCUMENT
@given(text=st.text(max_size=80))
def test_any_text_ends_as_problems_and_never_as_a_crash(project: Project, text: str) -> None:
    file = project.file("orders")
    file.write_bytes(text.encode("utf-8", errors="surrogatepass"))
    is_contract_or_problems(file)


@ANY_DOCUMENT
@given(data=st.data())
def test_a_good_contract_with_anything_in_one_place_never_crashes(project: Project, data: st.DataObject) -> None:
    document: Any = deepcopy(yaml.safe_load(project.file("stg_shop__orders").read_text(encoding="utf-8")))
    holder, place = document, None
    while isinstance(holder, dict | list) and holder:
        places = sorted(holder) if isinstance(holder, dict) else list(range(len(holder)))
        place = data.draw(st.sampled_from(places))
        if not isinstance(holder[place], dict | list) or data.draw(st.booleans()):
            break
        holder = holder[place]
    if place is not None and isinstance(holder, dict | list) and holder:
        holder[place] = data.draw(TREES)
    file = project.file("other")
    project.write(file, document)
    is_contract_or_problems(file)


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]",
        "2013-02-30: x",
        "when: 2013-02-30",
        "{[a]: b}",
        "? {a: b}\n: c",
        "n: " + "9" * 5000,
        "[" * 5000,
        "a: !!python/object:os.system x",
        "a: !!binary '***'",
        "\ufeffa: b",
        "a\0b",
        "",
        "- - -",
        "<<: 1",
        "schema: 1\nschema: 2",
    ],
)
def test_odd_yaml_is_one_file_with_problems(project: Project, text: str) -> None:
    is_contract_or_problems(project.write(project.file("orders"), text))


def test_bytes_that_are_no_utf8_are_a_problem(project: Project) -> None:
    project.file("orders").write_bytes(b"name: \xff\xfe")
    _, problems = read_contract(project.file("orders"))
    assert "it is no UTF-8 text (byte 6)" in problems[0].found


def test_a_key_that_stands_twice_is_a_problem_with_its_line(project: Project) -> None:
    text = project.file("orders").read_text(encoding="utf-8") + "version: 2.0.0\n"
    _, problems = read_contract(project.write(project.file("orders"), text))
    assert "the key 'version' repeats" in problems[0].found
    assert "line " in problems[0].found


def test_all_problems_of_all_files_come_at_once(project: Project) -> None:
    project.change("orders", lambda document: document.pop("team"))
    project.change_custom("orders", "lease", "soon")
    project.change("customers", lambda document: document.update(apiVersion="v2.2.2"))
    with pytest.raises(ContractInvalid) as raised:
        load_contracts(project.root / "include" / "contracts")
    found = {(problem.file.name, problem.where) for problem in raised.value.problems}
    assert {("orders.yaml", "team.name"), ("orders.yaml", "customProperties[interlock.lease]")} <= found
    assert ("customers.yaml", "apiVersion") in found


def test_what_the_standard_forbids_names_its_place(project: Project) -> None:
    project.change_table("orders", lambda table: table["properties"][1].update(logicalType="text"))
    _, problems = read_contract(project.file("orders"))
    assert [problem.where for problem in problems] == ["schema[0].properties[1].logicalType"]
    assert "'text' is not one of" in problems[0].found


def test_a_clause_that_nothing_checks_keeps_the_whole_catalog_from_loading(project: Project) -> None:
    project.change_table("orders", lambda table: table.update(quality=[{"id": "prose", "type": "text"}]))
    with pytest.raises(ContractInvalid, match="nothing checks this clause"):
        load_contracts(project.root / "include" / "contracts")


def test_a_changed_expectations_file_is_seen_by_the_next_load(project: Project) -> None:
    folder = project.root / "include" / "contracts"
    before = load_contracts(folder)["orders"].content_digest
    item = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "customer"}}
    project.write(project.root / "expectations" / "shop" / "orders.yaml", {"expectations": [item]})
    assert load_contracts(folder)["orders"].content_digest != before


def test_a_contract_has_every_default_written_down(project: Project) -> None:
    loaded = load_contracts(project.root / "include" / "contracts")["stg_shop__orders"]
    assert (loaded.layer, loaded.partition.grain, loaded.partition.column) == (Layer.STAGED, Grain.DAY, "order_date")
    assert (loaded.freshness, loaded.lease, loaded.window) == (timedelta(days=2), timedelta(days=7), 1)
    assert loaded.primary_key == ("order_date", "order_no")
    assert loaded.physical_table == "staged.stg_shop__orders"


def test_a_feed_is_text_that_must_read_as_its_type(project: Project) -> None:
    loaded = load_contracts(project.root / "include" / "contracts")["orders"]
    amount = loaded.column("amount")
    assert amount is not None
    assert (amount.physical_type, amount.value_type) == ("text", "double precision")


def test_a_folder_without_contracts_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(ContractInvalid, match="there is no contract"):
        load_contracts(tmp_path)
