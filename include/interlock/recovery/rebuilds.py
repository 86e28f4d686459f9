"""Queued rebuilds: what was built from an input that has been replaced since, carried out through the ordinary chain.

The publish that replaced the input queued the rebuild in its own transaction, so none can be
forgotten; one that keeps failing is left to a person after a few attempts, still unsafe.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence

from interlock.db.connection import Role, connect, statement
from interlock.errors import InterlockError, PermanentFailure
from interlock.pipeline import chain
from interlock.pipeline.chain import Report
from interlock.pipeline.hindrances import failure_message

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 5


def pending() -> dict[str, list[str]]:
    """The partitions to rebuild, by domain; those that no attempt has mended, or that a run holds now, are left out."""
    found: dict[str, list[str]] = defaultdict(list)
    with connect(Role.OPERATOR) as connection:
        for domain, partition in connection.execute(statement("recovery/pending.sql"), {"max_attempts": MAX_ATTEMPTS}):
            found[domain].append(partition)
    return dict(found)


def carry_out(by: str) -> list[Report]:
    """Run every queued rebuild once. A partition that another run holds waits for the next time."""
    reports = []
    # Domain by domain, and again as long as there is something new: what one rebuilds, another may have to follow.
    done: set[tuple[str, str]] = set()
    while queued := {
        domain: rest
        for domain, partitions in pending().items()
        if (rest := [partition for partition in partitions if (domain, partition) not in done])
    }:
        for domain, partitions in queued.items():
            done |= {(domain, partition) for partition in partitions}
            reports += _carried_out(domain, partitions, by)
    return reports


def described(reports: Sequence[Report]) -> list[str]:
    """A line for each rebuild. Raises PermanentFailure where one was blocked, so that it is seen."""
    blocked = [item for report in reports for item in report.blocked]
    if blocked:
        raise PermanentFailure(
            f"rebuilds were blocked, and what they were for stays unsafe:\n{failure_message(blocked)}",
            fix="`interlock explain DATASET --partition P` shows the evidence and what clears it.",
        )
    return [f"{report.domain} {' '.join(report.partitions)}: run {report.run_id}" for report in reports]


def _carried_out(domain: str, partitions: list[str], by: str) -> list[Report]:
    with connect(Role.OPERATOR) as connection:
        connection.execute(statement("recovery/count_attempt.sql"), {"domain": domain, "partitions": partitions})
    try:
        return [chain.run(domain, partitions, trigger="rebuild", by=by)]
    except InterlockError as error:
        logger.warning("rebuilds of %s (%s) were not carried out: %s", domain, ", ".join(partitions), error)
        return []
