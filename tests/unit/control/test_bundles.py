"""The bundle: one revision for one content on every machine, and everything wrong with it at once, with its place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.control.conftest import POLICIES

from interlock.control.bundles import Bundle, BundleInvalid, archive, bundle_of, load_bundle
from interlock.control.cases import load_cases
from interlock.control.decisions import PolicyInvalid
from interlock.control.rego import RegoEngine


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(POLICIES, tmp_path / "policies"))


def test_the_revision_depends_on_names_and_contents_alone(bundle: Bundle, copied: Path):
    for file in copied.rglob("*.rego"):
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
        os.utime(file, (1, 1))
    (copied / ".DS_Store").write_bytes(b"\xff")
    (copied / "interlock" / "actions" / "more_test.rego").write_text("package x\n")
    assert load_bundle(copied).revision == bundle.revision
    assert archive(load_bundle(copied)) == archive(bundle)


def test_another_number_is_another_revision(bundle: Bundle, copied: Path):
    limits = copied / "interlock" / "limits" / "data.yaml"
    limits.write_text(limits.read_text().replace("168", "169"))
    assert load_bundle(copied).revision != bundle.revision


def test_another_name_is_another_revision(bundle: Bundle, copied: Path):
    (copied / "interlock" / "actions" / "kinds.rego").rename(copied / "interlock" / "actions" / "sorts.rego")
    assert load_bundle(copied).revision != bundle.revision


def test_the_contents_alone_make_the_same_bundle(bundle: Bundle):
    assert bundle_of(bundle.revision, dict(reversed(bundle.contents.items()))) == bundle


def test_contents_that_are_not_those_of_their_revision_are_no_bundle(bundle: Bundle):
    limits = bundle.contents["interlock/limits/data.yaml"].replace("168", "169")
    with pytest.raises(PolicyInvalid, match="changed since"):
        bundle_of(bundle.revision, bundle.contents | {"interlock/limits/data.yaml": limits})


def test_everything_that_is_wrong_is_said_at_once(copied: Path):
    (copied / "interlock" / "limits" / "data.yaml").write_text("a: 1\nb: [\n")
    (copied / "interlock" / "limits.yaml").write_text("a: 1\n")
    (copied / "interlock" / "actions" / "kinds.rego").write_bytes(b"package \xff\n")
    with pytest.raises(BundleInvalid) as raised:
        load_bundle(copied)
    found = {problem.file: problem for problem in raised.value.problems}
    assert set(found) == {"interlock/limits/data.yaml", "interlock/limits.yaml", "interlock/actions/kinds.rego"}
    assert found["interlock/limits/data.yaml"].line > 1


def test_a_folder_without_rules_is_no_bundle(tmp_path: Path):
    with pytest.raises(BundleInvalid):
        load_bundle(tmp_path)


def test_rego_that_does_not_parse_is_named_with_its_line(written: Callable[..., Bundle]):
    bundle = written('package interlock.actions\n\ndecision := {"a": 1} if {\n\tinput.a == \n}\n')
    with pytest.raises(BundleInvalid) as raised:
        RegoEngine(bundle).start()
    (problem,) = raised.value.problems
    assert (problem.file, problem.line) == ("interlock/actions/decision.rego", 4)


@pytest.mark.parametrize(
    "broken",
    ["refusals: 3\n", "refusals: []\nmore: []\n", "refusals:\n  - {name: a}\n", "refusals: [\n"],
)
def test_cases_that_nobody_could_run_are_a_problem(copied: Path, broken: str):
    (copied / "cases" / "refusals.yaml").write_text(broken)
    with pytest.raises(BundleInvalid):
        load_cases(copied)


def test_a_case_that_stands_there_twice_is_a_problem(copied: Path):
    file = copied / "cases" / "refusals.yaml"
    file.write_text(file.read_text() + file.read_text().split("\n", 2)[2])
    with pytest.raises(BundleInvalid, match="twice"):
        load_cases(copied)
