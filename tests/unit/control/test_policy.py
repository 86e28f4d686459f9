"""What the shipped policy decides, and that what is missing never permits more."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from interlock.control.bundles import Bundle
from interlock.control.cases import Case, Verdict, run_cases
from interlock.control.decisions import Engine, Outcome, PolicyInvalid, PolicyUnavailable
from interlock.control.policy import Policy, require_usable
from interlock.control.questions import Question
from interlock.control.rego import RegoEngine


def paths(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every key of every mapping."""
    for key, held in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        if isinstance(value, dict):
            yield (*above, key)
        # Of like things in a list the first stands for all.
        yield from paths(held, (*above, key)) if key not in range(1, 99) else ()


def without(value: Any, path: tuple[Any, ...]) -> Any:
    left = copy.deepcopy(value)
    place = left
    for part in path[:-1]:
        place = place[part]
    del place[path[-1]]
    return left


def permissiveness(policy: Policy, document: Any) -> int:
    """0 refused, 1 and 2 waiting for two people and for one, 3 carried out."""
    try:
        answer = policy.answer(document)
    except PolicyUnavailable:
        return 0
    match answer.outcome:
        case Outcome.EXECUTE:
            return 3
        case Outcome.AWAIT_APPROVALS:
            return 3 - answer.approvals_required
        case _:
            return 0


@pytest.fixture(scope="session")
def verdicts(policy: Policy, cases: dict[str, Case]) -> list[Verdict]:
    """What comes of every case."""
    return list(run_cases(policy, list(cases.values())))


@pytest.fixture(scope="session")
def not_carried_out(policy: Policy, verdicts: list[Verdict]) -> list[tuple[Case, int]]:
    """One case for each set of reasons that keeps something from being done at once, and how far it got."""
    found = {}
    for verdict in verdicts:
        reasons = frozenset(reason.code for reason in verdict.answer.reasons)
        if not verdict.answer.allow:
            found.setdefault(reasons, (verdict.case, permissiveness(policy, verdict.case.document)))
    return list(found.values())


def test_every_case_gets_the_answer_that_it_expects(verdicts: list[Verdict]):
    assert {verdict.case.name: verdict.differences for verdict in verdicts if verdict.differences} == {}


def test_a_missing_field_never_permits_more(policy: Policy, not_carried_out: list[tuple[Case, int]]):
    more = [
        (case.name, path)
        for case, permitted in not_carried_out
        for path in paths(case.document)
        if permissiveness(policy, without(case.document, path)) > permitted
    ]
    assert more == []


def test_where_a_number_is_missing_or_none_nothing_is_decided(bundle: Bundle, cases: dict[str, Case]):
    document = cases["a recalled version that is served is quarantined by itself"].document
    limits = bundle.data["interlock"]["limits"]
    poorer = [{key: value for key, value in limits.items() if key != name} for name in limits]
    poorer += [limits | {"partitions_without_person": "20"}, {}]
    for left in poorer:
        other = bundle.model_copy(update={"data": {"interlock": {"limits": left}}})
        with Policy(other, RegoEngine(other, seconds=10)) as policy:
            answer = policy.answer(document)
        assert (answer.outcome, answer.reasons[0].code) == (Outcome.REFUSE, "misconfigured"), left


@pytest.mark.parametrize("document", [{}, {"action": {"kind": "quarantine_partition"}}, [], None])
def test_a_question_that_says_nothing_is_refused(policy: Policy, document: Any):
    assert permissiveness(policy, document) == 0


def test_every_case_but_those_with_unheard_of_values_is_a_question(cases: dict[str, Case]):
    unheard_of = {"tremendous", "robot"}
    for case in cases.values():
        said = {case.document["actor"]["kind"], case.document["blast_radius"]["criticality"]}
        if said & unheard_of:
            with pytest.raises(ValidationError):
                ask(case)
        else:
            assert ask(case).document() == case.document


def test_a_decision_names_the_engine_and_the_revision(policy: Policy, bundle: Bundle, cases: dict[str, Case]):
    decision = policy.decide(ask(cases["a recalled version that is served is quarantined by itself"]))
    assert decision.allow
    assert (decision.revision, decision.engine, decision.failure) == (bundle.revision, "rego", None)
    assert decision.caps.partitions == 4


def test_what_people_write_reaches_the_engine_without_quotes_and_control_characters(
    policy: Policy, cases: dict[str, Case]
):
    document = cases["a person quarantines without anybody else"].document
    said = document | {"action": document["action"] | {"rationale": 'It said "bad"\nand \\ worse.'}}
    assert policy.decide(ask_document(said)).allow


@pytest.mark.parametrize("name", ['dash"board', "dash\\board", "dash\nboard", "", "dash\u2028board"])
def test_a_name_with_quotes_or_control_characters_is_no_question(cases: dict[str, Case], name: str):
    document = cases["a person quarantines without anybody else"].document
    with pytest.raises(ValidationError):
        ask_document(document | {"blast_radius": document["blast_radius"] | {"consumers": [name]}})


def test_the_shipped_policy_lets_people_replace_it(bundle: Bundle):
    require_usable(bundle)


def test_a_policy_that_people_could_never_replace_may_not_become_active(bundle: Bundle):
    kinds = bundle.modules["interlock/actions/kinds.rego"].replace("activate_policy", "put_policy")
    locked = bundle.model_copy(update={"modules": bundle.modules | {"interlock/actions/kinds.rego": kinds}})
    with pytest.raises(PolicyInvalid, match="could never be replaced"):
        require_usable(locked)


def test_a_policy_that_does_not_compile_may_not_become_active(written: Callable[..., Bundle]):
    with pytest.raises(PolicyInvalid, match=r"decision\.rego:4"):
        require_usable(written('package interlock.actions\n\ndecision := {"a": 1} if {\n\tinput.a == \n}\n'))


def test_an_engine_that_fails_in_a_way_that_nobody_foresaw_refuses(bundle: Bundle, cases: dict[str, Case]):
    class Broken:
        name = Engine.REGO

        def evaluate(self, document: Any) -> Any:
            raise ZeroDivisionError("never thought of")

        def close(self) -> None:
            pass

    decision = Policy(bundle, Broken()).decide(ask(cases["as wide as the limit is still narrow"]))
    assert (decision.allow, decision.failure) == (
        False,
        "The policy engine failed: ZeroDivisionError: never thought of",
    )


def ask(case: Case) -> Question:
    return ask_document(case.document)


def ask_document(document: dict[str, Any]) -> Question:
    return Question.model_validate_json(json.dumps(document))
