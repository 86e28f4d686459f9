"""Checks as SQL: the condition that a violating row satisfies, and the statements that count repeats and orphans.

A condition over one row is counted together with all others in one statement. Uniqueness is a property of a
partition: a key may not repeat inside it, whichever way a range happens to be cut, so that a backfill of a year and
365 single days come to the same verdicts. In every statement the judged rows are called `subject`.
"""

# ruff: noqa: S608 (composed of checked names and literals alone: see sqltext)

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from interlock.contracts.checks import CheckKind
from interlock.quality.sqltext import identifier, literal, literals, reads_as
from interlock.quality.subjects import ROW_NUMBER

if TYPE_CHECKING:
    from interlock.contracts.checks import Check
    from interlock.quality.neighbours import Neighbours
    from interlock.quality.subjects import Subject


def condition(check: Check, subject: Subject) -> str:
    """What makes a row a violating one, as a condition over that row alone. A row expression that is null holds."""
    arguments = check.arguments
    if check.kind is CheckKind.CASTABLE:
        return f"not {reads_as(identifier(check.columns[0]), arguments['type'])}"
    if check.kind is CheckKind.MAX_LENGTH:
        return f"char_length({identifier(check.columns[0])}) > {int(arguments['maximum'])}"
    if check.kind is CheckKind.BETWEEN:
        column, low, high = subject.column(check.columns[0]), arguments.get("minimum"), arguments.get("maximum")
        bounds = [f"{column} < {literal(low)}"] * (low is not None) + [f"{column} > {literal(high)}"] * (
            high is not None
        )
        return f"({' or '.join(bounds)})"
    if check.kind is CheckKind.IN_SET:
        values = arguments["values"]
        return f"{identifier(subject.face(check.columns[0], values))} not in ({literals(values)})"
    if check.kind is CheckKind.ROW_EXPRESSION:
        return f"({arguments['expression']}\n) is false"
    raise ValueError(f"no condition over one row stands for a check of kind {check.kind}")


def uniqueness(check: Check, subject: Subject) -> str:
    """A scalar statement: how many rows share their key with another row of their partition."""
    return f"select coalesce(sum(times), 0) from ({repeats(check, subject)}) as repeated"


def repeats(check: Check, subject: Subject) -> str:
    """Keys that occur `times` > 1 in a partition. A row without any part of the key is judged by `required` alone."""
    columns = [identifier(name) for name in check.columns]
    part = [] if subject.key in columns or subject.is_one_partition else [subject.key]
    group = ", ".join(part + columns)
    is_named = " or ".join(f"{column} is not null" for column in columns)
    return (
        f"select {group}, count(*) as times from ({subject.query}) as subject where {is_named}"
        f" group by {group} having count(*) > 1"
    )


def copies(check: Check, subject: Subject, columns: Sequence[str], most: int) -> str:
    """The partition and number of rows that repeat an earlier row in all columns: the first `most` of a partition."""
    part = subject.key
    key = ", ".join(["_part", *map(identifier, check.columns)])
    named = ", ".join([part, *map(identifier, check.columns)])
    whole = f"row({', '.join(map(identifier, columns))})"
    rivals = f"select *, {part} as _part from ({subject.query}) as subject where ({named}) in ({_keys(check, subject)})"
    placed = (
        f"select _part, {ROW_NUMBER}, row_number() over (partition by {key}, {whole} order by {ROW_NUMBER}) as place"
        f" from ({rivals}) as rivals"
    )
    numbered = (
        f"select _part, {ROW_NUMBER}, row_number() over (partition by _part order by {ROW_NUMBER}) as nth"
        f" from ({placed}) as placed where place > 1"
    )
    return f"select _part, {ROW_NUMBER} from ({numbered}) as numbered where nth <= {int(most)} order by 1, 2"


def _keys(check: Check, subject: Subject) -> str:
    names = ", ".join([subject.key, *map(identifier, check.columns)])
    return f"select {names} from ({subject.query}) as subject group by {names} having count(*) > 1"


def orphans(check: Check, subject: Subject, neighbours: Neighbours) -> str:
    """A scalar statement: how many rows refer to something that does not exist."""
    return f"select count(*) from ({subject.query}) as subject where {is_orphan(check, neighbours)}"


def is_orphan(check: Check, neighbours: Neighbours) -> str:
    """No row of the other dataset has the value; a null refers to nothing (the contract's `required` judges nulls)."""
    parent = neighbours.relation(check.arguments["dataset"])
    ours = [f"subject.{identifier(name)}" for name in check.columns]
    theirs = [f"parent.{identifier(name)}" for name in check.arguments["columns"]]
    is_named = " and ".join(f"{column} is not null" for column in ours)
    is_same = " and ".join(f"{their} = {our}" for our, their in zip(ours, theirs, strict=True))
    return f"{is_named} and not exists (select from {parent} as parent where {is_same})"
