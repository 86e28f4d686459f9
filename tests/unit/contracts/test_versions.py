"""A version of a contract means one thing for ever."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from interlock.contracts import versions
from interlock.contracts.lint import lint
from interlock.contracts.model import Layer
from interlock.contracts.versions import ColumnShape, Recorded, breaking_changes

if TYPE_CHECKING:
    from conftest import Project
    from interlock.contracts.problems import ContractProblem

DIGEST = "0" * 64


def version_problem(project: Project) -> ContractProblem:
    found = [problem for problem in lint(project.root).problems if problem.where == "version"]
    assert len(found) == 1, [str(problem) for problem in found]
    return found[0]


def set_version(project: Project, dataset: str, version: str) -> None:
    project.change(dataset, lambda document: document.update(version=version))


def change_description(project: Project) -> None:
    project.change("orders", lambda document: document["description"].update(purpose="Other words."))


def test_a_version_that_is_not_recorded_is_a_problem_until_it_is(project: Project) -> None:
    versions.lock_file(project.root).unlink()
    before = lint(project.root)
    assert len(before.problems) == 4
    assert {problem.fix for problem in before.problems} == {
        "Run `interlock contract lint --record` and commit the file."
    }
    report = lint(project.root, record=True)
    assert report.is_clean
    assert "orders 1.0.0" in report.recorded
    assert lint(project.root).is_clean


def test_content_that_changed_without_its_version_is_a_problem(project: Project) -> None:
    change_description(project)
    problem = version_problem(project)
    assert problem.file == Path("include/contracts/shop/orders.yaml")
    assert problem.found == "the content changed, and the version is still 1.0.0"
    assert problem.fix.startswith("Raise it to 1.1.0 for another promise or 1.0.1 for other words")


def test_recording_never_changes_what_a_version_said(project: Project) -> None:
    change_description(project)
    before = versions.lock_file(project.root).read_text(encoding="utf-8")
    report = lint(project.root, record=True)
    assert not report.is_clean
    assert versions.lock_file(project.root).read_text(encoding="utf-8") == before


def test_comments_and_layout_are_no_content(project: Project) -> None:
    file = project.file("orders")
    file.write_text("# A comment.\n" + file.read_text(encoding="utf-8").replace("\n", "\n\n"), encoding="utf-8")
    assert lint(project.root).is_clean


def test_expectations_are_content(project: Project) -> None:
    item = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "customer"}}
    project.write(project.root / "expectations" / "shop" / "customers.yaml", {"expectations": [item]})
    assert version_problem(project).file.name == "customers.yaml"


def test_a_raised_version_is_recorded_beside_the_old_one(project: Project) -> None:
    change_description(project)
    set_version(project, "orders", "1.0.1")
    report = lint(project.root, record=True)
    assert report.recorded == ("orders 1.0.1",)
    lock, problems = versions.read_lock(versions.lock_file(project.root))
    assert problems == []
    assert list(lock["orders"]) == ["1.0.0", "1.0.1"]


def test_nothing_is_recorded_while_anything_else_is_wrong(project: Project) -> None:
    change_description(project)
    set_version(project, "orders", "1.0.1")
    project.write(project.file("customers"), "[")
    before = versions.lock_file(project.root).read_text(encoding="utf-8")
    assert lint(project.root, record=True).recorded == ()
    assert versions.lock_file(project.root).read_text(encoding="utf-8") == before


def test_a_version_may_not_go_back(project: Project) -> None:
    change_description(project)
    set_version(project, "orders", "0.9.0")
    assert version_problem(project).found == "0.9.0 is older than 1.0.0, which was recorded"


@pytest.mark.parametrize("version", ["1.0", "v1.0.0", "1.0.0-beta", "01.0.0", "latest"])
def test_a_version_is_three_numbers(project: Project, version: str) -> None:
    set_version(project, "orders", version)
    found = {problem.found for problem in lint(project.root).problems}
    assert f"{version!r} is no version" in found


def test_ten_is_newer_than_nine(project: Project) -> None:
    for version in ("1.9.0", "1.10.0"):
        set_version(project, "orders", version)
        assert lint(project.root, record=True).recorded == (f"orders {version}",)


def test_a_breaking_change_needs_a_new_major_version(project: Project) -> None:
    project.change_table("stg_shop__orders", lambda table: table["properties"].pop())
    project.change_properties(lambda properties: properties["models"][0]["columns"].pop())
    assert "Raise it to 2.0.0 (it breaks: the column amount is gone)" in version_problem(project).fix
    set_version(project, "stg_shop__orders", "1.1.0")
    problem = version_problem(project)
    assert problem.found == "1.1.0 breaks what 1.0.0 promised: the column amount is gone"
    assert problem.fix == "Raise it to 2.0.0, or keep the promise."
    set_version(project, "stg_shop__orders", "2.0.0")
    assert lint(project.root, record=True).is_clean


def shape(**column: Any) -> Recorded:
    return Recorded(digest=DIGEST, key=(), columns={"c": ColumnShape(type="text", **column)})


def typed(name: str) -> Recorded:
    return Recorded(digest=DIGEST, columns={"c": ColumnShape(type=name)})


@pytest.mark.parametrize(
    ("layer", "old", "new", "broken"),
    [
        (Layer.CURATED, typed("integer"), typed("bigint"), []),
        (Layer.CURATED, typed("bigint"), typed("integer"), ["c was bigint and is integer"]),
        (Layer.CURATED, typed("text"), typed("date"), ["c was text and is date"]),
        (Layer.CURATED, shape(required=True), shape(), ["c may be null now, and never was"]),
        (Layer.CURATED, shape(), shape(required=True), []),
        (Layer.RAW, shape(), shape(required=True), ["c must be delivered now, and was not required"]),
        (Layer.RAW, shape(required=True), shape(), []),
        (Layer.CURATED, shape(values=("a", "b")), shape(values=("a",)), ["c may no longer be b"]),
        (Layer.CURATED, shape(values=("a",)), shape(values=("a", "b")), []),
        (Layer.CURATED, shape(values=("a",)), shape(), ["c may be anything now, and was one of a list"]),
        (Layer.RAW, shape(values=("a",)), shape(), []),
        (Layer.RAW, shape(), shape(values=("a",)), ["c must be one of a list now, and could be anything"]),
    ],
)
def test_what_breaks_readers_and_producers_is_told_apart(
    layer: Layer, old: Recorded, new: Recorded, broken: list[str]
) -> None:
    assert breaking_changes(layer, old, new) == broken


def test_a_new_column_breaks_producers_and_not_readers() -> None:
    old = Recorded(digest=DIGEST, columns={})
    assert breaking_changes(Layer.CURATED, old, shape()) == []
    assert breaking_changes(Layer.RAW, old, shape()) == ["producers must deliver a new column c"]


def test_another_key_is_a_breaking_change() -> None:
    old = Recorded(digest=DIGEST, key=("a",), columns={})
    new = Recorded(digest=DIGEST, key=("a", "b"), columns={})
    assert breaking_changes(Layer.CURATED, old, new) == ["the key was (a) and is (a, b)"]


@pytest.mark.parametrize("content", ["[", "orders: {1.0.0: {digest: short, columns: {}}}", "orders: 3", "- a"])
def test_a_lock_that_cannot_be_read_is_a_problem_and_stays_as_it_is(project: Project, content: str) -> None:
    file = versions.lock_file(project.root)
    file.write_text(content, encoding="utf-8")
    report = lint(project.root, record=True)
    assert report.problems
    assert {problem.file.name for problem in report.problems} == {versions.FILE}
    assert file.read_text(encoding="utf-8") == content


def test_a_digest_of_digits_alone_survives_being_written_as_yaml(tmp_path: Path) -> None:
    file = tmp_path / versions.FILE
    lock = {"on": {"1.0.0": Recorded(digest="1" * 64, key=("null",), columns={"yes": ColumnShape(type="text")})}}
    versions.record(file, lock, [])
    assert versions.read_lock(file) == (lock, [])
    assert isinstance(yaml.safe_load(file.read_text(encoding="utf-8"))["on"], dict)
