"""The neutral list of checks that a contract compiles to: no gate reads YAML, and no contract knows a gate.

Every clause that promises something about rows becomes exactly one check or is reported as a clause
that nothing would hold anybody to (`unchecked_clauses`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from interlock.contracts.clauses import (
    ClauseUnchecked,
    clause_check,
    expectation_check,
    own_properties,
    severity,
    span,
)
from interlock.contracts.vocabulary import Check, CheckKind, Scope, Severity

if TYPE_CHECKING:
    from interlock.contracts.model import Column, Contract

__all__ = ["Check", "CheckKind", "Scope", "Severity", "clause_digest", "compile_checks", "unchecked_clauses"]

# What a column's logical type may be asked, and a check answers. Zones are no promise but the way to read a value.
CHECKED_OPTIONS = frozenset({"minimum", "maximum", "pattern", "maxLength"})
READING_OPTIONS = frozenset({"timezone", "defaultTimezone"})


def compile_checks(contract: Contract, expectations: Sequence[dict[str, Any]]) -> tuple[Check, ...]:
    """All checks of a contract and of its dataset's expectations, in a stable order.

    Clauses that nothing can check are left out here and named by `unchecked_clauses`; a contract that has one
    cannot be loaded.
    """
    checks = [*_structure(contract), *_keys(contract)]
    for position, column in enumerate(contract.columns):
        place = f"schema[0].properties[{position}]"
        told = own_properties(contract.document["schema"][0]["properties"][position]).get("severity")
        checks += [
            check.model_copy(update={"severity": severity(told)}) for check in _column_checks(column, contract, place)
        ]
    for place, item, name in _elements(contract):
        checks += _relationships(item, name, place)
        for source, clause in _clauses(item, place):
            try:
                check = clause_check(clause, name, source)
            except ClauseUnchecked:
                continue
            checks += [check] if check is not None else []
    for number, expectation in enumerate(expectations):
        try:
            checks.append(expectation_check(expectation, number))
        except ClauseUnchecked:
            continue
    return tuple(_with_budget(check, contract) for check in checks)


def _with_budget(check: Check, contract: Contract) -> Check:
    """A check that lets some rows pass by, with how many it may: another budget is another promise."""
    if check.severity is Severity.QUARANTINE and contract.quarantine is not None:
        budget, name = contract.quarantine, "budget"
    elif check.kind is CheckKind.UNIQUE and contract.delivery is not None and contract.delivery.repeats is not None:
        budget, name = contract.delivery.repeats, "repeats"
    else:
        return check
    return check.model_copy(update={"arguments": check.arguments | {name: budget.model_dump()}})


def clause_digest(checks: Sequence[Check]) -> str:
    """SHA-256 over what blocks: kinds, columns and arguments of the checks that do, not their wording."""
    blocking = sorted(
        _canonical([check.id, check.kind.value, list(check.columns), check.arguments, *_other(check.severity)])
        for check in checks
        if check.severity.blocks
    )
    return hashlib.sha256("\n".join(blocking).encode()).hexdigest()


def _other(severity: Severity) -> list[str]:
    """What a digest says of a severity that is not the usual one."""
    return [] if severity is Severity.CRITICAL else [severity.value]


def unchecked_clauses(contract: Contract, expectations: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Clauses that no check will run, as (where, why)."""
    found: list[tuple[str, str]] = []
    for place, item, name in _elements(contract):
        for option in sorted(set(item.get("logicalTypeOptions") or {}) - CHECKED_OPTIONS - READING_OPTIONS):
            found.append((f"{place}.logicalTypeOptions.{option}", f"nothing checks {option} of {name}"))  # noqa: PERF401
        for source, clause in _clauses(item, place):
            try:
                clause_check(clause, name, source)
            except ClauseUnchecked as reason:
                found.append((source, f"nothing checks this clause: {reason}"))
    for number, expectation in enumerate(expectations):
        try:
            expectation_check(expectation, number)
        except ClauseUnchecked as reason:
            found.append((f"expectations[{number}]", f"nothing checks this expectation: {reason}"))
    return found


def _elements(contract: Contract) -> Iterator[tuple[str, Mapping[str, Any], str | None]]:
    """Every element that may carry clauses: its place, what it says, and its column's name; the table comes last."""
    table = contract.document["schema"][0]
    for position, item in enumerate(table.get("properties") or []):
        yield f"schema[0].properties[{position}]", item, item["name"]
    yield "schema[0]", table, None


def _clauses(item: Mapping[str, Any], place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, clause in enumerate(item.get("quality") or []):
        yield f"{place}.quality[{number}]", clause


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)


def _structure(contract: Contract) -> Iterator[Check]:
    for position, column in enumerate(contract.columns):
        yield Check(
            id=f"{column.name}.exists",
            kind=CheckKind.COLUMN_EXISTS,
            columns=(column.name,),
            expected="the column exists",
            source=f"schema[0].properties[{position}]",
        )


def _keys(contract: Contract) -> Iterator[Check]:
    if contract.primary_key:
        yield Check(
            id="primary_key",
            kind=CheckKind.UNIQUE,
            columns=contract.primary_key,
            expected=f"one row for each ({', '.join(contract.primary_key)})",
            source="schema[0].properties[].primaryKey",
        )
    if contract.delivery is not None and contract.delivery.repeats is not None:
        yield Check(
            id="repeats",
            kind=CheckKind.REPEATS,
            columns=contract.primary_key,
            severity=Severity.WARNING,
            scope=Scope.PARTITION,
            expected="no row is delivered twice",
            source="customProperties[interlock.delivery].repeats",
        )


def _column_checks(column: Column, contract: Contract, source: str) -> list[Check]:
    """What a column's own words promise: required, type, unique, enum, and the options of its logical type."""
    options, checks = column.options, list[Check]()

    def add(suffix: str, kind: CheckKind, expected: str, **arguments: Any) -> None:
        where = {"columns": (column.name,), "source": source}
        checks.append(Check(id=f"{column.name}.{suffix}", kind=kind, arguments=arguments, expected=expected, **where))

    if column.required or column.primary_key_position is not None:
        add("required", CheckKind.NOT_NULL, "no nulls")
    if contract.layer == "raw" and column.value_type != "text":
        add("type", CheckKind.CASTABLE, f"every value reads as {column.value_type}", type=column.value_type)
    if column.unique:
        add("unique", CheckKind.UNIQUE, "no value twice")
    if column.values:
        add("enum", CheckKind.IN_SET, f"one of {', '.join(map(str, column.values))}", values=list(column.values))
    low, high = options.get("minimum"), options.get("maximum")
    if low is not None or high is not None:
        add("range", CheckKind.BETWEEN, span(low, high), minimum=low, maximum=high)
    if options.get("pattern"):
        add("pattern", CheckKind.MATCHES, f"matches {options['pattern']}", pattern=options["pattern"])
    if options.get("maxLength") is not None:
        longest = options["maxLength"]
        add("length", CheckKind.MAX_LENGTH, f"at most {longest} characters", maximum=longest)
    return checks


def _relationships(item: Mapping[str, Any], column: str | None, place: str) -> Iterator[Check]:
    """`to` is `dataset.column`, or a list of them for a key of several columns."""
    for number, relationship in enumerate(item.get("relationships") or []):
        theirs = [_parts(target) for target in _listed(relationship.get("to"))]
        ours = [_parts(name)[1] for name in _listed(relationship.get("from") or column)]
        dataset, columns = theirs[0][0], [name for _, name in theirs]
        told, arguments = own_properties(relationship), {"dataset": dataset, "columns": columns}
        share = told.get("share")
        many = "every value is" if share is None else f"a share of at least {share} of the values is"
        yield Check(
            id=f"{'_'.join(ours)}.exists_in.{dataset}",
            kind=CheckKind.FOREIGN_KEY,
            columns=tuple(ours),
            arguments=arguments if share is None else arguments | {"share": share},
            severity=severity(told.get("severity")),
            scope=Scope.ROW if share is None else Scope.PARTITION,
            source=f"{place}.relationships[{number}]",
            expected=f"{many} a {', '.join(columns)} of {dataset}",
        )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _parts(reference: Any) -> tuple[str, str]:
    """`schema.dataset.column` as (dataset, column); a bare name has no dataset."""
    table, _, column = str(reference).rpartition(".")
    return table.rpartition(".")[2], column
