"""Quality clauses of a contract as checks: each becomes exactly one check, or an error that says why it cannot.

A clause that nobody checks is worse than none, because its readers rely on it. So whatever is not understood
to the last word (an operator, a misspelt argument, a placeholder) is refused here, never dropped.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from interlock.contracts.implementations import (
    AccountsClause,
    BaselineClause,
    ReconcilesClause,
    RowClause,
    implementations,
)
from interlock.contracts.vocabulary import Check, CheckKind, Scope, Severity

PREFIX = "interlock."
INFORMATIONAL = "informational"
# The standard leaves the words open. A word that is in neither list blocks, and lint asks what was meant.
WARNINGS = frozenset({"warning", "info"})
QUARANTINE = "quarantine"
SEVERITIES = WARNINGS | {"error", "critical", QUARANTINE}

# Great Expectations names these like expectations about single rows, but each compares rows with one another.
_ACROSS_ROWS = frozenset(
    {
        "expect_column_values_to_be_unique",
        "expect_column_values_to_be_increasing",
        "expect_column_values_to_be_decreasing",
    }
)
_ROWWISE = (
    "expect_column_values_",
    "expect_column_value_lengths_",
    "expect_column_pair_values_",
    "expect_multicolumn_",
    "expect_select_",
)
_COUNTED = ("rows", "percent", "%")


class ClauseUnchecked(Exception):
    """No check can hold anybody to a clause; the message says why."""


@dataclass(frozen=True)
class Bounds:
    """The closed interval that one of the standard's comparison operators describes, and the operator in words."""

    low: float | None
    high: float | None
    words: str

    @property
    def is_nothing(self) -> bool:
        """Whether a count within the bounds can only be zero."""
        return self.high == 0 and self.low in (None, 0)

    def arguments(self, divisor: int = 1) -> dict[str, Any]:
        """The bounds as arguments of a check, in a larger unit where there is a divisor."""
        low, high = (None if bound is None or divisor == 1 else bound / divisor for bound in (self.low, self.high))
        return {"minimum": self.low, "maximum": self.high} if divisor == 1 else {"minimum": low, "maximum": high}


def clause_check(clause: dict[str, Any], column: str | None, source: str) -> Check | None:
    """The check of one quality clause; None for prose that calls itself informational. Raises ClauseUnchecked."""
    name = clause.get("id") or clause.get("name") or source
    common: dict[str, Any] = {
        "id": f"{column}.quality.{name}" if column else f"quality.{name}",
        "severity": severity(clause.get("severity")),
        "source": source,
        "description": str(clause.get("description") or "").strip(),
    }
    kind = clause.get("type") or "library"
    if kind == "text":
        if own_properties(clause).get(INFORMATIONAL) is not True:
            raise ClauseUnchecked("it is prose")
        return None
    if kind == "library":
        return _library(clause, column, common)
    if kind == "sql":
        return _sql(clause, column, common)
    return _custom(clause, common)


def expectation_check(item: dict[str, Any], number: int) -> Check:
    """The check of an entry of an expectations file: GX's `type` and `kwargs`, with `id`, `severity` and `notes`."""
    unknown = sorted(set(item) - {"id", "type", "kwargs", "severity", "notes"})
    if unknown:
        raise ClauseUnchecked(f"an expectation has no {', '.join(map(str, unknown))}")
    name = item.get("id") or f"{item.get('type')}_{number}"
    common: dict[str, Any] = {
        "id": f"expectation.{name}",
        "severity": severity(item.get("severity")),
        "source": f"expectations[{number}]",
        "description": str(item.get("notes") or "").strip(),
    }
    return _gx(item.get("type"), item.get("kwargs") or {}, common)


def severity(word: Any) -> Severity:
    """What a failure does: it blocks, unless its severity is `quarantine` or one of the words for a warning."""
    if word == QUARANTINE:
        return Severity.QUARANTINE
    return Severity.WARNING if isinstance(word, str) and word in WARNINGS else Severity.CRITICAL


def own_properties(item: Any) -> dict[str, Any]:
    """The `interlock.*` properties of one element of a contract, without the prefix."""
    return {
        str(entry["property"]).removeprefix(PREFIX): entry.get("value")
        for entry in item.get("customProperties") or []
        if str(entry["property"]).startswith(PREFIX)
    }


def span(low: Any, high: Any) -> str:
    """A closed interval in words."""
    if low is not None and high is not None:
        return f"exactly {low}" if low == high else f"between {low} and {high}"
    return f"at least {low}" if low is not None else f"at most {high}"


def measure_words(measure: str | dict[Any, str]) -> str:
    """A measure as people say it: `row count`, `mean of departure_delay_minutes`."""
    if isinstance(measure, str):
        return measure.replace("_", " ")
    ((aggregate, column),) = measure.items()
    return f"{str(aggregate).replace('_', ' ')} of {column}"


def bounds(clause: dict[str, Any], *, of_whole_numbers: bool) -> Bounds:
    """The closed interval that a clause's operator describes; an open end becomes the next number that can occur."""
    operators = [key for key in clause if key.startswith(("mustBe", "mustNotBe"))]
    if len(operators) != 1:
        raise ClauseUnchecked("it has no operator such as mustBe" if not operators else "it has several operators")
    operator, value = operators[0], clause[operators[0]]
    if operator == "mustBeBetween":
        low, high = (_number(bound, operator) for bound in value)
        if low > high:
            raise ClauseUnchecked(f"nothing lies between {low} and {high}")
        return Bounds(low, high, span(low, high))
    if operator.startswith("mustNotBe"):
        raise ClauseUnchecked(f"{operator} describes no interval that must hold")
    number = _number(value, operator)
    above, below = (
        (math.floor(number) + 1, math.ceil(number) - 1)
        if of_whole_numbers
        else (math.nextafter(number, math.inf), math.nextafter(number, -math.inf))
    )
    described = {
        "mustBe": Bounds(number, number, span(number, number)),
        "mustBeGreaterOrEqualTo": Bounds(number, None, span(number, None)),
        "mustBeLessOrEqualTo": Bounds(None, number, span(None, number)),
        "mustBeGreaterThan": Bounds(above, None, f"more than {value}"),
        "mustBeLessThan": Bounds(None, below, f"less than {value}"),
    }
    if operator not in described:
        raise ClauseUnchecked(f"nobody knows the operator {operator}")
    return described[operator]


def _number(value: Any, operator: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return value
    raise ClauseUnchecked(f"{operator}: {value!r} is no number")


def _library(clause: dict[str, Any], column: str | None, common: dict[str, Any]) -> Check:
    metric = clause.get("metric")
    if metric == "rowCount":
        _refuse_unknown(clause, arguments=(), units=("rows",))
        found = bounds(clause, of_whole_numbers=True)
        limits, expected = found.arguments(), f"row count {found.words}"
        return Check(kind=CheckKind.ROW_COUNT, arguments=limits, scope=Scope.PARTITION, expected=expected, **common)
    if metric == "duplicateValues":
        return _duplicates(clause, column, common)
    if metric not in ("nullValues", "missingValues", "invalidValues"):
        raise ClauseUnchecked(f"there is no metric {metric!r}")
    if column is None:
        raise ClauseUnchecked(f"{metric} is about one property, and this clause stands on the table")
    return (_invalid if metric == "invalidValues" else _nulls)(clause, column, common)


def _nulls(clause: dict[str, Any], column: str, common: dict[str, Any]) -> Check:
    _refuse_unknown(clause, arguments=(), units=_COUNTED)
    is_share = clause.get("unit") in ("percent", "%")
    found = bounds(clause, of_whole_numbers=not is_share)
    if found.is_nothing:
        return Check(kind=CheckKind.NOT_NULL, columns=(column,), expected="no nulls", **common)
    expected = f"share of nulls {found.words} %" if is_share else f"number of nulls {found.words}"
    return Check(
        kind=CheckKind.MEASURE_BETWEEN,
        columns=(column,),
        arguments={
            "measure": {"share_null" if is_share else "count_null": column},
            **found.arguments(100 if is_share else 1),
        },
        scope=Scope.PARTITION,
        expected=expected,
        **common,
    )


def _duplicates(clause: dict[str, Any], column: str | None, common: dict[str, Any]) -> Check:
    _refuse_unknown(clause, arguments=("properties",), units=_COUNTED)
    if not bounds(clause, of_whole_numbers=True).is_nothing:
        raise ClauseUnchecked("a number of duplicates other than none is not checked")
    named = (clause.get("arguments") or {}).get("properties") or ([column] if column else [])
    if not isinstance(named, list) or not named:
        raise ClauseUnchecked("it does not say which properties: give arguments.properties as a list")
    columns = tuple(str(name).rpartition(".")[2] for name in named)
    return Check(kind=CheckKind.UNIQUE, columns=columns, expected=f"one row for each ({', '.join(columns)})", **common)


def _invalid(clause: dict[str, Any], column: str, common: dict[str, Any]) -> Check:
    _refuse_unknown(clause, arguments=("validValues", "pattern"), units=_COUNTED)
    if not bounds(clause, of_whole_numbers=True).is_nothing:
        raise ClauseUnchecked("a number of invalid values other than none is not checked")
    arguments = clause.get("arguments") or {}
    values, pattern = arguments.get("validValues"), arguments.get("pattern")
    if (values is None) == (pattern is None):
        raise ClauseUnchecked("it needs either arguments.validValues or arguments.pattern")
    if pattern is not None:
        given, expected = {"pattern": str(pattern)}, f"matches {pattern}"
        return Check(kind=CheckKind.MATCHES, columns=(column,), arguments=given, expected=expected, **common)
    if not isinstance(values, list) or not values:
        raise ClauseUnchecked("arguments.validValues is no list of values")
    expected = f"one of {', '.join(map(str, values))}"
    return Check(kind=CheckKind.IN_SET, columns=(column,), arguments={"values": values}, expected=expected, **common)


def _refuse_unknown(clause: dict[str, Any], *, arguments: tuple[str, ...], units: tuple[str, ...]) -> None:
    unknown = sorted(set(clause.get("arguments") or {}) - set(arguments))
    if unknown:
        raise ClauseUnchecked(f"{clause['metric']} has no argument {', '.join(unknown)} here")
    if clause.get("unit") not in (None, *units):
        raise ClauseUnchecked(f"{clause['metric']} is not measured in {clause['unit']}")


def _sql(clause: dict[str, Any], column: str | None, common: dict[str, Any]) -> Check:
    query = str(clause.get("query") or "")
    if column is not None:
        query = query.replace("${column}", f'"{column}"').replace("{column}", f'"{column}"')
    strange = sorted(set(re.findall(r"\$\{[^}]*\}", query)) - {"${table}"})
    if strange:
        raise ClauseUnchecked(f"nobody fills in {', '.join(strange)}; ${{table}} is the partition that is judged")
    if "{table}" not in query:
        raise ClauseUnchecked("the query does not read ${table}, so it is not about the partition that is judged")
    found = bounds(clause, of_whole_numbers=False)
    return Check(
        kind=CheckKind.SQL_MEASURE,
        columns=(column,) if column else (),
        arguments={"query": query, **found.arguments()},
        scope=Scope.PARTITION,
        expected=f"the query returns {found.words}",
        **common,
    )


def _custom(clause: dict[str, Any], common: dict[str, Any]) -> Check:
    engine, given = clause.get("engine"), clause.get("implementation")
    if not isinstance(given, dict):
        raise ClauseUnchecked("its implementation is text: write it as a mapping")
    if engine == "interlock":
        return _own(given, common)
    if engine in ("great-expectations", "greatExpectations"):
        kwargs = given["kwargs"] if "kwargs" in given else _without(given, "type")
        return _gx(given.get("type"), kwargs, common)
    raise ClauseUnchecked(f"nobody runs the engine {engine!r}: use interlock or great-expectations")


def _own(given: dict[str, Any], common: dict[str, Any]) -> Check:
    try:
        clause = implementations.validate_python(given)
    except ValidationError as error:
        told = (f"{'.'.join(map(str, item['loc'][1:])) or 'check'}: {item['msg']}" for item in error.errors())
        raise ClauseUnchecked("; ".join(dict.fromkeys(told))) from None
    arguments = _without(given, "check")
    if isinstance(clause, RowClause):
        return Check(kind=CheckKind.ROW_EXPRESSION, arguments=arguments, expected=clause.expression, **common)
    if isinstance(clause, AccountsClause):
        return _accounts(clause, common)
    words = measure_words(clause.measure)
    if isinstance(clause, ReconcilesClause):
        theirs = f"{measure_words(clause.against)} of" if clause.against else "in"
        more = f" and {clause.difference:g} more" if clause.difference else ""
        kind, expected = CheckKind.RECONCILES, f"{words} as {theirs} {clause.dataset}{more}"
    elif isinstance(clause, BaselineClause):
        low, high = clause.ratio
        kind, expected = CheckKind.BASELINE, f"{words} {low:g} to {high:g} times the median of recent safe partitions"
    else:
        kind, expected = CheckKind.MEASURE_BETWEEN, f"{words} {span(clause.minimum, clause.maximum)}"
    columns = () if clause.measure == "row_count" else tuple(clause.measure.values())
    return Check(kind=kind, columns=columns, arguments=arguments, scope=Scope.PARTITION, expected=expected, **common)


def _accounts(clause: AccountsClause, common: dict[str, Any]) -> Check:
    columns = tuple(clause.identity) or (str(clause.counted),)
    arguments = clause.model_dump(exclude={"check", "by"}, exclude_none=True, mode="json")
    arguments["by"] = clause.identity
    what = "every row" if clause.unit == "rows" else f"every {', '.join(columns)}"
    how = f"counted in {clause.counted}" if clause.counted else "here once"
    expected = f"{what} of {clause.dataset} {how}{_exceptions(clause)}"
    return Check(
        kind=CheckKind.ACCOUNTS,
        columns=columns,
        arguments=arguments,
        scope=Scope.PARTITION,
        expected=expected,
        **common,
    )


def _exceptions(clause: AccountsClause) -> str:
    rule = clause.deduplicated
    kept = f", the first of each ({', '.join(rule.key)})" if rule else ""
    return kept + (", or dropped for a reason" if clause.dropped else "")


def _gx(kind: Any, kwargs: Any, common: dict[str, Any]) -> Check:
    if not isinstance(kind, str) or not re.fullmatch(r"expect_[a-z0-9_]+", kind):
        raise ClauseUnchecked(f"{kind!r} is no type of an expectation, such as expect_column_values_to_be_between")
    if not isinstance(kwargs, dict):
        raise ClauseUnchecked("its kwargs are no mapping")
    share = kwargs.get("mostly", 1)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise ClauseUnchecked(f"mostly: {share!r} is no share between 0 and 1")
    is_rowwise = kind.startswith(_ROWWISE) and kind not in _ACROSS_ROWS and share == 1
    named = [kwargs.get(key) for key in ("column", "column_A", "column_B")]
    listed = kwargs.get("column_list")
    if isinstance(listed, list):
        named += listed
    return Check(
        kind=CheckKind.EXPECTATION,
        columns=tuple(str(name) for name in named if name is not None),
        arguments={"type": kind, "kwargs": dict(kwargs)},
        scope=Scope.ROW if is_rowwise else Scope.PARTITION,
        expected=kind.replace("_", " "),
        **common,
    )


def _without(given: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name != key}
