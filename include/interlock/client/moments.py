"""When something was asked, and how long what was answered holds here.

An answer runs out by the platform's clock, which may be another than this machine's and may be set. What both agree on
is how long a second is: an answer holds for as long as lay between its two times, counted from before the question was
sent, when it cannot have been given yet. It is counted twice, because a monotonic clock may stand still while a machine
sleeps, and a wall clock may be turned back.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from interlock import clock
from interlock.errors import CouldNotAsk


@dataclass(frozen=True)
class Moment:
    """Now, by both clocks of this machine."""

    wall: datetime
    steady: float

    @classmethod
    def now(cls) -> Moment:
        """The present moment."""
        return cls(clock.real_now(), time.monotonic())

    def plus(self, span: timedelta) -> Moment:
        """The moment so much later."""
        return Moment(self.wall + span, self.steady + span.total_seconds())

    @property
    def is_past(self) -> bool:
        """Whether it is over by either clock."""
        now = Moment.now()
        return now.wall >= self.wall or now.steady >= self.steady


@dataclass(frozen=True)
class Deadline:
    """By when a call must have ended, whatever it is waiting for."""

    ends: float
    seconds: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """So many seconds from now."""
        return cls(time.monotonic() + seconds, seconds)

    @property
    def left(self) -> float:
        """Seconds that are left, never less than none."""
        return max(0.0, self.ends - time.monotonic())

    def require_time(self) -> float:
        """The seconds that are left. Raises CouldNotAsk where there are none."""
        left = self.left
        if left <= 0:
            raise CouldNotAsk(
                f"There was no answer within {self.seconds:g} seconds.",
                fix="Read this as *not safe*. Ask again, or allow it more time (`timeout=`).",
            )
        return left
