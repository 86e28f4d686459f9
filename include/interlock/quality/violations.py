"""Checks as SQL: the condition that a violating row satisfies, and the statements that count repeats and orphans.

A condition over one row is counted together with all others in one statement. Uniqueness is a property of a
partition: a key may not repeat inside it, whichever way a range happens to be cut, so that a backfill of a year and
365 single days come to the same verdicts. In every statement the judged rows are called `subject`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.contracts.checks import CheckKind
from interlock.quality.sqltext import identifier, literal, type_name

if TYPE_CHECKING:
    from interlock.contracts.checks import Check
    from interlock.quality.subjects import Subject


def condition(check: Check, workspace: str) -> str | None:
    """What makes a row a violating one; None where no condition over one row says it, or only GX knows it."""
    if check.kind is CheckKind.CASTABLE:
        return f"not pg_input_is_valid({identifier(check.columns[0])}, {literal(type_name(check.arguments['type']))})"
    if check.kind is CheckKind.MAX_LENGTH:
        return f"char_length({identifier(check.columns[0])}) > {int(check.arguments['maximum'])}"
    if check.kind is CheckKind.ROW_EXPRESSION:
        return f"({check.arguments['expression']}\n) is false"
    if check.kind is CheckKind.FOREIGN_KEY:
        return _is_orphan(check, workspace)
    return None


def statement(check: Check, subject: Subject, workspace: str) -> str:
    """A scalar statement that counts the violating rows of a check that needs more than the row itself."""
    if check.kind is CheckKind.UNIQUE:
        return f"select coalesce(sum(times), 0) from ({repeats(check, subject)}) as repeated"
    return f"select count(*) from ({subject.query}) as subject where {_is_orphan(check, workspace)}"


def repeats(check: Check, subject: Subject) -> str:
    """Keys that occur `times` > 1 in a partition. A row without any part of the key is judged by `required` alone."""
    columns = [identifier(name) for name in check.columns]
    part = [] if subject.is_one_partition or subject.key in columns else [subject.key]
    group = ", ".join(part + columns)
    is_named = " or ".join(f"{column} is not null" for column in columns)
    return (
        f"select {group}, count(*) as times from ({subject.query}) as subject where {is_named}"
        f" group by {group} having count(*) > 1"
    )


def parent_relation(workspace: str, dataset: str, is_raw: bool) -> str:
    """Where another dataset lies for a gate: pinned, or just sealed, in the workspace of the run."""
    return f"{identifier(workspace)}.{identifier(f'{dataset}_accepted' if is_raw else dataset)}"


def _is_orphan(check: Check, workspace: str) -> str:
    """No row of the parent has the value; a null refers to nothing (the contract's `required` judges nulls)."""
    parent = parent_relation(workspace, check.arguments["dataset"], is_raw=False)
    ours = [f"subject.{identifier(name)}" for name in check.columns]
    theirs = [f"parent.{identifier(name)}" for name in check.arguments["columns"]]
    is_named = " and ".join(f"{column} is not null" for column in ours)
    is_same = " and ".join(f"{their} = {our}" for our, their in zip(ours, theirs, strict=True))
    return f"{is_named} and not exists (select from {parent} as parent where {is_same})"
