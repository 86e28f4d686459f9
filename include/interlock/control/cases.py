"""The policy's own tests: questions with the answers that they must get, as files beside the rules.

`cases/bases.yaml` has whole questions; every other file has one list, under the file's name, of cases that change one.
A case says what it expects and no more: `outcome`, `approvals_required` and `approvals_counted` are compared, the codes
in `because` and `obligations` must be among those of the answer. Any engine can be asked them, and `opa test` runs them
too (interlock/actions/decision_test.rego).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from interlock.contracts.documents import read_yaml
from interlock.control.bundles import CASES, BundleInvalid, PolicyProblem, policies_dir
from interlock.control.decisions import Answer, Outcome
from interlock.control.policy import Policy

BASES = "bases"


class Expected(BaseModel):
    """What an answer must say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    outcome: Outcome
    approvals_required: int | None = None
    approvals_counted: int | None = None
    because: tuple[str, ...] = ()
    obligations: tuple[str, ...] = ()

    def differences(self, answer: Answer) -> list[str]:
        """What the answer says otherwise."""
        found = []
        for name in ("outcome", "approvals_required", "approvals_counted"):
            wanted, got = getattr(self, name), getattr(answer, name)
            if wanted is not None and wanted != got:
                found.append(f"{name} is {got}, not {wanted}")
        reasons = {reason.code for reason in answer.reasons}
        found += [f"{code} is none of its reasons" for code in self.because if code not in reasons]
        obliged = {obligation.code for obligation in answer.obligations}
        found += [f"{code} is none of its obligations" for code in self.obligations if code not in obliged]
        return found


class Case(BaseModel):
    """One question and what must come of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: str
    name: str
    document: dict[str, Any]
    expect: Expected


class Verdict(BaseModel):
    """What came of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    case: Case
    answer: Answer
    differences: list[str]


def load_cases(folder: Path | None = None) -> list[Case]:
    """The cases beside a bundle. Raises BundleInvalid: a case that nobody runs is worse than none."""
    root = (folder or policies_dir()) / CASES
    try:
        found = list(_cases(root))
    except (ValueError, OSError) as error:
        raise BundleInvalid((PolicyProblem(file=str(root), line=1, found=str(error)),)) from error
    repeated = [name for name, times in Counter(case.name for case in found).items() if times > 1]
    if repeated or not found:
        said = f"these cases stand there twice: {', '.join(repeated)}" if repeated else "there is no case"
        raise BundleInvalid((PolicyProblem(file=str(root), line=1, found=said),))
    return found


def run_cases(policy: Policy, cases: list[Case]) -> Iterator[Verdict]:
    """Ask them all. Raises PolicyUnavailable at the first that gets no answer."""
    for case in cases:
        answer = policy.answer(case.document)
        yield Verdict(case=case, answer=answer, differences=case.expect.differences(answer))


def changed(base: Any, change: Any) -> Any:
    """The base with what the change says put over it, mapping by mapping; lists are replaced."""
    if isinstance(base, dict) and isinstance(change, dict):
        return base | {key: changed(base.get(key), value) for key, value in change.items()}
    return change


def _cases(root: Path) -> Iterator[Case]:
    bases = _mapping(root / f"{BASES}.yaml", BASES)
    for file in sorted(root.glob("*.yaml")):
        if file.stem == BASES:
            continue
        listed = _only(file)
        if not isinstance(listed, list):
            raise ValueError(f"{file.name}: there is no list under {file.stem}")
        for item in listed:
            try:
                document = changed(bases[item["base"]], item["change"])
                yield Case(topic=file.stem, name=item["name"], document=document, expect=item["expect"])
            except (KeyError, TypeError, ValidationError) as error:
                raise ValueError(f"{file.name}: a case does not have name, base, change and expect: {error}") from error


def _mapping(file: Path, what: str) -> dict[str, Any]:
    held = _only(file)
    if not isinstance(held, dict):
        raise ValueError(f"{file.name}: there is no mapping under {what}")
    return held


def _only(file: Path) -> Any:
    """What a file holds under its own name, and it holds nothing else: `opa test` puts all files into one document."""
    held = read_yaml(file)
    if not isinstance(held, dict) or list(held) != [file.stem]:
        raise ValueError(f"{file.name}: its one key at the top is {file.stem}")
    return held[file.stem]
