"""The neutral list of checks that a contract compiles to: no gate reads YAML, and no contract knows a gate.

Every clause that promises something about rows becomes exactly one check or is reported as a clause
that nothing would hold anybody to (`unchecked_clauses`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from interlock.contracts.model import Column, Contract


class Severity(StrEnum):
    """What a failure does: `critical` blocks the partition, `warning` is carried in the answer."""

    CRITICAL = "critical"
    WARNING = "warning"


class Scope(StrEnum):
    """`row`: holds for every row, so it may be judged on a union; `partition`: a measure of one partition."""

    ROW = "row"
    PARTITION = "partition"


class CheckKind(StrEnum):
    """The kinds of checks that a gate must know."""

    COLUMN_EXISTS = "column_exists"
    NOT_NULL = "not_null"
    UNIQUE = "unique"
    CASTABLE = "castable"
    BETWEEN = "between"
    IN_SET = "in_set"
    MATCHES = "matches"
    MAX_LENGTH = "max_length"
    FOREIGN_KEY = "foreign_key"
    ROW_EXPRESSION = "row_expression"
    ROW_COUNT = "row_count"
    MEASURE_BETWEEN = "measure_between"
    BASELINE = "baseline"
    RECONCILES = "reconciles"
    SQL_MEASURE = "sql_measure"
    EXPECTATION = "expectation"


class Check(BaseModel):
    """One thing that must hold. `arguments` depend on the kind; `expected` says it in words; `source` is where it is promised."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    kind: CheckKind
    columns: tuple[str, ...] = ()
    arguments: dict[str, Any] = Field(default_factory=dict)
    severity: Severity = Severity.CRITICAL
    scope: Scope = Scope.ROW
    description: str = ""
    source: str = ""
    expected: str = ""


def compile_checks(contract: Contract, expectations: Sequence[dict[str, Any]]) -> tuple[Check, ...]:
    """All checks of a contract and of its dataset's expectations, in a stable order."""
    checks = [*_structure(contract), *_keys(contract)]
    table = contract.document["schema"][0]
    for position, (column, item) in enumerate(zip(contract.columns, table["properties"], strict=True)):
        source = f"schema[0].properties[{position}]"
        checks += _column_checks(column, item, contract, source)
        for number, clause in enumerate(item.get("quality") or []):
            checks += _quality(clause, column.name, f"{source}.quality[{number}]")
    for number, item in enumerate(table.get("relationships") or []):
        checks += _relationship(item, None, f"schema[0].relationships[{number}]")
    for number, clause in enumerate(table.get("quality") or []):
        checks += _quality(clause, None, f"schema[0].quality[{number}]")
    checks += [_expectation(item, number) for number, item in enumerate(expectations)]
    return tuple(checks)


def clause_digest(checks: Sequence[Check]) -> str:
    """SHA-256 over what blocks: kinds, columns and arguments of the critical checks, not their wording."""
    blocking = sorted(
        [check.id, check.kind.value, list(check.columns), check.arguments] for check in checks if check.severity is Severity.CRITICAL
    )
    return hashlib.sha256(json.dumps(blocking, sort_keys=True, separators=(",", ":"), default=str).encode()).hexdigest()


def unchecked_clauses(contract: Contract, expectations: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Quality clauses that no check will run, as (where, why)."""
    compiled = {check.source for check in compile_checks(contract, expectations)}
    return [(where, f"nothing checks a clause of {said}") for where, said in _quality_clauses(contract) if where not in compiled]


def _quality_clauses(contract: Contract) -> Iterator[tuple[str, str]]:
    table = contract.document["schema"][0]
    places = [("schema[0]", table), *((f"schema[0].properties[{n}]", item) for n, item in enumerate(table["properties"]))]
    for place, item in places:
        for number, clause in enumerate(item.get("quality") or []):
            said = {key: clause[key] for key in ("type", "metric", "engine", "implementation") if key in clause}
            yield f"{place}.quality[{number}]", json.dumps(said)


def _structure(contract: Contract) -> list[Check]:
    return [
        Check(id=f"{column.name}.exists", kind=CheckKind.COLUMN_EXISTS, columns=(column.name,), expected="the column exists",
              source=f"schema[0].properties[{position}]")  # fmt: skip
        for position, column in enumerate(contract.columns)
    ]


def _keys(contract: Contract) -> list[Check]:
    if not contract.primary_key:
        return []
    names = ", ".join(contract.primary_key)
    return [Check(id="primary_key", kind=CheckKind.UNIQUE, columns=contract.primary_key, expected=f"one row for each ({names})",
                  source="schema[0].properties[].primaryKey")]  # fmt: skip


def _column_checks(column: Column, item: dict[str, Any], contract: Contract, source: str) -> list[Check]:
    name, options = column.name, column.options
    checks: list[Check] = []

    def add(suffix: str, kind: CheckKind, expected: str, **arguments: Any) -> None:
        checks.append(Check(id=f"{name}.{suffix}", kind=kind, columns=(name,), arguments=arguments, expected=expected, source=source))

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
        add("range", CheckKind.BETWEEN, _span(low, high), minimum=low, maximum=high)
    if options.get("pattern"):
        add("pattern", CheckKind.MATCHES, f"matches {options['pattern']}", pattern=options["pattern"])
    if options.get("maxLength") is not None:
        add("length", CheckKind.MAX_LENGTH, f"at most {options['maxLength']} characters", maximum=options["maxLength"])
    for number, relationship in enumerate(item.get("relationships") or []):
        checks += _relationship(relationship, name, f"{source}.relationships[{number}]")
    return checks


def _relationship(item: dict[str, Any], column: str | None, source: str) -> list[Check]:
    """`to` is `dataset.column`, or a list of them for a key of several columns."""
    targets = item["to"] if isinstance(item.get("to"), list) else [item.get("to")]
    ours = item.get("from") or column
    ours = [str(name).rpartition(".")[2] for name in (ours if isinstance(ours, list) else [ours])]
    parts = [str(target).rpartition(".")[::2] for target in targets]
    dataset = parts[0][0].rpartition(".")[2]
    theirs = [name for _, name in parts]
    return [
        Check(
            id=f"{'_'.join(ours)}.exists_in.{dataset}", kind=CheckKind.FOREIGN_KEY, columns=tuple(ours), source=source,
            arguments={"dataset": dataset, "columns": theirs}, expected=f"every value is a {', '.join(theirs)} of {dataset}",
            severity=_severity({p["property"]: p["value"] for p in item.get("customProperties") or []}.get("interlock.severity")),
        )
    ]  # fmt: skip


def _quality(clause: dict[str, Any], column: str | None, source: str) -> list[Check]:
    """The check of one quality clause; none where nobody knows how to check it."""
    name = clause.get("id") or clause.get("name") or source
    common: dict[str, Any] = {
        "id": f"quality.{name}", "severity": _severity(clause.get("severity")), "source": source,
        "description": str(clause.get("description") or "").strip(),
    }  # fmt: skip
    kind = clause.get("type") or "library"
    if kind == "library":
        return _library(clause, column, common)
    if kind == "sql" and clause.get("query"):
        low, high = _bounds(clause)
        arguments = {"query": clause["query"], "minimum": low, "maximum": high}
        return [Check(kind=CheckKind.SQL_MEASURE, arguments=arguments, scope=Scope.PARTITION, expected=_span(low, high), **common)]
    implementation = clause.get("implementation")
    if kind == "custom" and isinstance(implementation, dict):
        if clause.get("engine") == "interlock":
            return _own(implementation, common)
        if clause.get("engine") in ("great-expectations", "greatExpectations"):
            return [_gx(implementation, common)]
    return []


def _library(clause: dict[str, Any], column: str | None, common: dict[str, Any]) -> list[Check]:
    low, high = _bounds(clause)
    metric, arguments = clause.get("metric"), clause.get("arguments") or {}
    if metric == "rowCount":
        return [Check(kind=CheckKind.ROW_COUNT, arguments={"minimum": low, "maximum": high}, scope=Scope.PARTITION,
                      expected=f"row count {_span(low, high)}", **common)]  # fmt: skip
    is_none_allowed = (low, high) == (0, 0)
    if metric in ("nullValues", "missingValues") and column:
        if is_none_allowed:
            return [Check(kind=CheckKind.NOT_NULL, columns=(column,), expected="no nulls", **common)]
        share = clause.get("unit") in ("percent", "%")
        measure, scale = ("share_null", 100) if share else ("count_null", 1)
        limits = {"minimum": None if low is None else low / scale, "maximum": None if high is None else high / scale}
        return [Check(kind=CheckKind.MEASURE_BETWEEN, columns=(column,), arguments={"measure": {measure: column}, **limits},
                      scope=Scope.PARTITION, expected=f"{'share' if share else 'number'} of nulls {_span(**limits)}", **common)]  # fmt: skip
    if metric == "duplicateValues" and is_none_allowed:
        columns = tuple(arguments.get("properties") or ([column] if column else []))
        return [Check(kind=CheckKind.UNIQUE, columns=columns, expected=f"one row for each ({', '.join(columns)})", **common)] if columns else []
    if metric == "invalidValues" and column and is_none_allowed:
        if arguments.get("validValues"):
            values = list(arguments["validValues"])
            return [Check(kind=CheckKind.IN_SET, columns=(column,), arguments={"values": values}, expected=f"one of {', '.join(map(str, values))}", **common)]
        if arguments.get("pattern"):
            return [Check(kind=CheckKind.MATCHES, columns=(column,), arguments={"pattern": arguments["pattern"]}, expected=f"matches {arguments['pattern']}", **common)]
    return []


def _own(given: dict[str, Any], common: dict[str, Any]) -> list[Check]:
    arguments = {key: value for key, value in given.items() if key != "check"}
    check = given.get("check")
    if check == "row" and isinstance(given.get("expression"), str):
        return [Check(kind=CheckKind.ROW_EXPRESSION, arguments=arguments, expected=given["expression"], **common)]
    if check == "reconciles_with" and given.get("dataset"):
        expected = f"{given.get('measure', 'row_count')} as in {given['dataset']}"
        return [Check(kind=CheckKind.RECONCILES, arguments=arguments, scope=Scope.PARTITION, expected=expected, **common)]
    if check == "baseline" and given.get("measure") and given.get("ratio") and given.get("absolute"):
        low, high = given["ratio"]
        expected = f"{low} to {high} times the median of recent safe partitions"
        return [Check(kind=CheckKind.BASELINE, arguments=arguments, scope=Scope.PARTITION, expected=expected, **common)]
    if check == "measure" and given.get("measure") and (given.get("minimum") is not None or given.get("maximum") is not None):
        expected = f"{given['measure']} {_span(given.get('minimum'), given.get('maximum'))}"
        return [Check(kind=CheckKind.MEASURE_BETWEEN, arguments=arguments, scope=Scope.PARTITION, expected=expected, **common)]
    return []


def _gx(implementation: dict[str, Any], common: dict[str, Any]) -> Check:
    kwargs = dict(implementation.get("kwargs") or {key: value for key, value in implementation.items() if key != "type"})
    is_of_rows = implementation["type"].startswith(("expect_column_values_", "expect_column_pair_values_", "expect_multicolumn_", "expect_compound_", "expect_select_"))
    is_of_rows = is_of_rows and float(kwargs.get("mostly", 1)) >= 1
    columns = tuple(str(kwargs[key]) for key in ("column", "column_A", "column_B") if key in kwargs)
    return Check(
        kind=CheckKind.EXPECTATION, columns=columns, arguments={"type": implementation["type"], "kwargs": kwargs},
        scope=Scope.ROW if is_of_rows else Scope.PARTITION, expected=implementation["type"].replace("_", " "), **common,
    )  # fmt: skip


def _expectation(item: dict[str, Any], number: int) -> Check:
    """One entry of an expectations file: GX's `type` and `kwargs`, with `id`, `severity` and `notes`."""
    name = item.get("id") or f"{item['type']}_{number}"
    common = {"id": f"expectation.{name}", "severity": _severity(item.get("severity")), "source": f"expectations[{number}]",
              "description": str(item.get("notes") or "")}  # fmt: skip
    return _gx({"type": item["type"], "kwargs": item.get("kwargs") or {}}, common)


def _severity(word: str | None) -> Severity:
    return Severity.WARNING if word in ("warning", "info", "low") else Severity.CRITICAL


def _bounds(clause: dict[str, Any]) -> tuple[Any, Any]:
    """The closed interval that the standard's comparison operators describe."""
    if "mustBe" in clause:
        return clause["mustBe"], clause["mustBe"]
    if "mustBeBetween" in clause:
        return tuple(clause["mustBeBetween"])
    low = clause.get("mustBeGreaterOrEqualTo")
    high = clause.get("mustBeLessOrEqualTo")
    if "mustBeGreaterThan" in clause:
        low = clause["mustBeGreaterThan"] + 1 if isinstance(clause["mustBeGreaterThan"], int) else clause["mustBeGreaterThan"]
    if "mustBeLessThan" in clause:
        high = clause["mustBeLessThan"] - 1 if isinstance(clause["mustBeLessThan"], int) else clause["mustBeLessThan"]
    return low, high


def _span(minimum: Any, maximum: Any) -> str:
    if minimum is not None and maximum is not None:
        return f"exactly {minimum}" if minimum == maximum else f"between {minimum} and {maximum}"
    return f"at least {minimum}" if minimum is not None else f"at most {maximum}"
