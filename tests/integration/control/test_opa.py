"""A real OPA server and OPA's own tools agree with what decides in-process; skipped where there is no `opa`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.control.conftest import POLICIES, OpaServer

from interlock.control.bundles import Bundle
from interlock.control.cases import load_cases
from interlock.control.decisions import Answer, PolicyUnavailable
from interlock.control.opa import OpaEngine
from interlock.control.policy import Policy
from interlock.control.questions import Question
from interlock.control.rego import RegoEngine

pytestmark = pytest.mark.optional_in_ci
CASES = {case.name: case for case in load_cases(POLICIES)}
SPINS = """package interlock.actions

decision := count([1 | some i in numbers.range(1, 3000000); some j in numbers.range(1, 1000); i > j])
"""


def said(policy: Policy, document: Any) -> Answer | None:
    try:
        return policy.answer(document)
    except PolicyUnavailable:
        return None


def question(name: str) -> Question:
    return Question.model_validate_json(json.dumps(CASES[name].document))


def test_both_engines_give_every_case_the_answer_that_it_expects(bundle: Bundle, opa_server: OpaServer):
    with Policy(bundle, OpaEngine(bundle, opa_server.url)) as opa, Policy(bundle, RegoEngine(bundle)) as rego:
        for case in CASES.values():
            by_opa, by_rego = opa.answer(case.document), rego.answer(case.document)
            assert case.expect.differences(by_opa) == [], case.name
            assert by_opa == by_rego, case.name


def test_both_engines_agree_on_questions_with_something_missing(bundle: Bundle, opa_server: OpaServer):
    chosen = ("a recalled version that is served is quarantined by itself", "two others approve a waiver of ten days")
    with Policy(bundle, OpaEngine(bundle, opa_server.url)) as opa, Policy(bundle, RegoEngine(bundle)) as rego:
        for document in (CASES[name].document for name in chosen):
            for part, held in document.items():
                less = [{key: value for key, value in document.items() if key != part}]
                if isinstance(held, dict):
                    less += [document | {part: {k: v for k, v in held.items() if k != key}} for key in held]
                for left in less:
                    by_opa, by_rego = said(opa, left), said(rego, left)
                    assert (by_opa and by_opa.allow) == (by_rego and by_rego.allow), (part, left)


def test_a_decision_of_a_server_names_it(bundle: Bundle, opa_server: OpaServer):
    with Policy(bundle, OpaEngine(bundle, opa_server.url)) as policy:
        decision = policy.decide(question("a recalled version that is served is quarantined by itself"))
    assert (decision.allow, decision.engine, decision.revision) == (True, "opa", bundle.revision)


def test_a_server_that_decides_by_other_rules_is_refused(bundle: Bundle, opa_server: OpaServer):
    other = bundle.model_copy(update={"revision": "0" * 64})
    with Policy(other, OpaEngine(other, opa_server.url)) as policy:
        decision = policy.decide(question("a recalled version that is served is quarantined by itself"))
    assert not decision.allow
    assert "decides by" in decision.failure


def test_a_server_that_is_killed_in_the_middle_of_a_decision_is_a_refusal(
    bundle: Bundle, serve_opa: Callable[[Bundle], OpaServer]
):
    spinning = bundle.model_copy(update={"modules": {"interlock/actions/decision.rego": SPINS}})
    server = serve_opa(spinning)
    with Policy(spinning, OpaEngine(spinning, server.url, seconds=30)) as policy:
        killer = threading.Timer(0.3, os.kill, [server.process.pid, signal.SIGKILL])
        killer.start()
        decision = policy.decide(question("a recalled version that is served is quarantined by itself"))
        killer.join()
        after = policy.decide(question("a recalled version that is served is quarantined by itself"))
    assert "could not be asked" in decision.failure
    assert "could not be asked" in after.failure


@pytest.mark.parametrize("arguments", [["check", "--strict"], ["fmt", "--fail", "--list"]], ids=["check", "fmt"])
def test_opas_own_tools_have_nothing_to_say(opa: str, arguments: list[str]):
    ended = subprocess.run([opa, *arguments, str(POLICIES)], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_opa_test_runs_every_case(opa: str):
    arguments = ["test", "--timeout", "1m", "--format", "json", POLICIES]
    ended = subprocess.run([opa, *arguments], capture_output=True, text=True, check=False)
    (run,) = json.loads(ended.stdout)
    assert set(run["sub_results"]) == set(CASES)
    assert [name for name, result in run["sub_results"].items() if result.get("fail")] == []
    assert ended.returncode == 0
