"""What the log says of a phase: that it began, what it made of each dataset, what was blocked, and how it ended.

These are the records that a run is followed by where nobody watches it. Those of the run are bound by whoever calls;
each record about a partition carries its own: dataset, partition, and the load or the version that it speaks of.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from interlock import logs
from interlock.errors import InterlockError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from interlock.contracts.model import Catalog
    from interlock.pipeline.runs import Outcome
    from interlock.quality.gate import Judgement

logger = logging.getLogger(logs.PROGRESS)


def began(phase: str) -> Callable[[], float]:
    """Say that a phase began; returns what tells the seconds since."""
    logger.info("%s began", phase)
    start = time.monotonic()
    return lambda: round(time.monotonic() - start, 3)


def ended(phase: str, outcome: Outcome, seconds: float) -> None:
    """Say what got through, and each thing that was blocked, once: where it began, and not what it holds back."""
    for dataset, partition in outcome.done:
        with logs.bound(dataset=dataset, partition=partition):
            logger.debug("%s: %s %s is through", phase, dataset, partition)
    for item in outcome.blocked:
        if item.origin is None:
            with logs.bound(dataset=item.dataset, partition=item.partition):
                logger.warning("%s: %s %s is blocked: %s", phase, item.dataset, item.partition, item.reason)
    how = "failed" if outcome.blocked else "completed"
    figures = {"through": len(outcome.done), "blocked": len(outcome.blocked), "seconds": seconds}
    counted = ""
    if outcome.rows is not None:
        figures["rows"] = outcome.rows
        counted = f"{outcome.rows:,} rows, "
    told = f"{counted}{len(outcome.done)} through, {len(outcome.blocked)} blocked"
    logger.log(
        logging.ERROR if outcome.blocked else logging.INFO, "%s %s in %.1f s: %s", phase, how, seconds, told,
        extra=figures,
    )  # fmt: skip


def sealed(dataset: str, version: int, partitions: Sequence[str]) -> None:
    """Say that a candidate was taken out of the builder's hands."""
    only = partitions[0] if len(partitions) == 1 else None
    with logs.bound(dataset=dataset, partition=only, version=version):
        logger.debug("%s: version %d is sealed for %s", dataset, version, ", ".join(partitions))


def judged(judgements: Iterable[Judgement], kind: str) -> None:
    """Say what a gate has found, verdict by verdict; `kind` is what it judged: a load, or a version."""
    for found in judgements:
        with _about(found.dataset, found.partition, kind, found.version):
            extra = {"verdict": found.verdict_id, "outcome": found.outcome}
            logger.debug(
                "%s %s %s %d has %s", found.dataset, found.partition, kind, found.version, found.outcome, extra=extra
            )


def published(batch: Mapping[str, Mapping[str, int]], catalog: Catalog) -> None:
    """Say which versions are served now, by partition and dataset."""
    for partition, versions in batch.items():
        for dataset, version in versions.items():
            kind = "load" if catalog[dataset].layer == "raw" else "version"
            with _about(dataset, partition, kind, version):
                logger.debug("%s %s is served: %s %d", dataset, partition, kind, version)


def _about(dataset: str, partition: str, kind: str, number: int) -> AbstractContextManager[None]:
    return logs.bound(dataset=dataset, partition=partition, **{kind: number})


def broke(phase: str, error: BaseException, said: str, seconds: float) -> None:
    """Say that a phase did not end by itself; what nobody foresaw is shown with its traceback."""
    kind = type(error).__name__
    unforeseen = error if isinstance(error, Exception) and not isinstance(error, InterlockError) else None
    figures = {"seconds": seconds, "failure_class": kind}
    logger.error("%s failed after %.1f s: %s: %s", phase, seconds, kind, said, exc_info=unforeseen, extra=figures)
