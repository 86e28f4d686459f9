"""Checks that must hold for every row: judged once on all partitions together, split only where they fail.

What holds for every row of a year holds for every row of each of its days, so a range costs one statement and not
365. Where a check fails, one more statement finds the guilty partitions, their counts and a few of their keys, so
that a bad day takes no good one with it. That inference is about rows: it says nothing on a partition without any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from interlock.contracts.checks import CheckKind, Scope
from interlock.quality import violations
from interlock.quality.sqltext import identifier
from interlock.quality.subjects import ROW_NUMBER

if TYPE_CHECKING:
    import sqlalchemy as sa

    from interlock.contracts.checks import Check
    from interlock.quality.subjects import Subject
    from interlock.quality.suites import Answer, Suites

SAMPLE_KEYS = 20


@dataclass
class Breaches:
    """Where one check does not hold: counts and keys by partition, and what kept it from being evaluated."""

    counts: dict[str, int | None] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    samples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def breaches(suites: Suites, subject: Subject, checks: Sequence[Check]) -> dict[str, Breaches]:
    """Every check with where it does not hold, by the check's id."""
    shares = [
        check
        for check in checks
        if check.scope == Scope.PARTITION and (not subject.is_one_partition or check.kind is CheckKind.FOREIGN_KEY)
    ]
    apart = {check.id for check in shares}
    whole = [check for check in checks if check.id not in apart]
    found = {check.id: Breaches() for check in checks}
    answers = suites.answers(subject, whole)
    for check in whole:
        if not answers[check.id].held:
            found[check.id] = _guilty(suites, subject, check, answers[check.id])
    for check in shares:
        found[check.id] = _shares(suites, subject, check)
    return found


def guilty(suites: Suites, subject: Subject, check: Check, most: int) -> list[tuple[str, int]]:
    """The partition and row number of each row of a load that does not meet a check, the first `most` of a partition.

    Nothing for a check that cannot tell which rows they are.
    """
    import sqlalchemy as sa

    unexpected = _unexpected(suites, subject, check)
    if unexpected is None:
        return []
    key: sa.Label[Any] = sa.literal_column(subject.key).label("part_key")
    row: sa.Label[Any] = sa.literal_column(identifier(ROW_NUMBER)).label("found_row")
    nth = sa.func.row_number().over(partition_by=key.element, order_by=row.element).label("nth")
    ranked = sa.select(key, row, nth).select_from(suites.relation(subject)).where(unexpected).subquery("ranked")
    found = suites.fetch(sa.select(ranked.c.part_key, ranked.c.found_row).where(ranked.c.nth <= most))
    return [(subject.partitions[value], int(number)) for value, number in found]


def copies(suites: Suites, subject: Subject, check: Check, columns: Sequence[str], most: int) -> dict[str, list[int]]:
    """The row numbers, by partition, of rows that repeat an earlier one in all columns; the first `most` of each."""
    import sqlalchemy as sa

    found: dict[str, list[int]] = {}
    for value, number in suites.fetch(sa.text(violations.copies(check, subject, columns, most))):
        found.setdefault(subject.partitions[value], []).append(int(number))
    return found


def counted(suites: Suites, subject: Subject) -> dict[str, int]:
    """The number of rows of each partition."""
    import sqlalchemy as sa

    return dict.fromkeys(subject.partitions.values(), 0) | dict(_grouped(suites, subject, sa.func.count()))


def _guilty(suites: Suites, subject: Subject, check: Check, answer: Answer) -> Breaches:
    everywhere = list(subject.partitions.values())
    if answer.error is not None and (subject.is_one_partition or not answer.is_data_error):
        return Breaches(errors=dict.fromkeys(everywhere, answer.error))
    if check.kind is CheckKind.COLUMN_EXISTS:
        return Breaches(counts=dict.fromkeys(everywhere))
    if answer.error is None:
        try:
            counted = _counted(suites, subject, check)
        except Exception:
            counted = Breaches()
        if counted.counts:
            return counted
    return _searched(suites, subject, check, answer)


def _searched(suites: Suites, subject: Subject, check: Check, answer: Answer) -> Breaches:
    """The guilty partitions of a check that only GX can evaluate, by halving."""
    partitions = list(subject.partitions.values())
    if len(partitions) == 1:
        if answer.error is not None:
            return Breaches(errors={partitions[0]: answer.error})
        return Breaches(counts={partitions[0]: None})
    found = Breaches()
    middle = len(partitions) // 2
    for half in (partitions[:middle], partitions[middle:]):
        part = subject.limited_to(half)
        said = suites.answers(part, [check])[check.id]
        if not said.held:
            inside = _searched(suites, part, check, said)
            found.counts.update(inside.counts)
            found.errors.update(inside.errors)
    # Together they fail and alone none does: nobody can be cleared.
    return found if found.counts or found.errors else Breaches(counts=dict.fromkeys(partitions))


def _shares(suites: Suites, subject: Subject, check: Check) -> Breaches:
    """An expectation about a share of each partition: one grouped statement where GX tells its condition."""
    import sqlalchemy as sa

    try:
        if check.kind is CheckKind.FOREIGN_KEY:
            return _shares_known(suites, subject, check)
        expectation = suites.expectation(subject, check)
        unexpected = suites.unexpected(subject, check) if hasattr(expectation, "column") else None
        if unexpected is None:
            return _one_by_one(suites, subject, check)
        counts_nulls = expectation.map_metric in ("column_values.nonnull", "column_values.null")
        total = sa.func.count() if counts_nulls else sa.func.count(sa.column(expectation.column))
        rows = _grouped(suites, subject, sa.func.count().filter(unexpected), total)
        failed = {
            part: bad for part, bad, all_rows in rows if all_rows and (all_rows - bad) / all_rows < expectation.mostly
        }
        return Breaches(counts=failed, samples=_sampled(suites, subject, unexpected, failed))
    except Exception as error:
        return Breaches(errors=dict.fromkeys(subject.partitions.values(), str(error).split("\n")[0]))


def _shares_known(suites: Suites, subject: Subject, check: Check) -> Breaches:
    """A reference of which a share must exist: of the values that are there, so many are found."""
    import sqlalchemy as sa

    orphan = sa.literal_column(violations.is_orphan(check, suites.neighbours), sa.Boolean)
    is_named = sa.and_(*(sa.literal_column(identifier(name)).is_not(None) for name in check.columns))
    values = sa.func.count().filter(is_named)
    counts = _grouped(suites, subject, sa.func.count().filter(orphan), values)
    share = float(check.arguments["share"])
    failed: dict[str, int | None] = {
        part: bad for part, bad, named in counts if named and (named - bad) / named < share
    }
    return Breaches(counts=failed, samples=_sampled(suites, subject, orphan, failed))


def _one_by_one(suites: Suites, subject: Subject, check: Check) -> Breaches:
    """The slow way, a run of GX for each partition: for what is neither about rows nor about a share of them."""
    found = Breaches()
    for partition in subject.partitions.values():
        answer = suites.answers(subject.limited_to([partition]), [check])[check.id]
        if answer.error is not None:
            found.errors[partition] = answer.error
        elif not answer.held:
            found.counts[partition] = None
    return found


def _counted(suites: Suites, subject: Subject, check: Check) -> Breaches:
    import sqlalchemy as sa

    if check.kind is CheckKind.UNIQUE:
        return _repeated(suites, subject, check)
    unexpected = _unexpected(suites, subject, check)
    if unexpected is None:
        return Breaches()
    rows = _grouped(suites, subject, sa.func.count(), where=unexpected)
    counts: dict[str, int | None] = dict(rows)
    return Breaches(counts=counts, samples=_sampled(suites, subject, unexpected, counts))


def _unexpected(suites: Suites, subject: Subject, check: Check) -> sa.ColumnElement[bool] | None:
    """The condition of the rows that do not meet a check, where it is about single rows."""
    import sqlalchemy as sa

    if check.kind is CheckKind.FOREIGN_KEY:
        return sa.literal_column(violations.is_orphan(check, suites.neighbours), sa.Boolean)
    return suites.unexpected(subject, check)


def _repeated(suites: Suites, subject: Subject, check: Check) -> Breaches:
    import sqlalchemy as sa

    repeated = sa.text(violations.repeats(check, subject)).columns().subquery("repeated")
    key: sa.ColumnElement[Any] = sa.literal_column(subject.key)
    counts = suites.fetch(sa.select(key, sa.func.sum(sa.column("times"))).select_from(repeated).group_by(sa.text("1")))
    found = {subject.partitions[value]: int(times) for value, times in counts}
    names = list(dict.fromkeys([*check.columns, "times"]))
    return Breaches(counts=dict(found), samples=_first_of_each(suites, subject, repeated, names, None))


def _grouped(suites: Suites, subject: Subject, *columns: Any, where: Any = None) -> list[tuple[Any, ...]]:
    import sqlalchemy as sa

    rows = sa.select(sa.literal_column(subject.key), *columns).select_from(suites.relation(subject))
    rows = (rows if where is None else rows.where(where)).group_by(sa.text("1"))
    # A key that stands in no partition of the version cannot be: sealing refuses such rows.
    return [(subject.partitions[row[0]], *row[1:]) for row in suites.fetch(rows)]


def _sampled(suites: Suites, subject: Subject, unexpected: Any, failed: Any) -> dict[str, list[dict[str, Any]]]:
    if not failed or not subject.key_columns:
        return {}
    return _first_of_each(suites, subject, suites.relation(subject), list(subject.key_columns), unexpected)


def _first_of_each(
    suites: Suites, subject: Subject, relation: Any, names: list[str], where: Any
) -> dict[str, list[dict[str, Any]]]:
    """The first keys of each partition, in the order of the key."""
    import sqlalchemy as sa

    key: sa.Label[Any] = sa.literal_column(subject.key).label("part_key")
    columns: list[sa.Label[Any]] = [
        sa.literal_column(identifier(name)).label(f"k{place}") for place, name in enumerate(names)
    ]
    nth = (
        sa.func.row_number()
        .over(partition_by=key.element, order_by=[column.element for column in columns])
        .label("nth")
    )
    rows = sa.select(key, nth, *columns).select_from(relation)
    ranked = (rows if where is None else rows.where(where)).subquery("ranked")
    samples: dict[str, list[dict[str, Any]]] = {}
    for value, _, *sample in suites.fetch(
        sa.select(ranked).where(ranked.c.nth <= SAMPLE_KEYS).order_by(ranked.c.part_key, ranked.c.nth)
    ):
        samples.setdefault(subject.partitions[value], []).append(dict(zip(names, sample, strict=True)))
    return samples
