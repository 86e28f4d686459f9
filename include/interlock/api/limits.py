"""How often somebody may ask: a bucket of tokens for each credential, and for each address that shows none that holds.

Kept in the process, because what they protect is the process and its connections: with several behind one address each
counts by itself.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict

from interlock.api.problems import Refusing

# Who was not heard of for longest is forgotten first: the memory of a process is bounded, whoever comes.
REMEMBERED = 10_000


class Limit:
    """At most `per_second` on average, and `burst` at once, for each key."""

    def __init__(self, per_second: float, burst: float) -> None:
        self._rate = per_second
        self._burst = burst
        self._left: OrderedDict[object, tuple[float, float]] = OrderedDict()

    def take(self, key: object, what: str) -> None:
        """Count one; Refusing (429, with the time to wait) where there is none left."""
        left = self.require_left(key, what)
        self._left[key] = (left - 1, time.monotonic())

    def require_left(self, key: object, what: str) -> float:
        """What is left; Refusing where that is nothing."""
        left = self._filled(key)
        if left < 1:
            wait = max(1, math.ceil((1 - left) / self._rate))
            raise Refusing(429, f"Too many {what}.", fix=f"Wait {wait} s.", headers={"Retry-After": str(wait)})
        return left

    def _filled(self, key: object) -> float:
        """What is left for the key now."""
        left, since = self._left.pop(key, (self._burst, 0.0))
        now = time.monotonic()
        left = min(self._burst, left + (now - since) * self._rate)
        self._left[key] = (left, now)
        if len(self._left) > REMEMBERED:
            self._left.popitem(last=False)
        return left
