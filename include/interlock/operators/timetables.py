"""When a domain's runs begin by themselves: by its cron expression, and only on days that it has data of.

Airflow's own way to say this, a DAG's `start_date` and `end_date`, is inherited by every task, and a
manual run whose logical date lies outside them is made *without tasks*: green at once, and nothing was
done. The Trigger dialog offers today as the logical date, so for a domain that is over that was every
run. Here the days bound the schedule and backfills alone; a run outside them has its tasks, and `admit`
says why it is refused.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any

from airflow.sdk.timezone import coerce_datetime
from airflow.timetables.base import TimeRestriction
from airflow.timetables.interval import CronDataIntervalTimetable

if TYPE_CHECKING:
    from airflow.timetables.base import DagRunInfo, DataInterval

ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)


class DaysOfDomain(CronDataIntervalTimetable):
    """A cron expression in UTC, from the first day of a domain to its last, if it has one."""

    def __init__(self, cron: str, first: date, last: date | None) -> None:
        super().__init__(cron, timezone="UTC")
        self._days = (first, last)

    def serialize(self) -> dict[str, Any]:
        """What the scheduler keeps of it."""
        first, last = self._days
        return {"cron": self._expression, "first": first.isoformat(), "last": last and last.isoformat()}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> DaysOfDomain:
        """The timetable that `serialize` described."""
        last = data["last"] and date.fromisoformat(data["last"])
        return cls(data["cron"], date.fromisoformat(data["first"]), last)

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """The next run whose data interval begins on one of the domain's days."""
        first = coerce_datetime(datetime.combine(self._days[0], time.min, UTC))
        last = coerce_datetime(datetime.combine(self._days[1], time.min, UTC)) if self._days[1] else None
        bounded = TimeRestriction(
            max(filter(None, (first, restriction.earliest))),
            min(filter(None, (last, restriction.latest)), default=None),
            restriction.catchup,
        )
        return super().next_dagrun_info(last_automated_data_interval=last_automated_data_interval, restriction=bounded)
