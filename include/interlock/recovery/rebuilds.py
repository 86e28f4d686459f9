"""Queued rebuilds: what was built from an input that has been replaced since, carried out through the ordinary chain.

The publish that replaced the input queued the rebuild in its own transaction, so none can be
forgotten; one that keeps failing is left to a person after a few attempts, still unsafe.
"""

from __future__ import annotations

import logging
from collections import defaultdict

from interlock.db.connection import Role, connect, statement
from interlock.errors import InterlockError
from interlock.pipeline import chain
from interlock.pipeline.chain import Report

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 5


def pending() -> dict[str, list[str]]:
    """The partitions to rebuild, by domain; those that no attempt has mended are left out."""
    found: dict[str, list[str]] = defaultdict(list)
    with connect(Role.OPERATOR) as connection:
        for domain, partition in connection.execute(statement("recovery/pending.sql"), {"max_attempts": MAX_ATTEMPTS}):
            found[domain].append(partition)
    return dict(found)


def carry_out(by: str) -> list[Report]:
    """Run every queued rebuild once. A partition that another run holds waits for the next time."""
    reports = []
    for domain, partitions in pending().items():
        with connect(Role.OPERATOR) as connection:
            connection.execute(statement("recovery/count_attempt.sql"), {"domain": domain, "partitions": partitions})
        try:
            reports.append(chain.run(domain, partitions, trigger="rebuild", by=by))
        except InterlockError as error:
            logger.warning("rebuilds of %s (%s) were not carried out: %s", domain, ", ".join(partitions), error)
    return reports
