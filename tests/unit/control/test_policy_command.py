"""`interlock policy`: what it prints, and the exit codes that scripts may rely on."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import pytest
from tests.unit.control.conftest import POLICIES
from typer.testing import CliRunner

from interlock.cli import app
from interlock.control.bundles import load_bundle
from interlock.control.cases import load_cases
from interlock.control.decisions import PolicyInvalid, PolicyUnavailable
from interlock.errors import Exit
from interlock.settings import settings


@pytest.fixture
def policies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of the test's own with the policies that ship."""
    folder = Path(shutil.copytree(POLICIES, tmp_path / "project" / "include" / "policies"))
    monkeypatch.setenv("INTERLOCK_ROOT", str(tmp_path / "project"))
    settings.cache_clear()
    return folder


def run(*arguments: str):
    return CliRunner().invoke(app, ["policy", *arguments])


def test_every_rule_that_refuses_or_demands_has_its_words():
    for module in load_bundle(POLICIES).modules.values():
        rules = module.count("\ndenials contains") + module.count("\ndemands contains")
        assert module.count("# title: ") >= rules


def test_cases_that_pass_exit_0(policies: Path):
    ended = run("test")
    assert ended.exit_code == Exit.OK
    number = len(load_cases(POLICIES))
    assert f"{number} of {number} cases pass" in ended.output.replace("\n", " ")


def test_a_case_that_fails_exits_1_and_says_what_differs(policies: Path):
    limits = policies / "interlock" / "limits" / "data.yaml"
    limits.write_text(limits.read_text().replace("partitions_without_person: 20", "partitions_without_person: 19"))
    ended = run("test", "--json")
    assert ended.exit_code == Exit.FAILED
    (failed,) = [case for case in json.loads(ended.output) if not case["passed"]]
    assert failed["case"] == "as wide as the limit is still narrow"
    assert failed["differences"] == ["outcome is await_approvals, not execute", "approvals_required is 1, not 0"]


def test_an_engine_that_cannot_be_asked_exits_5(policies: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("INTERLOCK_OPA_URL", "http://127.0.0.1:1")
    settings.cache_clear()
    error = run("test").exception
    assert isinstance(error, PolicyUnavailable)
    assert error.exit_code == Exit.COULD_NOT_ASK


def test_a_bundle_that_does_not_parse_exits_1_with_file_and_line(policies: Path):
    (policies / "interlock" / "actions" / "kinds.rego").write_text("package interlock.actions\n\nx := {\n")
    error = run("test").exception
    assert isinstance(error, PolicyInvalid)
    assert error.exit_code == Exit.FAILED
    assert "interlock/actions/kinds.rego:3" in str(error)


def test_the_bundle_is_written_with_its_revision(policies: Path, tmp_path: Path):
    ended = run("bundle", "--to", str(tmp_path / "bundle.tar.gz"))
    assert ended.exit_code == 0
    with tarfile.open(tmp_path / "bundle.tar.gz") as packed:
        manifest = json.load(packed.extractfile("/.manifest"))
    assert manifest == {"revision": load_bundle(policies).revision, "roots": ["interlock"], "rego_version": 1}
