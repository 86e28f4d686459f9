"""Every problem of every contract at once, each with its place and its fix.

What is looked at: the standard's own schema and ours (`loading`), what a contract says on its own (`declarations`),
what must agree with other contracts, dbt's models and the landing folder (`agreements`), and versions (`versions`).

A clause has a check that will run, or it is a problem. Prose (`type: text`) is the one exception, and only where it
says aloud that it binds nobody: `customProperties: [{property: interlock.informational, value: true}]` on the clause.
Of `slaProperties` only `latency` (or `freshness`) is checked, and there is no exception.

A broken file is one problem and keeps no other from being looked at. Nothing here needs dbt, GX or a database.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from interlock.contracts import agreements, declarations, versions
from interlock.contracts.agreements import Checkout
from interlock.contracts.dbt_properties import read_dbt_project
from interlock.contracts.loading import checks_of, read_contracts
from interlock.contracts.problems import ContractProblem, Findings
from interlock.settings import settings


class LintReport(BaseModel):
    """What was looked at, what is wrong, and which versions were recorded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    problems: tuple[ContractProblem, ...]
    contracts: int
    checks: int
    recorded: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def lint(root: Path | None = None, *, record: bool = False) -> LintReport:
    """All problems of a checkout, with files relative to it.

    With `record`, versions that are new are written to the lock, but only where nothing else is wrong: what is
    recorded can never be changed again.
    """
    project = root or settings().root
    checkout, problems = read_checkout(project)
    for contract in checkout.contracts.values():
        findings = Findings(contract.path)
        for rule in declarations.RULES:
            rule(contract, checkout.checks[contract.dataset], findings)
        problems += findings.problems
    for agreement in agreements.RULES:
        problems += agreement(checkout)
    found, recorded = _versions(checkout, record=record and not problems)
    problems += found
    return LintReport(
        problems=tuple(_relative(problems, project)),
        contracts=len(checkout.contracts) + len(checkout.unreadable),
        checks=sum(len(checks) for checks in checkout.checks.values()),
        recorded=recorded,
    )


def _versions(checkout: Checkout, *, record: bool) -> tuple[list[ContractProblem], tuple[str, ...]]:
    """What is wrong with the versions, and those that were recorded: new ones alone, and only if nothing is wrong."""
    contracts, file = checkout.contracts.values(), versions.lock_file(checkout.root)
    lock, problems = versions.read_lock(file)
    if problems:
        return problems, ()
    problems = list(versions.version_problems(contracts, lock))
    judged = {problem.file for problem in problems}
    new = [contract for contract in versions.unrecorded(contracts, lock) if contract.path not in judged]
    if record and not problems:
        versions.record(file, lock, new)
        return [], tuple(f"{contract.dataset} {contract.version}" for contract in new)
    for contract in new:
        findings = Findings(contract.path)
        told = f"version {contract.version} is not recorded in {versions.FILE}"
        findings.add("version", told, "Run `interlock contract lint --record` and commit the file.")
        problems += findings.problems
    return problems, ()


def read_checkout(project: Path) -> tuple[Checkout, list[ContractProblem]]:
    """Everything that is looked at, with the problems that kept parts of it from being read."""
    folder = project / "include" / "contracts"
    contracts, problems = read_contracts(folder)
    dbt = read_dbt_project(project)
    checkout = Checkout(
        root=project,
        contracts=contracts,
        checks={dataset: checks_of(contract) for dataset, contract in contracts.items()},
        unreadable=frozenset(file.stem for file in folder.glob("*/*.yaml")) - contracts.keys(),
        dbt=dbt,
    )
    return checkout, [*problems, *dbt.problems, *_misplaced(folder)]


def _misplaced(folder: Path) -> Iterable[ContractProblem]:
    """Files that look like contracts and are never read."""
    for file in sorted(folder.rglob("*.y*ml")):
        if file.suffix != ".yaml" or file.parent.parent != folder:
            findings = Findings(file)
            fix = "Contracts are include/contracts/<domain>/<dataset>.yaml: move or rename it."
            findings.add("-", "the file is in no domain's folder or does not end in .yaml, so nothing reads it", fix)
            yield from findings.problems


def _relative(problems: Iterable[ContractProblem], project: Path) -> Iterable[ContractProblem]:
    for problem in dict.fromkeys(problems):
        inside = problem.file.is_relative_to(project)
        yield problem.model_copy(update={"file": problem.file.relative_to(project)}) if inside else problem
