"""From a filter to a selection: the one way in which what is asked for, and by whom, reaches the SQL of a list."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path

from interlock.api import paging
from interlock.api.filters import Filter
from interlock.api.identity import Caller
from interlock.api.state import KnownDataset
from interlock.db.listing import LARGEST, Selection
from interlock.errors import UsageError
from interlock.safety.answers import ALL, require_partition

Number = Annotated[int, Path(ge=1, le=LARGEST)]


def selection(wanted: Filter, caller: Caller, of_list: str, key_length: int = 1) -> Selection:
    """What of a list is wanted and may be read; one item more than the page takes, so that its end is known."""
    cut = wanted.within(caller)
    every = caller.domains is None
    return Selection(
        domains=tuple(cut.domain) or (None if every else ()),
        datasets=tuple(cut.dataset) or None,
        layers=tuple(cut.layer) or None,
        states=tuple(cut.state) or None,
        kinds=tuple(cut.kind) or None,
        partitions=tuple(cut.partition) or None,
        partition_from=cut.partition_from.isoformat() if cut.partition_from else None,
        partition_to=cut.partition_to.isoformat() if cut.partition_to else None,
        since=cut.since,
        until=cut.until,
        after=paging.after(of_list, cut.cursor, key_length),
        limit=cut.limit + 1,
    )


def require_words(given: list[str], known: type, what: str) -> None:
    """UsageError for a word that is none of a closed set: an empty list would read as *there is none*."""
    words = [str(item) for item in known]  # type: ignore[attr-defined]
    if strange := sorted(set(given) - set(words)):
        raise UsageError(f"{', '.join(strange)[:200]}: not a {what} here.", fix=f"Use {', '.join(words)}.")


def known_partition(
    partition: Annotated[str, Path(description="A day as YYYY-MM-DD, or `all`.", max_length=40)],
) -> str:
    """The partition that the path names. Raises UsageError for what cannot be one."""
    require_partition(partition)
    return partition


def partition_of(dataset: KnownDataset, partition: str) -> str:
    """The same, as far as the dataset can have it."""
    if (dataset.grain == ALL) != (partition == ALL):
        fix = "Its one partition is `all`." if dataset.grain == ALL else "Name a day, as YYYY-MM-DD."
        raise UsageError(f"{dataset.name} has no partition {partition}.", fix=fix)
    return partition


PartitionName = Annotated[str, Depends(known_partition)]
