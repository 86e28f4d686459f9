"""An answer as the client hands it on: the platform's own, which here also knows when it has run out.

Whatever is off with an answer makes it none: another shape, another question's, a "safe" that its own state denies, one
that had run out when it came, or one that was given at another time than now. Fields that this version does not know
are left aside, so that a platform may learn to say more.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Self

from pydantic import PrivateAttr, ValidationError

from interlock.client.moments import Moment
from interlock.errors import CouldNotAsk
from interlock.safety import answer as platform
from interlock.safety.answer import State

SAFE_STATES = (State.SAFE, State.REBUILDING)
# An answer that says to be of another time is a copy that something kept on the way, or a clock is wrong.
CLOCKS_MAY_DIFFER = timedelta(minutes=5)


class Answer(platform.Answer):
    """The answer to "is it safe?". True while it is safe and has not run out: `if client.safety(...):`."""

    _runs_out: Moment | None = PrivateAttr(default=None)

    @property
    def is_current(self) -> bool:
        """Whether it still holds. What is not safe does not become so by waiting, and never runs out."""
        return not self.safe or (self._runs_out is not None and not self._runs_out.is_past)

    def require_current(self) -> Self:
        """This very answer. Raises CouldNotAsk where it has run out: nobody can say what is true now."""
        if not self.is_current:
            raise CouldNotAsk(
                f"The answer about {self.dataset} {self.partition or '(its newest window)'} held until "
                f"{self.valid_until} and has run out.",
                fix="Read this as *not safe*, and ask anew.",
            )
        return self

    def __bool__(self) -> bool:
        return self.safe and self.is_current


def answer_from(document: Any, asked: Moment, dataset: str, partition: str | None) -> Answer:
    """A document as the answer to one question. Raises CouldNotAsk where it is none."""
    try:
        answer = Answer.model_validate(document, extra="ignore")
    except ValidationError as error:
        raise misunderstood(f"it differs from the form of an answer in {error.error_count()} places") from error
    # Of a dataset without days the answer to both questions is that of its one partition.
    if answer.dataset != dataset or answer.partition not in ({None, "all"} if partition is None else {partition}):
        raise misunderstood(f"it is about {answer.dataset} {answer.partition}, which was not the question")
    if answer.safe is not (answer.state in SAFE_STATES):
        raise misunderstood(f"it says {'' if answer.safe else 'not '}safe of a state that is {answer.state.value}")
    answer._runs_out = runs_out(asked, answer)
    return answer


def runs_out(asked: Moment, given: Any) -> Moment | None:
    """When something that was answered with these times ceases to hold. Raises CouldNotAsk where it does not even now.

    `given` has `safe`, `as_of`, `valid_until` and `clock_offset_seconds`; what is not safe may be without an end.
    """
    require_now(asked, given.as_of, given.clock_offset_seconds)
    if not given.safe:
        return None
    if given.valid_until is None or given.valid_until <= given.as_of:
        raise CouldNotAsk(
            "The answer had run out when it came."
            if given.valid_until
            else "The answer does not say when it runs out.",
            fix="Read this as *not safe*, and ask anew.",
        )
    return asked.plus(given.valid_until - given.as_of)


def require_now(asked: Moment, as_of: datetime, clock_offset_seconds: float | None) -> None:
    """Raises CouldNotAsk for an answer of another time, once the offset of a clock that is set was taken off."""
    if as_of.tzinfo is None:
        raise misunderstood("its time says no zone")
    given = as_of - timedelta(seconds=clock_offset_seconds or 0)
    if abs(given - asked.wall) > CLOCKS_MAY_DIFFER:
        raise CouldNotAsk(
            f"The answer says to be of {given:%Y-%m-%d %H:%M:%S} UTC, and here it is {asked.wall:%Y-%m-%d %H:%M:%S}.",
            fix="Read this as *not safe*. Either something on the way keeps copies of answers, or one of the two "
            "machines has the wrong time.",
        )


def misunderstood(how: str) -> CouldNotAsk:
    """What is raised for something that came back and is no answer."""
    return CouldNotAsk(
        f"What came back is no answer that this client understands: {how}.",
        fix="Read this as *not safe*. See that INTERLOCK_URL is Interlock's address, and that client and platform are "
        "of versions that know each other.",
    )
