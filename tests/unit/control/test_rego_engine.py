"""The engine in a child: whatever happens to it, a decision is right, or a refusal in time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from tests.unit.control.conftest import POLICIES

from interlock.control import rego
from interlock.control.cases import Case
from interlock.control.decisions import Decision, PolicyUnavailable
from interlock.control.policy import Policy
from interlock.control.questions import Question
from interlock.control.rego import RegoEngine

FINE = {
    "allow": True, "outcome": "execute", "approvals_required": 0, "approvals_counted": 0, "obligations": [],
    "caps": {"partitions": 1, "approval_hours": 1}, "reasons": [{"code": "fine", "message": "Fine."}],
}  # fmt: skip
# What a policy may do wrong when the actor is called so; it is fine otherwise.
MODULE = f"""package interlock.actions

decision := {json.dumps(FINE)} if input.actor.name != "bad"

decision := wrong if input.actor.name == "bad"

"""
NEVER_ENDS = "wrong := count([1 | some i in numbers.range(1, 100000000); i > 0])\n"
WRONG = {
    "undefined": ('wrong := 1 if input.actor.name == "other"\n', "undefined"),
    "a word": ('wrong := "yes"\n', "makes no sense"),
    "true": ("wrong := true\n", "makes no sense"),
    "a contradiction": (f"wrong := {json.dumps(FINE | {'outcome': 'refuse'})}\n", "makes no sense"),
    "no approvals where some are needed": (f"wrong := {json.dumps(FINE | {'approvals_required': 1})}\n", "no sense"),
    "too many approvals": (f"wrong := {json.dumps(FINE | {'approvals_required': 3})}\n", "makes no sense"),
    "a word for a truth": (f"wrong := {json.dumps(FINE | {'allow': 'true'})}\n", "makes no sense"),
    "a number for a truth": (f"wrong := {json.dumps(FINE | {'allow': 1})}\n", "makes no sense"),
    "more than is known": (f"wrong := {json.dumps(FINE | {'also': 1})}\n", "makes no sense"),
    "no caps": (f"wrong := {json.dumps(FINE | {'caps': {}})}\n", "makes no sense"),
    "no reasons": (f"wrong := {json.dumps(FINE | {'reasons': []})}\n", "makes no sense"),
    "an error": ("wrong := lower(input.time)\n", "could not be evaluated"),
    "two answers": ("wrong := 1\n\nwrong := 2\n", "could not be evaluated"),
}


@pytest.fixture
def asked(cases: dict[str, Case]) -> Callable[[Policy, str], Decision]:
    def ask(policy: Policy, name: str = "good") -> Decision:
        document = cases["a person quarantines without anybody else"].document
        document = document | {"actor": document["actor"] | {"name": name}}
        return policy.decide(Question.model_validate_json(json.dumps(document)))

    return ask


def child_of(engine: RegoEngine) -> int:
    return int(engine._child._process.pid)


@pytest.mark.parametrize("wrong", WRONG)
def test_an_answer_that_makes_no_sense_is_a_refusal(wrong: str, written: Any, asked: Any):
    text, said = WRONG[wrong]
    bundle = written(MODULE + text)
    with Policy(bundle, RegoEngine(bundle)) as policy:
        decision = asked(policy, "bad")
        assert asked(policy).allow
    assert (decision.allow, decision.outcome) == (False, "refuse")
    assert said in decision.failure
    assert [reason.code for reason in decision.reasons] == ["policy_unavailable"]


def test_an_evaluation_that_does_not_end_is_killed_at_the_deadline_and_the_child_replaced(written: Any, asked: Any):
    bundle = written(MODULE + NEVER_ENDS)
    with Policy(bundle, engine := RegoEngine(bundle, seconds=0.4, memory_mb=8192)) as policy:
        engine.start()
        hung = child_of(engine)
        began = time.monotonic()
        decision = asked(policy, "bad")
        assert time.monotonic() - began < 2
        assert "in time" in decision.failure
        assert not psutil.pid_exists(hung)
        assert asked(policy).allow


def test_a_child_that_wants_more_memory_than_it_may_have_is_no_decision(written: Any, asked: Any):
    bundle = written(MODULE + NEVER_ENDS)
    with Policy(bundle, engine := RegoEngine(bundle, seconds=20, memory_mb=128)) as policy:
        engine.start()
        decision = asked(policy, "bad")
        assert "crashed" in decision.failure or "could not be evaluated" in decision.failure
        assert asked(policy).allow


def test_a_child_that_is_killed_in_the_middle_of_a_decision_is_a_refusal_and_is_replaced(written: Any, asked: Any):
    bundle = written(MODULE + NEVER_ENDS)
    with Policy(bundle, engine := RegoEngine(bundle, seconds=20, memory_mb=8192)) as policy:
        engine.start()
        killer = threading.Timer(0.2, os.kill, [child_of(engine), signal.SIGSEGV])
        killer.start()
        decision = asked(policy, "bad")
        killer.join()
        assert "crashed (exit code -11)" in decision.failure
        assert asked(policy).allow


def test_a_child_that_died_between_two_decisions_is_replaced_without_anybody_noticing(policy: Policy, asked: Any):
    assert asked(policy, "ann").allow
    os.kill(child_of(policy.engine), signal.SIGKILL)
    psutil.wait_procs([psutil.Process(child_of(policy.engine))], timeout=5)
    assert asked(policy, "ann").allow


def test_a_module_that_crashes_the_compiler_is_a_refusal(written: Any, asked: Any):
    # rego-cpp 1.5.2 ends with a segmentation fault here.
    crash = "package interlock.actions\n\nf(x) := 1\n\nf(x, y) := 2\n\ndecision := f(1)\n"
    bundle = written(crash)
    with Policy(bundle, RegoEngine(bundle)) as policy:
        assert not asked(policy).allow


@pytest.fixture
def forgery(cases: dict[str, Case]) -> dict[str, Any]:
    """The engine prints strings as they are: this name would end its sentence, and make the answer `execute`."""
    name = 'q"}],"outcome":"execute","allow":true,"approvals_required":0,"reasons":[{"code":"fine","message":"x'
    document = cases["a rule approves nothing"].document
    actor = document["approvals"][0]["actor"] | {"name": name}
    return document | {"approvals": [{"actor": actor, "at": 1369999995}]}


def test_a_string_that_would_forge_the_answer_never_reaches_the_engine(policy: Policy, forgery: dict[str, Any]):
    with pytest.raises(PolicyUnavailable, match="quotes"):
        policy.answer(forgery)


def test_an_answer_that_says_two_things_says_none(
    policy: Policy, forgery: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(rego, "_refuse_forgery", lambda document: None)
    with pytest.raises(PolicyUnavailable, match="not one value"):
        policy.answer(forgery)


def test_many_threads_get_their_own_answers(policy: Policy, cases: dict[str, Case]):
    chosen = list(cases.values())[:40]
    wrong = []

    def ask(mine: list[Case]) -> None:
        wrong.extend(case.name for case in mine if case.expect.differences(policy.answer(case.document)))

    threads = [threading.Thread(target=ask, args=[chosen[number::4] * 2]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_fork_has_a_child_of_its_own_and_leaves_its_parents_alone():
    """As Airflow does it: a process with a warm engine forks, and both ask."""
    script = f"""
import os, sys
from pathlib import Path
from interlock.control.bundles import load_bundle
from interlock.control.rego import RegoEngine
engine = RegoEngine(load_bundle(Path({str(POLICIES)!r})))
engine.start()
own = engine._child._process.pid
answers = [engine.evaluate({{}})["outcome"]]
forked = os.fork()
if not forked:
    is_fine = engine.evaluate({{}})["outcome"] == "refuse" and engine._child._process.pid != own
    del engine
    sys.exit(0 if is_fine else 1)
status = os.waitpid(forked, 0)[1]
answers.append(engine.evaluate({{}})["outcome"])
print(answers, status, engine._child._process.pid == own, own)
"""
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    *told, own = ended.stdout.split()
    assert (told, ended.stderr) == (["['refuse',", "'refuse']", "0", "True"], "")
    assert not psutil.pid_exists(int(own))  # and it went with its parent
