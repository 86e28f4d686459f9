"""What one contract must get right on its own: names, types, keys, the wording of its clauses and its delivery.

Each rule takes a contract and adds what it finds; none stops another, and none needs to know another dataset.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from interlock.contracts.checks import Check, CheckKind, Scope, Severity
from interlock.contracts.clauses import INFORMATIONAL, PREFIX, SEVERITIES
from interlock.contracts.landing_names import judge_landing
from interlock.contracts.loading import PROPERTIES, expectations_file, expectations_of, suggestion
from interlock.contracts.model import Contract, Grain, Layer
from interlock.contracts.physical_types import canonical_type
from interlock.contracts.problems import Findings
from interlock.contracts.vocabulary import ABOUT_SINGLE_ROWS

Rule = Callable[[Contract, Sequence[Check], Findings], None]

DATASET_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
COLUMN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,54}")
RESERVED = re.compile(r".*__typed")
NESTED = ("object", "array", "map", "vector")
# The `interlock.*` properties that stand elsewhere than on the contract itself, by the list that they stand in.
INNER_PROPERTIES: Mapping[str, tuple[str, ...]] = {
    "quality": (INFORMATIONAL,),
    "relationships": ("severity", "share"),
    "properties": ("severity",),
}


def names(contract: Contract, _checks: Sequence[Check], findings: Findings) -> None:
    """Names that PostgreSQL and the gate can use, each only once."""
    for where, name in (("schema[0].name", contract.dataset), ("domain", contract.domain)):
        if not DATASET_NAME.fullmatch(name):
            findings.add(where, f"{name!r} is no name", "Use at most 40 lower-case letters, digits and underscores.")
    times = Counter(column.name for column in contract.columns)
    for number, column in enumerate(contract.columns):
        where = f"schema[0].properties[{number}].name"
        if not COLUMN_NAME.fullmatch(column.name) or RESERVED.fullmatch(column.name):
            fix = "Begin with a letter; use letters, digits and underscores; leave `__typed` to the gate."
            findings.add(where, f"{column.name!r} cannot be the name of a column", fix)
        if times[column.name] > 1:
            findings.add(
                where, f"{times[column.name]} columns are called {column.name}", "Give each a name of its own."
            )


def types(contract: Contract, _checks: Sequence[Check], findings: Findings) -> None:
    """Types that PostgreSQL knows; a logical type that is no single value needs to say which it becomes."""
    properties = contract.document["schema"][0]["properties"]
    for number, (column, item) in enumerate(zip(contract.columns, properties, strict=True)):
        where = f"schema[0].properties[{number}]"
        if canonical_type(column.value_type) is None:
            fix = "Use a type such as integer, numeric(10,2), text, date or timestamp with time zone."
            told = f"{column.name}: PostgreSQL has no type {column.value_type!r}"
            findings.add(f"{where}.physicalType", told, fix)
        if column.logical_type in NESTED and not item.get("physicalType"):
            told = f"{column.name}: nothing says how {column.logical_type} is stored"
            findings.add(f"{where}.logicalType", told, "Give a physicalType, for example jsonb.")
        if item.get("properties") or item.get("items"):
            told = f"{column.name}: what lies inside a column is not checked"
            findings.add(where, told, "Make it columns of its own, or describe it in words.")


def keys(contract: Contract, _checks: Sequence[Check], findings: Findings) -> None:
    """A key for what is staged or curated, and an order of its columns that is no guess."""
    if not contract.primary_key and contract.layer is not Layer.RAW:
        fix = "Set primaryKey and primaryKeyPosition on the columns that tell one row from another."
        findings.add("schema[0].properties", f"{contract.dataset} has no primary key", fix)
    positions = sorted(column.primary_key_position or 0 for column in contract.columns if column.primary_key_position)
    if positions and positions != list(range(1, len(positions) + 1)):
        told = f"the positions of the key's columns are {', '.join(map(str, positions))}"
        findings.add("schema[0].properties", told, "Number primaryKeyPosition from 1, each once.")


def clauses(contract: Contract, checks: Sequence[Check], findings: Findings) -> None:
    """Clauses that can be told apart and read: a name, a known severity, prose that is only prose."""
    for where, clause in _clauses(contract.document):
        if not (clause.get("id") or clause.get("name")):
            findings.add(where, "the clause has no name to stand in a verdict", "Give it an id.")
        _severity(clause.get("severity"), f"{where}.severity", findings)
        told = {str(entry["property"]) for entry in clause.get("customProperties") or []}
        if clause.get("type") != "text" and f"{PREFIX}{INFORMATIONAL}" in told:
            fix = "Remove the property; for a check that must not block, set severity: warning."
            findings.add(where, "a clause that is checked calls itself informational", fix)
    for name, times in Counter(check.id for check in checks).items():
        if times > 1:
            where = ", ".join(check.source for check in checks if check.id == name)
            findings.add(where, f"{times} checks are called {name}", "Give each clause an id of its own.")


def patterns(contract: Contract, checks: Sequence[Check], findings: Findings) -> None:
    """Patterns that can be compiled."""
    for check in checks:
        if check.kind is not CheckKind.MATCHES:
            continue
        try:
            re.compile(check.arguments["pattern"])
        except re.error as error:
            told = f"{contract.dataset}: {check.arguments['pattern']!r} is no regular expression: {error}"
            findings.add(check.source, told, "Correct the pattern.")


def inner_properties(contract: Contract, _checks: Sequence[Check], findings: Findings) -> None:
    """Every `interlock.*` property stands where something reads it, and is spelt as it is read."""
    for where, holder, item in _custom_properties(contract.document, "", ""):
        name = str(item.get("property", ""))
        if not re.match(r"interlock[^a-z]", name + ".", re.IGNORECASE) or (name.startswith(PREFIX) and not holder):
            continue  # loading has judged those of the contract itself
        known = INNER_PROPERTIES.get(holder, ()) if holder else tuple(PROPERTIES)
        if name.removeprefix(PREFIX) not in known or not name.startswith(PREFIX):
            spelt = suggestion(name, [f"{PREFIX}{word}" for word in known]) if known else "Remove it: nothing reads it."
            findings.add(where, f"nothing reads {name!r} here", spelt)
        elif name == f"{PREFIX}severity":
            _severity(item.get("value"), where, findings)


def quarantine(contract: Contract, checks: Sequence[Check], findings: Findings) -> None:
    """Rows are set aside where they were delivered, one by one, and within a budget."""
    aside = [check for check in checks if check.severity is Severity.QUARANTINE]
    where = f"customProperties[{PREFIX}quarantine]"
    for check in aside:
        if contract.layer is not Layer.RAW:
            fix = "Let the feed's contract set the row aside, where its line is known; here, block or warn."
            findings.add(check.source, f"{check.id}: {contract.layer} data cannot set rows aside", fix)
        elif check.kind not in ABOUT_SINGLE_ROWS or check.scope is not Scope.ROW:
            told = f"{check.id} is not about single rows: nobody could say which to set aside"
            findings.add(check.source, told, "Let it block or warn.")
    if aside and contract.quarantine is None:
        findings.add(
            where, "rows may be set aside, and nothing says how many", "Give it, for example {rows: 20, share: 0.02}."
        )
    if contract.quarantine is not None and not aside:
        findings.add(
            where, "a budget for rows that no check sets aside", "Give a check the severity quarantine, or remove it."
        )


def repeats(contract: Contract, checks: Sequence[Check], findings: Findings) -> None:
    """Copies of a row are known by a key, and what copies are kept of is said where rows are accounted for."""
    if contract.delivery is not None and contract.delivery.repeats is not None and not contract.primary_key:
        told = "copies of rows may come, and no key tells which rows are copies"
        findings.add(f"customProperties[{PREFIX}delivery].repeats", told, "Give the feed a primary key.")
    for check in checks:
        share = check.arguments.get("share") if check.kind is CheckKind.FOREIGN_KEY else None
        if share is not None and not (isinstance(share, int | float) and 0 < share < 1):
            told = f"{check.id}: {share!r} is no share"
            findings.add(check.source, told, "Give a number between 0 and 1; without one every value must exist.")


def delivery(contract: Contract, _checks: Sequence[Check], findings: Findings) -> None:
    """A feed's file names carry what its partitions need; what only feeds have stands on feeds alone."""
    custom = {str(item["property"]).removeprefix(PREFIX) for item in contract.document.get("customProperties") or []}
    is_daily = contract.partition.grain is Grain.DAY
    if contract.layer is not Layer.RAW:
        for name in sorted(custom & {"delivery", "drift"}):
            fix = "Remove it, or move it to the raw contract."
            findings.add(f"customProperties[{PREFIX}{name}]", f"{contract.layer} data is not delivered", fix)
    elif contract.delivery is not None:
        judge_landing(contract, contract.delivery, findings)
    if contract.partition.column is not None and (contract.layer is Layer.RAW or not is_daily):
        told = f"{contract.dataset} has no column that partitions it"
        findings.add(f"customProperties[{PREFIX}partition].column", told, "Remove the column.")
    if contract.window > 1 and not is_daily:
        told = "a window of several partitions, and there is only one"
        findings.add(f"customProperties[{PREFIX}window]", told, "Remove it.")


def partition_column(contract: Contract, _checks: Sequence[Check], findings: Findings) -> None:
    """The column of the partition is a date without nulls: anything else falls into no partition."""
    column = contract.column(contract.partition.column or "")
    if contract.layer is Layer.RAW or column is None:
        return
    where = f"schema[0].properties[{contract.columns.index(column)}]"
    if canonical_type(column.physical_type) != "date":
        told = f"{column.name} tells a row's day and is {column.physical_type}"
        findings.add(f"{where}.physicalType", told, "Make it a date.")
    if not column.required and column.primary_key_position is None:
        findings.add(f"{where}.required", f"{column.name} tells a row's day and may be null", "Set required: true.")


def service_levels(contract: Contract, _checks: Sequence[Check], findings: Findings) -> None:
    """A latency is about a column that exists."""
    for number, item in enumerate(contract.document.get("slaProperties") or []):
        name = str(item.get("element") or contract.document.get("slaDefaultElement") or "").rpartition(".")[2]
        if name and contract.column(name) is None:
            told = f"{contract.dataset} has no column {name}"
            findings.add(f"slaProperties[{number}].element", told, "Name one of its columns, or none.")


def expectations(contract: Contract, checks: Sequence[Check], _findings: Findings) -> None:
    """Entries of the expectations file that Great Expectations knows, each with a severity that we know."""
    findings = _findings_of_expectations(contract, _findings)
    for number, item in enumerate(expectations_of(contract)):
        _severity(item.get("severity"), f"expectations[{number}].severity", findings)
    known = known_expectations()
    for check in checks:
        kind = check.arguments.get("type")
        if check.kind is CheckKind.EXPECTATION and known and kind not in known:
            where = findings if check.source.startswith("expectations[") else _findings
            where.add(check.source, f"Great Expectations knows no {kind}", suggestion(str(kind), known)[:200])
    if findings is not _findings:
        _findings.problems += findings.problems


RULES: tuple[Rule, ...] = (
    names,
    types,
    keys,
    clauses,
    patterns,
    inner_properties,
    quarantine,
    repeats,
    delivery,
    partition_column,
    service_levels,
    expectations,
)


@cache
def known_expectations() -> frozenset[str]:
    """The expectations that come with Great Expectations, from its files' names; none where it is not installed.

    Importing it costs seconds, which a linter does not have.
    """
    from importlib.util import find_spec
    from pathlib import Path

    found = find_spec("great_expectations")
    if found is None or found.origin is None:
        return frozenset()
    core = Path(found.origin).parent / "expectations" / "core"
    return frozenset(file.stem for file in core.glob("expect_*.py"))


def _findings_of_expectations(contract: Contract, findings: Findings) -> Findings:
    file = expectations_file(contract.path)
    return Findings(file) if file.exists() else findings


def _severity(word: Any, where: str, findings: Findings) -> None:
    if word is not None and not (isinstance(word, str) and word in SEVERITIES):
        fix = f"{suggestion(str(word), SEVERITIES)} Without one the clause blocks."
        findings.add(where, f"nobody knows the severity {word!r}", fix)


def _clauses(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    table = document["schema"][0]
    places = [(f"schema[0].properties[{n}]", item) for n, item in enumerate(table["properties"])]
    for place, item in (*places, ("schema[0]", table)):
        for number, clause in enumerate(item.get("quality") or []):
            yield f"{place}.quality[{number}]", clause


def _custom_properties(element: Any, where: str, holder: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Every custom property of a document: its place, the list that its element stands in, and itself."""
    if isinstance(element, list):
        for number, item in enumerate(element):
            yield from _custom_properties(item, f"{where}[{number}]", holder)
    elif isinstance(element, dict):
        for key, value in element.items():
            place = f"{where}.{key}".removeprefix(".")
            if key != "customProperties":
                yield from _custom_properties(value, place, str(key))
                continue
            for number, item in enumerate(value or []):
                yield f"{place}[{number}]", holder, item
