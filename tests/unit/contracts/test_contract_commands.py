"""`interlock contract`, as a person and as a script use it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from interlock.cli import app
from interlock.settings import settings

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

    from conftest import Project


@pytest.fixture
def checkout(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("INTERLOCK_ROOT", str(project.root))
    monkeypatch.setenv("COLUMNS", "100")
    settings.cache_clear()
    return project


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["contract", *words])


def test_lint_exits_0_where_nothing_is_wrong(checkout: Project) -> None:
    result = run("lint")
    assert result.exit_code == 0, result.output
    assert result.output.startswith("4 contracts, ")
    assert result.output.endswith(": no problem.\n")


def test_lint_exits_1_and_names_file_place_finding_and_fix(checkout: Project) -> None:
    checkout.change_custom("orders", "lease", "soon")
    result = run("lint")
    assert result.exit_code == 1
    assert (
        "include/contracts/shop/orders.yaml: customProperties[interlock.lease]: 'soon' is no duration" in result.output
    )
    assert "    fix: Write an ISO 8601 duration" in result.output
    assert "problem in 1 file." in result.output


def test_lint_tells_scripts_in_json(checkout: Project) -> None:
    checkout.change_custom("orders", "lease", "soon")
    result = run("lint", "--json")
    assert result.exit_code == 1
    (problem,) = json.loads(result.output)["problems"]
    assert problem["file"] == "include/contracts/shop/orders.yaml"
    assert set(problem) == {"file", "where", "found", "fix"}


def test_lint_records_new_versions_when_asked(checkout: Project) -> None:
    checkout.change("orders", lambda document: document.update(version="1.0.1"))
    assert run("lint").exit_code == 1
    result = run("lint", "--record")
    assert result.exit_code == 0
    assert "Recorded orders 1.0.1." in result.output
    assert run("lint").exit_code == 0


def test_show_says_in_words_what_a_dataset_promises(checkout: Project) -> None:
    decided = {"finding": "Amounts [sic] are 1 or 2.", "decision": "An enum.", "reason": "There are two prices."}
    checkout.change_custom("stg_shop__orders", "decisions", [decided])
    checkout.change_custom("stg_shop__orders", "criticality", "highest")
    result = run("show", "stg_shop__orders")
    assert result.exit_code == 0
    for words in (
        "stg_shop__orders 1.0.0",
        "a day, by the column order_date",
        "at most 2 days late",
        "highest",
        "order_date, order_no",
        "customer.exists_in.stg_shop__customers",
        "row count as in orders",
        "Amounts [sic] are 1 or 2.",
    ):
        assert words in result.output


@pytest.mark.parametrize("columns", ["20", "40", "200"])
def test_show_fits_terminals_of_any_width(checkout: Project, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    result = run("show", "orders")
    assert result.exit_code == 0
    assert max(len(line) for line in result.output.splitlines()) <= int(columns)


def test_show_of_an_unknown_dataset_names_what_was_meant(checkout: Project) -> None:
    result = run("show", "oders")
    assert result.exception is not None
    assert "Did you mean orders?" in str(result.exception)


def test_init_says_what_it_wrote_and_what_to_review(checkout: Project, tmp_path: Path) -> None:
    sample = tmp_path / "returns_2013-01-05.csv"
    sample.write_text("id,sold_on\n1,2013-01-05\n2,2013-01-05\n", encoding="utf-8")
    result = run("init", "--from", str(sample))
    assert result.exit_code == 0, result.output
    assert "wrote    include/contracts/shop/returns.yaml" in result.output
    assert "extended dbt_project/models/staging/shop/_shop.yml" in result.output
    assert "To be reviewed:" in result.output
    assert run("lint", "--record").exit_code == 0
