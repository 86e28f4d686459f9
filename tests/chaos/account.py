"""What was delivered, done and found: the account of a run of the harness."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tests.chaos.plans import KILLS, Disturbance
from tests.chaos.world import World

CONTENTS = ("A", "B")
AT_RANDOM = "at random"
MISSED = "the run ended before it was hit"


@dataclass
class Account:
    """What was done and found, in all rounds so far."""

    disturbances: Counter[str] = field(default_factory=Counter)
    instants: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    stale_refused: int = 0
    writes_ended: int = 0
    held_refused: int = 0
    recoveries: int = 0
    reruns: int = 0
    checks: int = 0
    readings: int = 0
    kept_candidates: int = 0
    never_ended: int = 0
    violations: list[str] = field(default_factory=list)

    def count(self, disturbance: Disturbance) -> None:
        """One more of its kind, at its instant."""
        self.disturbances[disturbance.kind] += 1
        self.instants[disturbance.instant.told if disturbance.instant.phase else AT_RANDOM] += 1

    def count_missed(self) -> None:
        """One that came too late."""
        self.outcomes[MISSED] += 1

    @property
    def boundaries(self) -> int:
        """How many different boundaries were hit."""
        return len(self.instants) - (AT_RANDOM in self.instants)

    @property
    def at_boundaries(self) -> int:
        """How often one was hit."""
        return self.instants.total() - self.instants[AT_RANDOM]

    @property
    def kills(self) -> int:
        """Everything that was taken by SIGKILL."""
        return sum(self.disturbances[kind] for kind in KILLS)


@dataclass
class Delivery:
    """What a round is about: a day, what was served of it before, and what shall be in the end."""

    day: str
    before: str | None
    content: str
    is_corrected: bool = False  # while the run of the first content was stopped

    @property
    def told(self) -> str:
        """In words."""
        return f"{self.day} from {self.before or 'nothing'} to {self.content}"

    def correct(self, world: World) -> None:
        """The producer replaces the files by the other content; where that one is served, it comes back to it."""
        self.content, self.is_corrected = other(self.content), True
        world.deliver(self.day, self.content)


def other(content: str) -> str:
    """The other content of a day."""
    return CONTENTS[content == CONTENTS[0]]
