"""Trials: a fault on real days, what became of it, what readers saw meanwhile, and whether its correction was served.

A day of a trial is a day that was never delivered before. What it should read as is known from a delivery without
fault in another copy of the same database, and after every phase that may publish the readers' views are compared
with that: a row that is not among those, or a day that lacks one of them, is wrong.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from tests.faults.days import REFERENCE_DAYS, is_scored
from tests.faults.platform import FLIGHTS, WEATHER, Platform, World

from interlock.db.connection import Role, connect
from interlock.example import source
from interlock.example.deliveries import delivery
from interlock.example.faults import FAULTS, Ending, Fault
from interlock.pipeline.runs import Outcome, Phase

BY_DAY = {
    "stg_flight_operations__flights": "flight_date",
    "fct_flights": "flight_date",
    "agg_carrier_daily": "flight_date",
    "stg_airport_weather__observations": "observation_date",
    "fct_departure_conditions": "flight_date",
}
OF_THE_WEATHER = ("stg_airport_weather__observations", "fct_departure_conditions")
SNAPSHOTS = ("carriers", "airports", "aircraft")
WHOLE = ("dim_carriers", "dim_airports")
# One of its rows is made of many, so where rows are set aside it differs: its own gate holds it against the rest.
MADE_OF_MANY = ("agg_carrier_daily",)
LAST_OF = {FLIGHTS: "agg_carrier_daily", WEATHER: "fct_departure_conditions"}
MAY_PUBLISH = (Phase.PUBLISH_STAGED, Phase.PUBLISH_CURATED)
BASE, WITH_FLIGHTS = "faults_base", "faults_with_flights"

# A correction is as much work as a clean delivery, and little in it depends on the day or on what was wrong: the first
# fault of each class and feed is corrected, on two days.
CORRECTED_DAYS = 2
CORRECTED = {(fault.of_class, fault.feed): fault.name for fault in reversed(FAULTS.values())}

FOLDER = Path(__file__).parent

# The rows of each day of each dataset: a digest for each row, and how often it occurs.
Rows = dict[tuple[str, str], dict[str, int]]
# A clause that failed: its dataset, its name, its severity.
Failed = tuple[str, str, str]
ABSORBING = "repeats"
MAKES_NO_DIFFERENCE = Fault(name="", description="", of_class="timing", severity="none", expected="accepted")


@dataclass(frozen=True)
class Truth:
    """The sampled days as they are: what readers see of them, and which clauses fail (as warnings) even so."""

    rows: Rows
    failed: Mapping[str, frozenset[Failed]]


@dataclass(frozen=True)
class Trial:
    """One fault on one day. Wrong rows are told apart by the layer that they could be read in."""

    fault: Fault
    day: str
    ending: Ending
    clauses: tuple[str, ...]
    wrong_staged: int
    wrong_curated: int
    seconds: float | None
    is_corrected: bool | None  # None where no correction was delivered

    @property
    def is_caught(self) -> bool:
        """Whether the delivery was stopped, or what is wrong with it was taken out and the rest is right."""
        return self.ending in (Ending.REFUSED, Ending.RAW, Ending.LATER, Ending.ASIDE, Ending.ABSORBED)


@dataclass
class Watch:
    """Follows a run: where each day was stopped, and the most wrong rows that a reader could see of it."""

    world: World
    days: Sequence[str]
    expected: Rows
    stopped: dict[str, tuple[Ending, float]] = field(default_factory=dict)
    wrong: dict[tuple[str, bool], int] = field(default_factory=dict)
    extra: dict[tuple[str, bool], int] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    def __call__(self, phase: Phase, outcome: Outcome) -> None:
        ending = {Phase.LOAD: Ending.REFUSED, Phase.GATE_RAW: Ending.RAW}.get(phase, Ending.LATER)
        for item in outcome.blocked:
            for day in [item.partition] if item.partition != "all" else self.days:
                self.stopped.setdefault(day, (ending, time.monotonic() - self.began))
        if phase in MAY_PUBLISH:
            self.look()

    def look(self, *, is_complete: bool = False) -> None:
        """Compare what can be read now with what should be; `is_complete` where all of it should be there by now."""
        seen: Rows = {key: {} for key in self.expected} if is_complete else {}
        for (dataset, day), rows in (seen | read(self.world, self.days)).items():
            right = self.expected.get((dataset, day), {})
            wrong = sum(abs(rows.get(row, 0) - right.get(row, 0)) for row in rows.keys() | right.keys())
            extra = sum(max(number - right.get(row, 0), 0) for row, number in rows.items())
            is_staged = dataset.startswith("stg_")
            for hit in [day] if day != "all" else self.days:
                self.wrong[hit, is_staged] = max(self.wrong.get((hit, is_staged), 0), wrong)
                if dataset not in MADE_OF_MANY:
                    self.extra[hit, is_staged] = max(self.extra.get((hit, is_staged), 0), extra)


def read(world: World, days: Sequence[str]) -> Rows:
    """What a consumer reads of some days, and of the datasets without days."""
    found: Rows = {}
    wanted = [date.fromisoformat(day) for day in days]
    with connect(Role.CONSUMER) as connection:
        for dataset, column in [*BY_DAY.items(), *((name, None) for name in WHOLE)]:
            key, where = (f"{column}::text", f"{column} = any(%s)") if column else ("'all'", "%s is not null")
            query = (
                f"select {key}, hashtextextended((to_jsonb(t) - 'load_id' - 'row_number')::text, 0)::text, count(*)"
                f" from safe.{dataset} as t where {where} group by 1, 2"
            )
            for part, row, number in connection.execute(query.encode(), [wanted]).fetchall():
                found.setdefault((dataset, part), {})[row] = number
    return found


def failed_clauses(world: World, days: Sequence[str]) -> dict[str, frozenset[Failed]]:
    """Which clauses failed in any verdict on each day."""
    query = (FOLDER / "failed_clauses.sql").read_text()
    found: dict[str, set[Failed]] = {day: set() for day in days}
    for day, *failed in world.rows(query, list(days), role=Role.AUDITOR):
        found[day].add(tuple(failed))
    return {day: frozenset(failed) for day, failed in found.items()}


def publish_history(platform: Platform, history: Sequence[str], sampled: Sequence[str]) -> None:
    """The bases of all trials: every day but the sampled ones, and the same with the flights of those too."""
    with platform.copy(name=BASE) as world:
        world.deliver(history[:1], feeds=SNAPSHOTS)
        world.deliver(history, feeds=("flights", "observations"))
        world.run(FLIGHTS, history)
        world.run(WEATHER, history)
    with platform.copy(BASE, name=WITH_FLIGHTS) as world:
        world.deliver(sampled, feeds=("flights",))
        world.run(FLIGHTS, sampled)


def without_fault(platform: Platform, sampled: Sequence[str]) -> tuple[Truth, Clean]:
    """What the sampled days are when nothing is wrong with them, and how all clean days were judged."""
    with platform.copy(WITH_FLIGHTS) as world:
        world.deliver(sampled, feeds=("observations",))
        world.run(WEATHER, sampled)
        return Truth(read(world, sampled), failed_clauses(world, sampled)), Clean.of(world)


@dataclass(frozen=True)
class Clean:
    """Partitions without a fault, by the half of the year: how many a gate judged, and those that were stopped."""

    judged: Mapping[bool, int]
    blocked: tuple[tuple[str, str, str], ...]

    @classmethod
    def of(cls, world: World) -> Clean:
        """Count the verdicts, and everything that kept a clean delivery from being served."""
        judged = {True: 0, False: 0}
        for day, number in world.rows(
            "select partition, count(*) from interlock.verdict where partition <> 'all' group by 1", role=Role.AUDITOR
        ):
            judged[is_scored(day)] += number
        blocked = world.rows((FOLDER / "stopped.sql").read_text(), role=Role.AUDITOR)
        return cls(judged, tuple(blocked))


def days_of(fault: Fault, sampled: Sequence[str]) -> list[str]:
    """The sampled days on which a fault makes a difference: rain in the wrong unit makes none on a dry day."""
    if fault.feed in source.SNAPSHOTS:
        return [day for day in sampled if day in REFERENCE_DAYS]
    if fault.is_harmless or not fault.is_delivered or fault.export.share_that_arrives < 1:
        return list(sampled)
    right = {day: delivery(fault.feed, date.fromisoformat(day), MAKES_NO_DIFFERENCE)[0] for day in sampled}
    return [day for day in sampled if delivery(fault.feed, date.fromisoformat(day), fault)[0] != right[day]]


def tried(
    platform: Platform, fault: Fault, sampled: Sequence[str], truth: Truth, *, corrects: bool = True
) -> list[Trial]:
    """One fault on all its days, in one copy; a fault of a list in one copy for each day."""
    is_corrected = corrects and CORRECTED[fault.of_class, fault.feed] == fault.name
    corrected = CORRECTED_DAYS if is_corrected else 0
    days = days_of(fault, sampled)
    copies = [[day] for day in days] if fault.feed in source.SNAPSHOTS else [days] * bool(days)
    return [trial for held in copies for trial in _tried(platform, fault, held, truth, corrected)]


def _tried(platform: Platform, fault: Fault, days: Sequence[str], truth: Truth, corrections: int) -> list[Trial]:
    domain = WEATHER if fault.feed == "observations" else FLIGHTS
    feeds = ("flights", fault.feed) if fault.feed in source.SNAPSHOTS else (fault.feed,)
    expected = {key: rows for key, rows in truth.rows.items() if domain == WEATHER or key[0] not in OF_THE_WEATHER}
    with platform.copy(WITH_FLIGHTS if domain == WEATHER else BASE) as world:
        watch = Watch(world, days, expected)
        for _ in range(fault.deliveries):
            shutil.rmtree(
                world.landing, ignore_errors=True
            )  # the same content as a new file, where it is delivered again
            world.deliver(days, feeds=feeds, fault=fault.name)
            watch.began = time.monotonic()
            world.run(domain, days, watch)
        failed = failed_clauses(world, days)
        stoppers = _stoppers(world)
        served = read(world, days)
        aside = _set_aside(world, served, expected)
        after = _corrected(world, fault, days[:corrections], expected)
    return [
        _trial(
            fault, day, watch, failed[day] - truth.failed[day], stoppers, (LAST_OF[domain], day) in served, after,
            aside.get(day),
        )
        for day in days
    ]  # fmt: skip


@dataclass(frozen=True)
class Aside:
    """Rows of a day that were set aside: by which clauses, and how many more or fewer are missing of each layer."""

    clauses: tuple[str, ...]
    wrong: dict[bool, int]


def _set_aside(world: World, served: Rows, expected: Rows) -> dict[str, Aside]:
    found: dict[str, Aside] = {}
    for day, number, clauses in world.rows((FOLDER / "set_aside.sql").read_text(), role=Role.AUDITOR):
        found[day] = Aside(tuple(clauses), {True: 0, False: 0})
        for (dataset, part), right in expected.items():
            if part == day and dataset not in MADE_OF_MANY and (rows := served.get((dataset, part))) is not None:
                missing = sum(max(times - rows.get(row, 0), 0) for row, times in right.items())
                found[day].wrong[dataset.startswith("stg_")] += abs(missing - number)
    return found


def _corrected(world: World, fault: Fault, days: Sequence[str], expected: Rows) -> Watch:
    """What is seen once the producer delivered what is right, a list in place of the one that was wrong."""
    domain = WEATHER if fault.feed == "observations" else FLIGHTS
    feeds = ("flights", fault.feed) if fault.feed in source.SNAPSHOTS else (fault.feed,)
    after = Watch(world, days, {key: rows for key, rows in expected.items() if key[1] in (*days, "all")})
    if not days:
        return after
    shutil.rmtree(world.landing, ignore_errors=True)
    world.deliver(days, feeds=feeds)
    if fault.feed in source.SNAPSHOTS:
        folder = world.landing / fault.feed
        for file in sorted(folder.iterdir()):
            file.rename(folder / file.name.replace(str(source.FIRST), days[0]))
    world.run(domain, days)
    after.look(is_complete=True)
    return after


def _trial(
    fault: Fault, day: str, watch: Watch, failed: frozenset[Failed], stoppers: Mapping[str, list[str]], is_served: bool,
    after: Watch, aside: Aside | None,
) -> Trial:  # fmt: skip
    ending, seconds = watch.stopped.get(day, (None, None))
    wrong = {layer: watch.wrong.get((day, layer), 0) for layer in (True, False)}
    is_stopped = ending is not None and (not is_served or fault.feed in source.SNAPSHOTS)
    clauses = stoppers.get(day, []) or stoppers.get("all", [])
    if not is_stopped:
        ending, seconds = (Ending.WARNED if failed else Ending.ACCEPTED), None
        clauses = [f"{dataset}: {clause}" for dataset, clause, _ in sorted(failed)]
        if aside is not None:
            wrong = {layer: watch.extra.get((day, layer), 0) + aside.wrong[layer] for layer in wrong}
            clauses = [*aside.clauses, *clauses]
        if not any(wrong.values()) and (aside is not None or any(clause == ABSORBING for _, clause, _ in failed)):
            ending = Ending.ABSORBED if aside is None else Ending.ASIDE
    return Trial(
        fault=fault, day=day, ending=ending or Ending.ACCEPTED, clauses=tuple(clauses), seconds=seconds,
        wrong_staged=wrong[True], wrong_curated=wrong[False],
        is_corrected=not any(after.wrong.get((day, layer)) for layer in (True, False)) if day in after.days else None,
    )  # fmt: skip


def _stoppers(world: World) -> dict[str, list[str]]:
    """What stopped each partition: clauses of its datasets, or errors of its deliveries."""
    found: dict[str, list[str]] = {}
    for dataset, partition, said in world.rows((FOLDER / "stopped.sql").read_text(), role=Role.AUDITOR):
        found.setdefault(partition, []).append(f"{dataset}: {said}")
    return found
