"""What hangs on some partitions: asked by whoever wants to know before anything is proposed."""

from __future__ import annotations

from collections.abc import Sequence

from interlock.control.kinds.base import radius_of_partitions
from interlock.control.records import Radius
from interlock.db.connection import Role, connect
from interlock.db.failures import translated


def radius(dataset: str, partitions: Sequence[str]) -> Radius:
    """The partitions of a dataset and everything downstream of them, with who stands on it."""
    with translated(), connect(Role.AUDITOR) as connection:
        return radius_of_partitions(connection, dataset, tuple(partitions))
