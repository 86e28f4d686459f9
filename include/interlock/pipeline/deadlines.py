"""When a partition is late: until then whatever waits for it is patient, from then on it is told.

The instant is the end of the day in UTC and the latency that the contract promises, by the platform's own clock.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from interlock import clock
from interlock.db.connection import Role

if TYPE_CHECKING:
    from interlock.contracts.model import Contract
    from interlock.pipeline.runs import Session


def due(contract: Contract, partition: str) -> datetime | None:
    """When a partition should have arrived; None where its contract promises nothing of the kind."""
    if contract.freshness is None or partition == "all":
        return None
    return datetime.combine(date.fromisoformat(partition) + timedelta(days=1), time.min, UTC) + contract.freshness


def has_passed(session: Session, contract: Contract, partition: str) -> bool:
    """Whether a partition is late by now."""
    instant = due(contract, partition)
    return instant is not None and clock.now(session.connection(Role.OPERATOR)) > instant
