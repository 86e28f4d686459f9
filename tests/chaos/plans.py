"""Which rounds there are, drawn from a seed: the same seed gives the same rounds, if never the same microseconds."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import count

from tests.chaos.workers import Shape, Stop
from tests.chaos.world import DOMAINS

from interlock.pipeline.runs import Phase


class Kind(StrEnum):
    """What is done to a run."""

    KILL = "worker killed"
    KILL_DATABASE = "database killed"
    KILL_DATABASE_SEEN = "database killed as soon as a publish is seen"
    KILL_SCHEDULER = "scheduler killed, with all that it forked"
    STOP = "worker stopped anywhere past its lease, and woken"
    STOP_AT_WRITE = "worker stopped at a write past its lease, and woken"
    STOP_IN_WRITE = "worker stopped in the middle of a transaction past its lease, and woken"
    TWIN = "two runs of a partition at once"
    RANGE_BESIDE = "range beside a single day"


KILLS = (Kind.KILL, Kind.KILL_DATABASE, Kind.KILL_DATABASE_SEEN, Kind.KILL_SCHEDULER)
STOPS = (Kind.STOP, Kind.STOP_AT_WRITE, Kind.STOP_IN_WRITE)

# The writes of a run, each of which the database must refuse to whoever lost the claim; and where one is half done.
WRITES = tuple(
    Stop(function=function, number=number)
    for function, most in (
        ("begin_load", 1),
        ("record_verdicts", 2),
        ("open_workspace", 2),
        ("seal", 2),
        ("publish", 3),
    )
    for number in range(1, most + 1)
)
HALVES = (Stop(function="finish_load"), Stop(function="record_verdicts", number=2, is_after=True))
SEEN = tuple(Stop(function="publish", number=number, is_after=True) for number in (1, 2, 3))


class Edge(StrEnum):
    """Which boundary of a phase."""

    STARTED = "started"
    COMPLETED = "completed"


@dataclass(frozen=True)
class Instant:
    """When: at the boundary of a phase, or after a share of the time that the undisturbed run took."""

    phase: Phase | None = None
    edge: Edge = Edge.STARTED
    share: float = 0.0

    @property
    def position(self) -> int:
        """Its place in a run; before all boundaries where it is none."""
        return BOUNDARIES.index((self.phase, self.edge)) if self.phase else -1

    @property
    def told(self) -> str:
        """In words."""
        return f"{self.phase} {self.edge}" if self.phase else f"{self.share:.0%} of the run"


@dataclass(frozen=True)
class Disturbance:
    """One thing that is done, and when."""

    kind: Kind
    instant: Instant = Instant()
    stop: Stop | None = None  # where the run stops itself
    is_corrected: bool = False  # a stopped run's file is replaced while it is stopped

    @property
    def told(self) -> str:
        """In words."""
        corrected = ", corrected meanwhile" if self.is_corrected else ""
        instant = self.stop.told if self.stop else self.instant.told
        return f"{self.kind} ({instant}{corrected})"


@dataclass(frozen=True)
class Round:
    """A delivery, the run of one domain that is disturbed, and what is done to it, one after the other."""

    number: int
    domain: str
    shape: Shape
    disturbances: tuple[Disturbance, ...]
    is_from_nothing: bool = False  # on a platform that never ran

    @property
    def told(self) -> str:
        """In words."""
        start = "from nothing, " if self.is_from_nothing else ""
        return f"{start}{self.domain} as {self.shape}: {'; '.join(d.told for d in self.disturbances)}"


# Between the phases of one process no time passes that a second process could hit, so both edges are aimed at.
BOUNDARIES = tuple((phase, edge) for phase in Phase if phase is not Phase.ADMIT for edge in Edge)


def drawn(seed: int) -> Iterator[Round]:
    """Rounds without end: every boundary in turn, half as many random instants, and the rest."""
    chance = random.Random(seed)  # noqa: S311 (nothing secret is drawn)
    boundaries: list[tuple[Phase, Edge]] = []
    for number in count(1):
        first = _of_another_kind(number, chance)
        kills = []
        for _ in range(chance.choice((1, 2, 2, 3, 4))):
            if not boundaries:
                boundaries = chance.sample(BOUNDARIES, len(BOUNDARIES))
            at_random = chance.random() < 0.4
            instant = _random(chance) if at_random else _boundary(*boundaries.pop())
            kind = Kind.KILL_DATABASE if chance.random() < 0.25 else Kind.KILL
            kills.append(Disturbance(kind=kind, instant=instant))
        # A phase that is done is not done again: later boundaries come later, or would never be reached.
        kills.sort(key=lambda kill: kill.instant.position)
        yield Round(
            number=number, domain=chance.choice(DOMAINS), shape=chance.choice(tuple(Shape)),
            disturbances=(*first, *kills), is_from_nothing=number % 12 == 1,
        )  # fmt: skip


def _of_another_kind(number: int, chance: random.Random) -> list[Disturbance]:
    """What begins every second round, before anything is killed."""
    corrected = chance.random() < 0.5
    match number % 8:
        case 0:
            return [Disturbance(kind=chance.choice((Kind.TWIN, Kind.RANGE_BESIDE)), instant=_random(chance))]
        case 2:
            return [Disturbance(kind=Kind.KILL_DATABASE_SEEN, stop=chance.choice(SEEN))]
        case 3:
            return [Disturbance(kind=Kind.STOP, instant=_random(chance), is_corrected=corrected)]
        case 4:
            return [Disturbance(kind=Kind.STOP_AT_WRITE, stop=chance.choice(WRITES), is_corrected=corrected)]
        case 6:
            return [Disturbance(kind=Kind.STOP_IN_WRITE, stop=chance.choice(HALVES), is_corrected=corrected)]
    return []


def of_scheduler(first: int, rounds: int, seed: int) -> Iterator[Round]:
    """Rounds of a real scheduler, numbered from `first`: it is killed at two boundaries of one DAG run."""
    chance = random.Random(seed)  # noqa: S311 (nothing secret is drawn)
    for number in range(first, first + rounds):
        instants = sorted((_boundary(*which) for which in chance.sample(BOUNDARIES, 2)), key=lambda i: i.position)
        yield Round(
            number=number, domain=DOMAINS[0], shape=Shape.TASKS,
            disturbances=tuple(Disturbance(kind=Kind.KILL_SCHEDULER, instant=instant) for instant in instants),
        )  # fmt: skip


def short() -> Sequence[Round]:
    """The few rounds of every test run: boundaries, random instants, the database, a stopped worker."""

    def kill(phase: Phase, edge: Edge = Edge.STARTED, kind: Kind = Kind.KILL) -> Disturbance:
        return Disturbance(kind=kind, instant=_boundary(phase, edge))

    def at(share: float) -> Disturbance:
        return Disturbance(kind=Kind.KILL, instant=Instant(share=share))

    stopped = Disturbance(kind=Kind.STOP_AT_WRITE, stop=Stop(function="publish", number=2), is_corrected=True)
    seen = Disturbance(kind=Kind.KILL_DATABASE_SEEN, stop=SEEN[-1])
    flights, weather = DOMAINS
    plans: tuple[tuple[str, Shape, tuple[Disturbance, ...]], ...] = (
        (flights, Shape.RUN, (kill(Phase.LOAD, Edge.COMPLETED), kill(Phase.PUBLISH_STAGED))),
        (weather, Shape.TASKS, (kill(Phase.GATE_RAW), kill(Phase.BUILD), at(0.5))),
        (weather, Shape.RUN, (seen, at(0.8))),
        (flights, Shape.TASKS, (stopped, Disturbance(kind=Kind.TWIN))),
    )
    return [
        Round(number=number, domain=domain, shape=shape, disturbances=disturbances)
        for number, (domain, shape, disturbances) in enumerate(plans, 1)
    ]


def _boundary(phase: Phase, edge: Edge) -> Instant:
    return Instant(phase=phase, edge=edge)


def _random(chance: random.Random) -> Instant:
    return Instant(share=round(chance.uniform(0.02, 0.9), 3))
