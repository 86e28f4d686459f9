"""What the log says of a phase: that it began, how it ended, and what in it was blocked.

These are the records that a run is followed by where nobody watches it. The ids are bound by whoever calls.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from interlock import logs
from interlock.errors import InterlockError

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.pipeline.runs import Outcome

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


def broke(phase: str, error: BaseException, said: str, seconds: float) -> None:
    """Say that a phase did not end by itself; what nobody foresaw is shown with its traceback."""
    kind = type(error).__name__
    unforeseen = error if isinstance(error, Exception) and not isinstance(error, InterlockError) else None
    figures = {"seconds": seconds, "failure_class": kind}
    logger.error("%s failed after %.1f s: %s: %s", phase, seconds, kind, said, exc_info=unforeseen, extra=figures)
