"""Queued rebuilds: what was built from an input that was replaced, or delivered late, carried out through the chain.

The publish that replaced the input queued the rebuild in its own transaction, so none can be forgotten; what was
delivered late is looked for first (`recovery.late`). One that keeps failing is left to a person after a few attempts,
still unsafe.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable

from interlock import logs
from interlock.db.connection import Role, connect, statement
from interlock.errors import InterlockError, PermanentFailure
from interlock.pipeline import chain
from interlock.pipeline.chain import Report
from interlock.pipeline.hindrances import Blocked, failure_message, where_to_look
from interlock.recovery import late

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
    """Run every queued rebuild once, domain by domain; again as long as one of them has queued another.

    What was delivered late is found and queued first. A partition that another run holds waits for the next time.
    Raises, after all were tried, where one could not be run at all, or a landing folder not be looked at.
    """
    tried: set[tuple[str, str]] = set()
    reports: list[Report] = []
    failures: list[InterlockError] = late.queue()
    while queued := {
        domain: rest
        for domain, partitions in pending().items()
        if (rest := [partition for partition in partitions if (domain, partition) not in tried])
    }:
        for domain, partitions in queued.items():
            tried |= {(domain, partition) for partition in partitions}
            _count_attempt(domain, partitions)
            try:
                reports.append(chain.run(domain, partitions, trigger="rebuild", by=by))
                _end_reruns(domain, partitions)
            except InterlockError as error:
                with logs.bound(domain=domain, partition=partitions[0] if len(partitions) == 1 else None):
                    logger.warning("rebuilds of %s (%s) were not carried out: %s", domain, ", ".join(partitions), error)
                failures.append(error)
    if failures:
        raise failures[0]
    return reports


def require_complete(reports: Iterable[Report]) -> list[str]:
    """A line for each rebuild. Raises PermanentFailure where one was blocked: what it was for stays unsafe."""
    lines: list[str] = []
    blocked: list[Blocked] = []
    for report in reports:
        lines.append(f"{report.domain} {' '.join(report.partitions)}: run {report.run_id}")
        blocked += report.blocked
    if blocked:
        raise PermanentFailure(
            f"Rebuilds were blocked, and what they were for stays unsafe:\n{failure_message(blocked)}",
            fix=where_to_look(blocked),
        )
    return lines


def _end_reruns(domain: str, partitions: list[str]) -> None:
    """What an action wanted run again was run again, whatever came of it: what failed says so itself."""
    with connect(Role.OPERATOR) as connection:
        connection.execute("select interlock.end_reruns(%s, %s)", [domain, partitions])


def _count_attempt(domain: str, partitions: list[str]) -> None:
    with connect(Role.OPERATOR) as connection:
        connection.execute(statement("recovery/count_attempt.sql"), {"domain": domain, "partitions": partitions})
