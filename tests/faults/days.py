"""Which days faults are applied to, and on which months thresholds were chosen and are scored.

Baselines begin to count after four weeks, so January is history and is not sampled.
"""

from __future__ import annotations

from datetime import date, timedelta

FIRST, LAST = date(2013, 1, 1), date(2013, 12, 30)  # no weather was recorded on the 31st

SAMPLE = {
    "2013-02-08": "Friday, the blizzard",
    "2013-02-09": "Saturday, the blizzard: 57 % cancelled",
    "2013-03-10": "Sunday, the clocks go forward",
    "2013-04-17": "Wednesday",
    "2013-05-23": "Thursday, thunderstorms",
    "2013-06-15": "Saturday",
    "2013-08-12": "Monday",
    "2013-09-07": "Saturday, few flights",
    "2013-10-25": "Friday, twelve hours of weather missing",
    "2013-11-03": "Sunday, the clocks go back",
    "2013-11-28": "Thanksgiving, the quietest day",
    "2013-11-29": "Friday after Thanksgiving",
    "2013-12-25": "Christmas",
}
# A list is one partition: its faults are applied on one day of either half, each with the flights of that day.
REFERENCE_DAYS = ("2013-03-10", "2013-04-17")
# The short run of the tests: one scored day, and the history that its baselines look back on.
SHORT_DAY = "2013-04-17"
SHORT_FIRST = date(2013, 3, 20)


def is_scored(day: str) -> bool:
    """Whether a day is in an even month; thresholds were chosen on the odd ones."""
    return int(day[5:7]) % 2 == 0


def every_day(first: date = FIRST, last: date = LAST) -> tuple[str, ...]:
    """Consecutive partitions."""
    return tuple(str(first + timedelta(days=number)) for number in range((last - first).days + 1))
