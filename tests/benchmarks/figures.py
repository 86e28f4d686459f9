"""What a benchmark reports."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from statistics import median, quantiles

from pydantic import BaseModel, ConfigDict


class Figure(BaseModel):
    """One measured thing, the reference measured beside it (None where the target is absolute), and the target."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    what: str
    ours: float
    reference: float | None = None
    unit: str = "s"
    target: str

    @property
    def told_ours(self) -> str:
        """Our figure with its unit."""
        return f"{self.ours:,.3g} {self.unit}" if self.ours < 1000 else f"{self.ours:,.0f} {self.unit}"

    @property
    def told_reference(self) -> str:
        """The reference with its unit."""
        if self.reference is None:
            return "-"
        return f"{self.reference:,.3g} {self.unit}" if self.reference < 1000 else f"{self.reference:,.0f} {self.unit}"

    @property
    def told_ratio(self) -> str:
        """Ours over the reference."""
        return f"{self.ours / self.reference:.2f} x" if self.reference else self.told_ours


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def timed(work: Callable[[str], object], arguments: Iterable[str]) -> list[float]:
    """How long the work takes with each argument."""
    return [seconds(lambda: work(argument)) for argument in arguments]  # noqa: B023


def middle(times: list[float]) -> float:
    """The median."""
    return median(times)


def p95(times: list[float]) -> float:
    """The 95th percentile."""
    return quantiles(times, n=20)[-1]
