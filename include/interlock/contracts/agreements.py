"""What must agree between contracts, and between them and the models, the landing folder and the domains.

Where two places say the same, they will one day say different things; each rule here reads both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from interlock.contracts.checks import Check, CheckKind
from interlock.contracts.clauses import PREFIX
from interlock.contracts.dbt_properties import DbtProject, Described
from interlock.contracts.documents import read_yaml
from interlock.contracts.loading import expectations_file, suggestion
from interlock.contracts.model import Contract, Grain, Layer
from interlock.contracts.physical_types import canonical_type
from interlock.contracts.problems import ContractProblem, Findings

# What a landing pattern's tokens stand for in a file's name, and one example of each.
DAY = (r"\d{4}-\d\d-\d\d", "2013-01-05")
LANDING_TOKENS = {"partition": DAY, "delivered": DAY, "sequence": (r"\d+", "1")}
LANDING_TOKEN = re.compile(rf"\{{({'|'.join(LANDING_TOKENS)})\}}")
# What the platform adds to the rows of accepted loads, so that whoever reads a feed may measure it.
ADDED_TO_LOADS = ("_load_id", "_loaded_at", "_source_file", "_row_number", "_partition", "_delivered_on", "_sequence")


@dataclass(frozen=True)
class Checkout:
    """Everything that lint looks at, read once. `unreadable` are datasets whose own problems are told already."""

    root: Path
    contracts: Mapping[str, Contract]
    checks: Mapping[str, tuple[Check, ...]]
    unreadable: frozenset[str]
    dbt: DbtProject = field(repr=False)

    def is_known(self, dataset: str) -> bool:
        """Whether there is a contract of that name, readable or not."""
        return dataset in self.contracts or dataset in self.unreadable


Rule = Callable[[Checkout], Iterator[ContractProblem]]


def references(checkout: Checkout) -> Iterator[ContractProblem]:
    """Every dataset and column that a check names exists, and a dataset that it is compared with has its partitions."""
    for contract in checkout.contracts.values():
        own, beyond = Findings(contract.path), Findings(expectations_file(contract.path))
        for check in checkout.checks[contract.dataset]:
            findings = beyond if check.source.startswith("expectations[") else own
            for name in check.columns:
                _require_column(contract, name, check.source, findings)
            if "dataset" in check.arguments:
                _refer(checkout, contract, check, findings)
        yield from own.problems
        yield from beyond.problems


def copies(checkout: Checkout) -> Iterator[ContractProblem]:
    """Where copies of rows may come, whoever reads the feed says which is kept: or all of them would be read."""
    kept = {
        str(check.arguments["dataset"])
        for checks in checkout.checks.values()
        for check in checks
        if "deduplicated" in check.arguments
    }
    for contract in checkout.contracts.values():
        if contract.delivery is not None and contract.delivery.repeats is not None and contract.dataset not in kept:
            findings = Findings(contract.path)
            told = f"{contract.dataset} may hold copies of rows, and nothing that reads it keeps one of each"
            fix = "Add `deduplicated` where its rows are accounted for, and the macro of that name to the model."
            findings.add(f"customProperties[{PREFIX}delivery].repeats", told, fix)
            yield from findings.problems


def inputs(checkout: Checkout) -> Iterator[ContractProblem]:
    """Declared inputs name datasets, and their mapping fits both grains."""
    for contract in checkout.contracts.values():
        findings = Findings(contract.path)
        for number, item in enumerate(contract.inputs):
            where = f"customProperties[{PREFIX}inputs][{number}]"
            if contract.layer is Layer.RAW:
                findings.add(where, "a feed is delivered and reads no dataset", "Remove interlock.inputs.")
                continue
            if not checkout.is_known(item.dataset):
                _unknown(checkout, item.dataset, f"{where}.dataset", findings)
                continue
            if item.dataset == contract.dataset:
                findings.add(f"{where}.dataset", "a dataset is no input of itself", "Remove the entry.")
            if (item.mapping == "window") != (item.lookback > 0):
                told = f"mapping {item.mapping} with a lookback of {item.lookback}"
                findings.add(where, told, "A window looks back at least one day, and nothing else looks back.")
            other = checkout.contracts.get(item.dataset)
            if other is not None and item.mapping != "all":
                _require_days(contract, other, item.mapping, where, findings)
        yield from findings.problems


def landing_patterns(checkout: Checkout) -> Iterator[ContractProblem]:
    """No file name could be two feeds' delivery: a file in the wrong folder would be taken for the other feed."""
    feeds = [contract for contract in checkout.contracts.values() if contract.delivery is not None]
    for one, other in combinations(feeds, 2):
        ours, theirs = (contract.delivery.landing for contract in (one, other) if contract.delivery)
        if _is_match(ours, theirs) or _is_match(theirs, ours):
            findings = Findings(other.path)
            told = f"{theirs!r} could be a delivery of {one.dataset} too ({ours!r})"
            fix = f"Begin the name with the feed's, for example {other.dataset}_."
            findings.add(f"customProperties[{PREFIX}delivery].landing", told, fix)
            yield from findings.problems


def models(checkout: Checkout) -> Iterator[ContractProblem]:
    """Staged and curated contracts have a model with the same columns and types, and every such model a contract."""
    for contract in checkout.contracts.values():
        if contract.layer is Layer.RAW:
            continue
        described = checkout.dbt.models.get(contract.dataset)
        if contract.dataset not in checkout.dbt.model_files:
            findings = Findings(contract.path)
            folder = "staging" if contract.layer is Layer.STAGED else "marts"
            told = f"there is no model {contract.dataset}"
            fix = f"Write dbt_project/models/{folder}/{contract.domain}/{contract.dataset}.sql, or remove the contract."
            findings.add("schema[0].name", told, fix)
            yield from findings.problems
        elif described is None:
            findings = Findings(checkout.dbt.model_files[contract.dataset])
            findings.add(
                "-", f"no property file describes {contract.dataset}", "List its columns with their data_type."
            )
            yield from findings.problems
        else:
            yield from _column_drift(contract, described)
    for name, file in sorted(checkout.dbt.model_files.items()):
        if not checkout.is_known(name):
            findings = Findings(file)
            told = f"the model {name} has no contract"
            findings.add("-", told, f"Write include/contracts/{file.parent.name}/{name}.yaml, or make it ephemeral.")
            yield from findings.problems


def sources(checkout: Checkout) -> Iterator[ContractProblem]:
    """Every feed is a source of dbt, under the names that the platform gives it, and every source a feed."""
    for contract in checkout.contracts.values():
        if contract.layer is not Layer.RAW:
            continue
        described = checkout.dbt.sources.get(contract.dataset)
        if described is None:
            findings = Findings(contract.path)
            fix = f"Add a table {contract.dataset} to the sources of dbt_project/models/staging/{contract.domain}."
            findings.add("schema[0].name", f"dbt has no source {contract.dataset}", fix)
            yield from findings.problems
            continue
        findings = Findings(described.file)
        wanted = {"schema": contract.physical_schema, "identifier": f"{contract.dataset}_accepted"}
        for key, name in wanted.items():
            if described.given.get(key) != name:
                told = f"{contract.dataset}: {key} is {described.given.get(key)!r}"
                findings.add(f"{described.where}.{key}", told, f"Write {key}: {name}; the view of accepted rows.")
        for name in described.columns:
            if contract.column(name) is None and not name.startswith("_"):
                told = f"{contract.dataset} has no column {name}"
                findings.add(f"{described.where}.columns", told, "Remove it, or add it to the contract.")
        yield from findings.problems
    for name, described in sorted(checkout.dbt.sources.items()):
        if not checkout.is_known(name):
            findings = Findings(described.file)
            findings.add(described.where, f"the source {name} has no contract", "Write its raw contract, or remove it.")
            yield from findings.problems


def expectation_files(checkout: Checkout) -> Iterator[ContractProblem]:
    """Every expectations file lies beside a contract; one that does not is never run."""
    known = {expectations_file(contract.path) for contract in checkout.contracts.values()}
    for file in sorted((checkout.root / "expectations").rglob("*.y*ml")):
        if file not in known and file.stem not in checkout.unreadable:
            findings = Findings(file)
            told = "no contract has this domain and name, so nothing runs these expectations"
            findings.add("-", told, "Move it to expectations/<domain>/<dataset>.yaml, or remove it.")
            yield from findings.problems


def domains(checkout: Checkout) -> Iterator[ContractProblem]:
    """Every contract belongs to a domain of include/domains.yaml, which makes the pipelines."""
    file = checkout.root / "include" / "domains.yaml"
    if not file.exists():
        return
    findings = Findings(file)
    try:
        listed = read_yaml(file)
    except ValueError as error:
        findings.add("-", f"the file is no YAML that can be read: {error}", "Mend the syntax.")
        yield from findings.problems
        return
    for contract in checkout.contracts.values():
        if not isinstance(listed, dict) or contract.domain not in listed:
            lost = Findings(contract.path)
            told = f"{contract.domain} is no domain of include/domains.yaml, so no pipeline runs it"
            lost.add("domain", told, "Add the domain there, with its schedule.")
            yield from lost.problems


RULES: tuple[Rule, ...] = (references, copies, inputs, landing_patterns, models, sources, expectation_files, domains)


def _require_column(contract: Contract, name: str, where: str, findings: Findings) -> None:
    plain = name
    if contract.layer is Layer.RAW and contract.column(name) is None:
        if name in ADDED_TO_LOADS:
            return
        plain = name.removesuffix("__typed")
    if contract.column(plain) is None:
        columns = [column.name for column in contract.columns]
        findings.add(where, f"{contract.dataset} has no column {name}", suggestion(plain, columns))


def _refer(checkout: Checkout, contract: Contract, check: Check, findings: Findings) -> None:
    name = str(check.arguments["dataset"])
    if not checkout.is_known(name):
        _unknown(checkout, name, check.source, findings)
        return
    other = checkout.contracts.get(name)
    if other is None:
        return
    if check.kind is CheckKind.RECONCILES:
        against = check.arguments.get("against") or check.arguments.get("measure", "row_count")
        for column in against.values() if isinstance(against, dict) else ():
            _require_column(other, column, check.source, findings)
        if contract.partition.grain is Grain.DAY and other.partition.grain is Grain.ALL:
            told = f"{name} has the one partition `all`: no part of it corresponds to a day"
            findings.add(check.source, told, "Reconcile with a dataset that has days.")
        return
    if check.kind is CheckKind.ACCOUNTS:
        for column in check.arguments["by"].values():
            _require_column(other, column, check.source, findings)
        if contract.partition.grain is not other.partition.grain:
            told = f"{name} has the grain {other.partition.grain}: its rows are not those of one partition here"
            findings.add(check.source, told, "Account for a dataset of the same grain.")
        if "deduplicated" in check.arguments:
            _require_total_order(other, check, findings)
        return
    theirs: Sequence[Any] = check.arguments["columns"]
    for column in theirs:
        _require_column(other, str(column), check.source, findings)
    if len(theirs) != len(check.columns):
        told = f"{len(check.columns)} columns refer to {len(theirs)}"
        findings.add(check.source, told, "Name as many columns in `from` as in `to`, in the same order.")


def _require_total_order(other: Contract, check: Check, findings: Findings) -> None:
    """Key and order tell every two rows of a delivery apart, or different rows would be merged without a word."""
    rule = check.arguments["deduplicated"]
    named = [*rule["key"], *(item["column"] for item in rule.get("keep", ()))]
    for column in named:
        _require_column(other, column, check.source, findings)
    if other.layer is not Layer.RAW and not rule.get("keep"):
        told = f"nothing says which row of {other.dataset} is kept of those with one key"
        findings.add(check.source, told, "Give `keep`, the columns that decide, such as the newest date.")
    elif missing := [column for column in other.primary_key if column not in named]:
        told = (
            f"two rows of {other.dataset} that differ in {', '.join(missing)} may share the key, and one would be lost"
        )
        findings.add(check.source, told, "Put the columns of its primary key into `key` or `keep`.")
    elif other.layer is Layer.RAW and not other.primary_key:
        told = f"{other.dataset} has no primary key, so different rows of one delivery may share the key"
        findings.add(check.source, told, "Give the feed a primary key: its gate then stops them.")


def _unknown(checkout: Checkout, name: str, where: str, findings: Findings) -> None:
    told = f"there is no dataset {name!r}" if name else "it names no dataset"
    fix = suggestion(name, checkout.contracts) if name else "Write dataset.column."
    findings.add(where, told, fix)


def _require_days(contract: Contract, other: Contract, mapping: str, where: str, findings: Findings) -> None:
    grains = (contract.partition.grain, other.partition.grain)
    fits = grains == (Grain.DAY, Grain.DAY) or (mapping == "same" and grains[0] is grains[1])
    if not fits:
        told = f"mapping {mapping}, but {contract.dataset} has the grain {grains[0]} and {other.dataset} {grains[1]}"
        findings.add(f"{where}.mapping", told, "Use the mapping `all`.")


def _is_match(pattern: str, other: str) -> bool:
    """Whether a name that the other pattern makes fits this one."""
    parts = LANDING_TOKEN.split(pattern.removesuffix(".gz"))
    fits = "".join(LANDING_TOKENS[part][0] if place % 2 else re.escape(part) for place, part in enumerate(parts))
    name = LANDING_TOKEN.sub(lambda token: LANDING_TOKENS[token[1]][1], other.removesuffix(".gz"))
    return re.fullmatch(fits, name) is not None


def _column_drift(contract: Contract, described: Described) -> Iterator[ContractProblem]:
    findings = Findings(described.file)
    where, shown = f"{described.where}.columns", contract.dataset
    for column in contract.columns:
        if column.name not in described.columns:
            fix = f"Add it with data_type: {column.physical_type}, or take it out of {contract.path.name}."
            findings.add(where, f"{shown} lacks the column {column.name} of its contract", fix)
            continue
        said = described.columns[column.name]
        if said is None:
            told = f"{shown}.{column.name} has no data_type"
            findings.add(where, told, f"Write data_type: {column.physical_type}.")
        elif (canonical_type(said) or said.lower()) != (canonical_type(column.physical_type) or column.physical_type):
            told = f"{shown}.{column.name} is {said} here and {column.physical_type} in its contract"
            findings.add(where, told, "Make both say the same, and raise the contract's version if it changes.")
    for name in described.columns:
        if contract.column(name) is None:
            told = f"{shown} has a column {name} that its contract does not have"
            findings.add(where, told, f"Add it to {contract.path.name}, or take it out of the model.")
    yield from findings.problems
