"""A metric as a consumer gets it: no number, but an envelope that gives its number away only while that is safe.

A value that is not safe looks like every other float: half a week's flights are a plausible week. So `value` raises,
and who wants the number all the same (to show it struck through, say) has to write `unsafe_value`.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from interlock.client.answers import misunderstood, runs_out
from interlock.client.moments import Moment
from interlock.client.refusals import SHOWN_REASONS, NotSafe, what_clears
from interlock.errors import CouldNotAsk
from interlock.safety.answer import Reason

Value = float | int | None


class MetricRow(BaseModel):
    """The value for one combination of the dimensions."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    group: dict[str, str | int | bool | date | None]
    value: Value


class Metric(BaseModel):
    """A metric over the days from `start` to `end`, both included, and whether it is safe to act on."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    metric: str
    description: str = ""
    group_by: tuple[str, ...] = ()
    start: date | None
    end: date | None
    unsafe_value: Value = Field(alias="value")
    unsafe_rows: tuple[MetricRow, ...] = Field(default=(), alias="rows")
    safe: bool
    reasons: tuple[Reason, ...]
    contract_versions: dict[str, Any] = {}
    as_of: datetime
    valid_until: datetime | None
    clock_offset_seconds: float | None = None

    _runs_out: Moment | None = PrivateAttr(default=None)

    @property
    def is_current(self) -> bool:
        """Whether it still holds."""
        return not self.safe or (self._runs_out is not None and not self._runs_out.is_past)

    @property
    def value(self) -> Value:
        """The number. Raises NotSafe where it is not safe to act on, CouldNotAsk where it has run out."""
        self.require_safe()
        return self.unsafe_value

    @property
    def rows(self) -> tuple[MetricRow, ...]:
        """The numbers by `group_by`. Raises as `value` does."""
        self.require_safe()
        return self.unsafe_rows

    def require_safe(self) -> None:
        """Raises NotSafe with the reasons where it is not safe to act on, CouldNotAsk where it has run out."""
        if not self.safe:
            raise NotSafe(
                f"{self.metric} from {self.start} to {self.end} is not safe: {self._said()}",
                fix=what_clears(self.reasons),
                reasons=self.reasons,
            )
        if not self.is_current:
            raise CouldNotAsk(
                f"The value of {self.metric} held until {self.valid_until} and has run out.",
                fix="Read this as *not safe*, and ask anew.",
            )

    def __bool__(self) -> bool:
        return self.safe and self.is_current

    def __str__(self) -> str:
        shown = f"{len(self.unsafe_rows)} groups" if self.group_by else self.unsafe_value
        return f"{self.metric} = {shown}" if self else f"{self.metric} = {shown} (NOT SAFE: {self._said()})"

    def _said(self) -> str:
        if self.safe:
            return "it has run out"
        said = " ".join(f"[{reason.partition}] {reason.message}" for reason in self.reasons[:SHOWN_REASONS])
        more = len(self.reasons) - SHOWN_REASONS
        return (said or "no reason is recorded.") + (f" (and {more} more)" if more > 0 else "")


def metric_from(document: Any, asked: Moment, wanted: dict[str, Any]) -> Metric:
    """A document as the metric that was wanted: its name, days and dimensions. Raises CouldNotAsk where it is none."""
    try:
        found = Metric.model_validate(document, extra="ignore")
    except ValidationError as error:
        raise misunderstood(f"it differs from the form of a metric in {error.error_count()} places") from error
    if any(getattr(found, name) != value for name, value in wanted.items()):
        raise misunderstood(f"it is about {found.metric} from {found.start} to {found.end}, which was not the question")
    if found.safe and found.reasons:
        raise misunderstood("it says safe and gives reasons why it is not")
    found._runs_out = runs_out(asked, found)
    return found
