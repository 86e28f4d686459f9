"""Which rounds there are, drawn from a seed: the same seed gives the same rounds, if never the same microseconds."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from enum import StrEnum

from pydantic import BaseModel, ConfigDict
from tests.chaos.workers import Shape
from tests.chaos.world import DOMAINS

from interlock.pipeline.runs import Phase


class Kind(StrEnum):
    """What is done to a run."""

    KILL = "worker killed"
    KILL_DATABASE = "database killed"
    STOP = "worker stopped past its lease, and woken"
    STOP_AT_PUBLISH = "worker stopped at its publish past its lease, and woken"
    TWIN = "two runs of a partition at once"
    RANGE_BESIDE = "range beside a single day"


class Edge(StrEnum):
    """Which boundary of a phase."""

    STARTED = "started"
    COMPLETED = "completed"


class Instant(BaseModel):
    """When: at the boundary of a phase, or after a share of the time that the undisturbed run took."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    phase: Phase | None = None
    edge: Edge = Edge.STARTED
    share: float = 0.0

    @property
    def told(self) -> str:
        """In words."""
        return f"{self.phase} {self.edge}" if self.phase else f"{self.share:.0%} of the run"


class Disturbance(BaseModel):
    """One thing that is done, and when."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    instant: Instant = Instant()
    publish: int = 1  # which of its publishes a run is stopped at: raw first, then staged, then curated
    is_corrected: bool = False  # a stopped run's file is replaced while it is stopped

    @property
    def told(self) -> str:
        """In words."""
        corrected = ", corrected meanwhile" if self.is_corrected else ""
        instant = f"publish {self.publish}" if self.kind is Kind.STOP_AT_PUBLISH else self.instant.told
        return f"{self.kind} ({instant}{corrected})"


class Round(BaseModel):
    """A delivery, the run of one domain that is disturbed, and what is done to it, one after the other."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    domain: str
    shape: Shape
    disturbances: tuple[Disturbance, ...]
    is_from_nothing: bool = False  # on a platform that never ran

    @property
    def kills(self) -> int:
        """How many of its disturbances take something by SIGKILL."""
        return sum(d.kind in (Kind.KILL, Kind.KILL_DATABASE) for d in self.disturbances)

    @property
    def told(self) -> str:
        """In words."""
        start = "from nothing, " if self.is_from_nothing else ""
        return f"{start}{self.domain} as {self.shape}: {'; '.join(d.told for d in self.disturbances)}"


# Between the phases of one process no time passes that a second process could hit, so both edges are aimed at.
BOUNDARIES = tuple((phase, edge) for phase in Phase if phase is not Phase.ADMIT for edge in Edge)


def drawn(kills: int, seed: int) -> Iterator[Round]:
    """Rounds until so many kills are planned: every boundary in turn, half as many random instants, and the rest."""
    chance = random.Random(seed)  # noqa: S311 (nothing secret is drawn)
    boundaries: list[tuple[Phase, Edge]] = []
    planned = number = 0
    while planned < kills:
        number += 1
        disturbances: list[Disturbance] = []
        draw = chance.random()
        if number % 8 == 4:
            kind = chance.choice((Kind.STOP, Kind.STOP_AT_PUBLISH))
            disturbances.append(
                Disturbance(
                    kind=kind, instant=_random(chance), publish=chance.randint(1, 3), is_corrected=chance.random() < 0.5
                )
            )
        elif number % 8 == 0:
            kind = chance.choice((Kind.TWIN, Kind.RANGE_BESIDE))
            disturbances.append(Disturbance(kind=kind, instant=_random(chance)))
        for _ in range(1 + (draw < 0.6) + (draw < 0.25)):
            if not boundaries:
                boundaries = chance.sample(BOUNDARIES, len(BOUNDARIES))
            at_random = chance.random() < 0.4
            instant = _random(chance) if at_random else _boundary(*boundaries.pop())
            kind = Kind.KILL_DATABASE if chance.random() < 0.25 else Kind.KILL
            disturbances.append(Disturbance(kind=kind, instant=instant))
        one = Round(
            number=number, domain=chance.choice(DOMAINS), shape=chance.choice(tuple(Shape)),
            disturbances=tuple(disturbances), is_from_nothing=number % 12 == 1,
        )  # fmt: skip
        planned += one.kills
        yield one


def short() -> Sequence[Round]:
    """The few rounds of every test run: boundaries, random instants, the database, a stopped worker."""

    def kill(phase: Phase, edge: Edge = Edge.STARTED, kind: Kind = Kind.KILL) -> Disturbance:
        return Disturbance(kind=kind, instant=_boundary(phase, edge))

    def at(share: float) -> Disturbance:
        return Disturbance(kind=Kind.KILL, instant=Instant(share=share))

    flights, weather = DOMAINS
    plans: tuple[tuple[str, Shape, tuple[Disturbance, ...]], ...] = (
        (flights, Shape.RUN, (kill(Phase.LOAD, Edge.COMPLETED), kill(Phase.STAGE), kill(Phase.PUBLISH_STAGED))),
        (weather, Shape.TASKS, (kill(Phase.GATE_RAW), kill(Phase.BUILD), at(0.5))),
        (weather, Shape.RUN, (kill(Phase.BUILD, kind=Kind.KILL_DATABASE), at(0.8))),
        (flights, Shape.RUN, (Disturbance(kind=Kind.STOP_AT_PUBLISH, publish=2, is_corrected=True),)),
    )
    return [
        Round(number=number, domain=domain, shape=shape, disturbances=disturbances)
        for number, (domain, shape, disturbances) in enumerate(plans, 1)
    ]


def _boundary(phase: Phase, edge: Edge) -> Instant:
    return Instant(phase=phase, edge=edge)


def _random(chance: random.Random) -> Instant:
    return Instant(share=round(chance.uniform(0.02, 1.0), 3))
