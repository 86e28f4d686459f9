"""Which partitions a run of any team's DAG is about: one list of rules, of which the first that knows decides.

The day that is asked for must be the day that the run then reads. So a scheduled run, and one of a backfill, means the
day on which its data interval begins, which for Airflow's timetables is `{{ ds }}`; a run that a person started means
the date that they picked; and a run that assets started means what was published, every partition of it, however many
publications Airflow put into one run. A date of such a run would be the moment of its start, and is never used. A run
that has nothing to go by is refused: what was guessed may be safe, and is not what is read.

A cron schedule as Airflow has it by default is without an interval: its run at midnight is named after the day that
begins then, `{{ ds }}` is that day, and so that day is asked for. A sensor waits for it. A run that is about the day
before says so with its timetable (`CronDataIntervalTimetable`), or with `partition=`.

An asset's event says which partition to ask for. Whether that is safe, it does not say: what it carries is a mirror.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from interlock.errors import UsageError

if TYPE_CHECKING:
    from airflow.sdk import Context

ALL = "all"
SCHEME = "interlock"
AUTOMATIC = ("scheduled", "backfill")
BY_ASSETS = "asset_triggered"
NOTHING = (None, "", "None")  # a template makes a word of None
DAY = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)")
FIX = (
    'Pass it: `partition="{{ ds }}"` (a day as YYYY-MM-DD, several of them in a list, or "all" for a dataset without '
    'days), or trigger the run with the parameter {"partition": "2013-01-05"}.'
)

Partitions = tuple[str, ...]


@dataclass(frozen=True)
class Publication:
    """One event of an asset that started the run: which asset, and what was said with it."""

    name: str
    uri: str
    extra: Mapping[str, Any]

    @property
    def partition(self) -> object:
        """The partition that it says was published, whatever that is."""
        return self.extra.get("partition")


@dataclass(frozen=True)
class Occasion:
    """All that a task may know its partitions by. `argument` is the task's own, `parameter` its run's."""

    dataset: str
    argument: str | Sequence[str] | None = None
    parameter: object = None
    run_type: str = "manual"
    key: str | None = None
    interval_start: datetime | None = None
    logical_date: datetime | None = None
    publications: tuple[Publication, ...] = ()


def occasion_of(context: Context, dataset: str, argument: str | Sequence[str] | None) -> Occasion:
    """What a running task may know its partitions by."""
    run = context["dag_run"]
    return Occasion(
        dataset=dataset,
        argument=argument,
        parameter=context["params"].get("partition"),
        run_type=str(getattr(run.run_type, "value", run.run_type)),
        key=getattr(run, "partition_key", None),
        interval_start=run.data_interval_start,
        logical_date=run.logical_date,
        publications=tuple(
            Publication(event.asset.name, event.asset.uri, event.extra or {}) for event in run.consumed_asset_events
        ),
    )


def partitions_of(occasion: Occasion) -> Partitions:
    """The partitions by the first rule of PRECEDENCE that gives any. Raises UsageError where none does."""
    for rule in PRECEDENCE:
        found = rule(occasion)
        if found:
            return found
    raise UsageError(f"This run does not say which partition of {occasion.dataset} it is for.", fix=FIX)


def _argument(occasion: Occasion) -> Partitions | None:
    """What the task was given as `partition`."""
    return _named(occasion.argument, "The task's `partition`")


def _parameter(occasion: Occasion) -> Partitions | None:
    """The run's parameter `partition`, as the domains' own DAGs take it."""
    return _named(occasion.parameter, "The run's parameter `partition`")


def _key(occasion: Occasion) -> Partitions | None:
    """The key of a run of a partitioned timetable, where that is a day or a time of one."""
    # A week or a month is no day, and its first day is not what it stands for.
    return _named(occasion.key and occasion.key.partition("T")[0], "The run's partition key")


def _published(occasion: Occasion) -> Partitions | None:
    """What was published of this very dataset, and started the run."""
    return _said([event for event in occasion.publications if _is_of(event, occasion.dataset)])


def _published_beside(occasion: Occasion) -> Partitions | None:
    """The days that were published of other datasets of the platform's, and started the run."""
    others = [event for event in occasion.publications if urlsplit(event.uri).scheme == SCHEME]
    return _said([event for event in others if event.partition != ALL])


def _begin_of_interval(occasion: Occasion) -> Partitions | None:
    """A scheduled run, or one of a backfill: the day on which its data interval begins."""
    if occasion.run_type not in AUTOMATIC or occasion.interval_start is None:
        return None
    return (occasion.interval_start.date().isoformat(),)


def _picked_date(occasion: Occasion) -> Partitions | None:
    """A run that a person, a program or another DAG started for a date: that date."""
    if occasion.run_type in (*AUTOMATIC, BY_ASSETS) or occasion.logical_date is None:
        return None
    return (occasion.logical_date.date().isoformat(),)


PRECEDENCE: tuple[Callable[[Occasion], Partitions | None], ...] = (
    _argument,
    _parameter,
    _key,
    _published,
    _published_beside,
    _begin_of_interval,
    _picked_date,
)


def _is_of(event: Publication, dataset: str) -> bool:
    """By the address that the platform's own assets have, or by its name: another Airflow names its assets itself."""
    address = urlsplit(event.uri)
    return event.name == dataset or (address.scheme == SCHEME and address.path == f"/{dataset}")


def _said(events: Sequence[Publication]) -> Partitions | None:
    """Each partition once. An event that names none is refused: it may have been about any."""
    silent = [event for event in events if not isinstance(event.partition, str)]
    if silent:
        raise UsageError(f"An event of the asset {silent[0].name} started this run and names no partition.", fix=FIX)
    if not events:
        return None
    return _named([str(event.partition) for event in events], "The event of an asset that started this run")


def _named(given: object, who: str) -> Partitions | None:
    """Partitions as somebody wrote them, each once and in order; None where they wrote nothing."""
    if given is None or isinstance(given, str):
        return None if given in NOTHING else (_partition(given, who),)
    # Of a list nothing is left out: what a template made nothing of was meant to be asked for.
    found = tuple(dict.fromkeys(_partition(word, who) for word in given))  # type: ignore[attr-defined]
    if not found:
        raise UsageError(f"{who} is an empty list of partitions.", fix=FIX)
    return found


def _partition(word: object, who: str) -> str:
    if word == ALL:
        return ALL
    try:
        parts = DAY.fullmatch(str(word).strip())
        if parts is None:
            raise ValueError
        return datetime(*map(int, parts.groups())).date().isoformat()  # type: ignore[arg-type]  # noqa: DTZ001
    except ValueError:
        raise UsageError(f"{who} is {word!r}, which is no partition.", fix=FIX) from None
