"""Which of several rows with one key is kept, and why: a contract's rule, as SQL that knows nothing of the model.

The order is total, so that two runs never choose two winners. Of a feed it ends with the newest delivery, the newest
load and the first row of its file: between rows of one load that share a key only identical copies are left to choose
from, because the feed's own gate refuses anything else. Of another dataset lint demands that key and order together
tell every two rows apart. A row without some part of the key has no rival.
"""

# ruff: noqa: S608 (composed of checked names and literals alone: see sqltext)

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from interlock.quality.sqltext import identifier, literal

LOAD, ROW = "_load_id", "_row_number"
COPY, REPLACED = "a copy of an earlier row of its file", "a newer delivery of it won"
PART, PLACE, WINNING_LOAD, WINNING_ROW = "_part", "_place", "_winning_load", "_winning_row"  # no contract's columns
NEWEST_FIRST = (("_delivered_on", "desc"), ("_sequence", "desc"), (LOAD, "desc"), (ROW, "asc"))


@dataclass(frozen=True)
class Rule:
    """The columns that rows share, and the order in which the first of them wins; nulls come last."""

    key: tuple[str, ...]
    keep: tuple[tuple[str, str], ...]
    is_feed: bool
    is_newest: bool

    @classmethod
    def of(cls, given: Mapping[str, Any], *, is_feed: bool) -> Self:
        """The rule of a clause's `deduplicated`."""
        keep = tuple((item["column"], item["order"]) for item in given.get("keep", ()))
        named = {column for column, _ in keep}
        last = tuple(item for item in NEWEST_FIRST if is_feed and item[0] not in named)
        return cls(tuple(given["key"]), keep + last, is_feed, is_newest=not keep)

    @property
    def reason(self) -> str:
        """Why a row of `ranked` did not win, as an SQL expression over it."""
        if self.is_newest:
            return f"case when {LOAD} = {WINNING_LOAD} then {literal(COPY)} else {literal(REPLACED)} end"
        column, order = self.keep[0]
        return literal(f"the {'lowest' if order == 'asc' else 'highest'} {column} won")

    def may_repeat(self, rows: str) -> str:
        """Whether a key may be there twice: equal keys have equal hashes, which are counted in less time."""
        hashed = f"select hash_record_extended(row({self._names}), 0) as hashed from ({rows}) as rivals"
        counted = f"select from ({hashed} where {self._is_whole}) as rivals group by hashed having count(*) > 1"
        return f"select exists ({counted})"

    def repeated(self, rows: str) -> str:
        """The keys that several of the rows share, in one partition: `_part` tells a row's."""
        return (
            f"select {self._names} from ({rows}) as rivals where {self._is_whole}"
            f" group by {self._names} having count(*) > 1"
        )

    def has_rival(self, alias: str, part: str, rows: str) -> str:
        """Whether a row shares its key with another one, as a condition over the row."""
        names = ", ".join([part, *(f"{alias}.{identifier(name)}" for name in self.key)])
        is_whole = " and ".join(f"{alias}.{identifier(name)} is not null" for name in self.key)
        return f"({is_whole} and ({names}) in ({self.repeated(rows)}))"

    def ranked(self, rows: str) -> str:
        """The rows with their place among those of their key, and of a feed the load and the row that won."""
        order = ", ".join(f"{identifier(column)} {direction} nulls last" for column, direction in self.keep)
        winner = (
            f", first_value({LOAD}) over rivals as {WINNING_LOAD}, first_value({ROW}) over rivals as {WINNING_ROW}"
            if self.is_feed
            else ""
        )
        return (
            f"select *, row_number() over rivals as {PLACE}{winner} from ({rows}) as rivals"
            f" window rivals as (partition by {self._names} order by {order})"
        )

    @property
    def _is_whole(self) -> str:
        return " and ".join(f"{identifier(name)} is not null" for name in self.key)

    @property
    def _names(self) -> str:
        return ", ".join([PART, *map(identifier, self.key)])
