"""The answer to "is it safe?", in the one shape that everybody gets it in.

The command line, the HTTP API, the client and Airflow carry these and derive nothing of their own. Nothing but pydantic
is needed to read one, so that a consumer's program may.
"""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from interlock.errors import Exit


class State(StrEnum):
    """What the safety of a partition can be. Only `safe` and `rebuilding` are safe."""

    UNKNOWN = "unknown"
    CHECKING = "checking"
    SAFE = "safe"
    UNSAFE = "unsafe"
    QUARANTINED = "quarantined"
    REBUILDING = "rebuilding"


class Reason(BaseModel):
    """One reason for the state: what was found, on what evidence, and what clears it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str
    message: str
    clears: str
    path: tuple[str, ...] = ()
    evidence: dict[str, Any] = {}
    since: datetime | None = None
    partition: str | None = None


class Freshness(BaseModel):
    """How old the newest safe partition of the dataset is, against what its contract promises."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    last_partition: date | None
    lag_seconds: float | None
    sla_seconds: float | None


class Waiver(BaseModel):
    """The permission of one named consumer to read in `waived.<dataset>` what is not safe. It makes nothing safe."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    consumer: str
    expires_at: datetime
    reason: str
    action: int


class Answer(BaseModel):
    """The answer to "is it safe?". Without a partition it speaks for the dataset's window and freshness."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    partition: str | None
    state: State
    safe: bool
    reasons: tuple[Reason, ...]
    version: int | None
    contract_version: str
    verdict_id: int | None
    as_of: datetime
    valid_until: datetime | None
    freshness: Freshness
    waiver: Waiver | None
    bootstrapped: bool
    warnings: int
    clock_offset_seconds: float | None

    @property
    def exit_code(self) -> Exit:
        """What a script is told: 0 safe, 3 unsafe or quarantined, 4 unknown or checking."""
        if self.safe:
            return Exit.OK
        return Exit.UNSAFE if self.state in (State.UNSAFE, State.QUARANTINED) else Exit.UNKNOWN
