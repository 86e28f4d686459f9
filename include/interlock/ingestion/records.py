"""What the database keeps of a feed's deliveries: each one that came, and the loads that were made of them.

The rules are functions of the database; this module only calls them, so that whoever loads speaks of deliveries.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from interlock.db.connection import statement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interlock.contracts.model import Contract
    from interlock.db.connection import Connection
    from interlock.ingestion.errors import DeliveryRefused
    from interlock.ingestion.landing import Delivery


class Known(BaseModel):
    """The newest load of a partition, or of one of its increments."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    load_id: int
    content_hash: str
    bytes: int
    rows: int
    is_accepted: bool
    needs_gate: bool


class Withdrawn(BaseModel):
    """A content that must not come back by being delivered again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    content_hash: str
    load_id: int
    why: str


class Records:
    """The records of one feed, written by one run as the loader."""

    def __init__(self, connection: Connection, run: tuple[int, int], contract: Contract) -> None:
        self._connection = connection
        self._run = run
        self._contract = contract

    def begin(self, partition: str, delivery: Delivery | None, source_file: str) -> int:
        """Open a load in this transaction; its lock is waited for."""
        delivered_on, sequence = delivery.increment if delivery else (None, None)
        row = self._connection.execute(
            "select interlock.begin_load(%s, %s, %s, %s, %s, %s, '', %s)",
            [*self._run, self._contract.dataset, partition, delivered_on, source_file, sequence],
        ).fetchone()
        return int(row[0]) if row else 0

    def finish(self, load_id: int, rows: int, size: int, sha256: str, fingerprint: str | None) -> None:
        """Close the load of this transaction with what was counted."""
        self._connection.execute(
            "select interlock.finish_load(%s, %s, %s, %s, %s)", [load_id, rows, size, sha256, fingerprint]
        )

    def newest(self, partition: str, delivery: Delivery | None, after: int = 0) -> Known | None:
        """The newest load, of that increment where one is given; what is not accepted counts above `after` alone."""
        delivered_on, sequence = delivery.increment if delivery else (None, None)
        row = self._connection.execute(
            statement("ingestion/newest_load.sql"),
            {
                "dataset": self._contract.dataset, "partition": partition, "is_any": delivery is None,
                "delivered_on": delivered_on, "sequence": sequence, "after": after,
            },
        ).fetchone()  # fmt: skip
        return Known(**dict(zip(Known.model_fields, row, strict=True))) if row else None

    def accepted(self, partition: str) -> set[tuple[str, str]]:
        """File and fingerprint of every increment that came last as it was accepted: it need not be read again."""
        rows = self._connection.execute(
            statement("ingestion/known_increments.sql"), {"dataset": self._contract.dataset, "partition": partition}
        )
        return {(file, fingerprint) for file, fingerprint in rows}

    def served_delivery(self, partition: str) -> date | None:
        """When what is served of a partition was delivered, where deliveries replace each other."""
        row = self._connection.execute(
            statement("ingestion/served_delivery.sql"), {"dataset": self._contract.dataset, "partition": partition}
        ).fetchone()
        return row[0] if row else None

    def withdrawn(self, partition: str) -> list[Withdrawn]:
        """The contents of a partition that were recalled, or quarantined and not released."""
        rows = self._connection.execute(
            statement("ingestion/withdrawn_contents.sql"), {"dataset": self._contract.dataset, "partition": partition}
        )
        return [Withdrawn(**dict(zip(Withdrawn.model_fields, row, strict=True))) for row in rows]

    def standing(self, delivery: Delivery) -> tuple[str, bool] | None:
        """The content that is accepted in a delivery's place, and whether it is out of sight; None without any."""
        delivered_on, sequence = delivery.increment
        row = self._connection.execute(
            statement("ingestion/standing_content.sql"),
            {
                "dataset": self._contract.dataset, "partition": delivery.partition,
                "delivered_on": delivered_on, "sequence": sequence,
            },
        ).fetchone()  # fmt: skip
        return (row[0], row[1]) if row else None

    def write(
        self,
        outcome: str,
        partition: str,
        delivery: Delivery | None = None,
        *,
        known: Known | None = None,
        error: dict[str, Any] | None = None,
    ) -> None:
        """Put on record what became of a delivery, or of a partition without one, that was not loaded now."""
        from psycopg.types.json import Jsonb

        delivered_on, sequence = delivery.increment if delivery else (None, None)
        self._connection.execute(
            "select interlock.record_delivery(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                *self._run, self._contract.dataset, partition, delivery.file if delivery else None,
                known.content_hash if known else None, outcome, known.load_id if known else None,
                delivered_on, sequence, delivery.fingerprint if delivery else None, Jsonb(error) if error else None,
            ],
        )  # fmt: skip

    def refuse(
        self,
        outcome: str,
        partition: str,
        refused: DeliveryRefused,
        delivery: Delivery | None,
        sha256: str | None = None,
    ) -> None:
        """Put a refusal on record, and with it the cause that makes the partition unsafe."""
        from psycopg.types.json import Jsonb

        delivered_on, sequence = delivery.increment if delivery else (None, None)
        self._connection.execute(
            "select interlock.refuse_delivery(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                *self._run, self._contract.dataset, partition, refused.evidence["file"], sha256, outcome,
                refused.code, refused.message, refused.fix, Jsonb(refused.evidence),
                delivered_on, sequence, delivery.fingerprint if delivery else None,
            ],
        )  # fmt: skip

    def withdraw(self, partition: str, lying: Sequence[Delivery]) -> None:
        """Put on record which refused increments lie there no more and never were accepted in any form."""
        self._connection.execute(
            statement("ingestion/withdraw_increments.sql"),
            {
                "run_id": self._run[0], "token": self._run[1],
                "dataset": self._contract.dataset, "partition": partition,
                "dates": [delivery.delivered_on for delivery in lying],
                "sequences": [delivery.sequence for delivery in lying],
            },
        )  # fmt: skip
