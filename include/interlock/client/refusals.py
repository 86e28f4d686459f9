"""What the client raises. A name here for each thing that a consumer would do something else about.

Not safe, nobody could say, and may not ask are three things. None of them is ever a value that a program could go on
with: who catches nothing stops.
"""

from __future__ import annotations

from collections.abc import Sequence

from interlock.client.answers import Answer
from interlock.errors import CouldNotAsk, Exit, InterlockError, PermanentFailure
from interlock.safety.answer import Reason

SHOWN_REASONS = 3


class NotSafe(InterlockError):
    """The platform answered, and the answer is no. `answers` are those that say so, `reasons` all that they give."""

    exit_code = Exit.UNSAFE

    def __init__(
        self, message: str, *, fix: str = "", answers: Sequence[Answer] = (), reasons: Sequence[Reason] = ()
    ) -> None:
        super().__init__(message, fix=fix)
        self.answers = tuple(answers)
        self.reasons = tuple(reasons)

    @classmethod
    def by(cls, answers: Sequence[Answer]) -> NotSafe:
        """The refusal that answers stand for; those among them that are safe are left aside."""
        unsafe = [answer for answer in answers if not answer.safe]
        reasons = tuple(reason for answer in unsafe for reason in answer.reasons)
        refusal = cls(
            "; ".join(map(in_words, unsafe[:SHOWN_REASONS])) + _more(len(unsafe) - SHOWN_REASONS),
            fix=what_clears(reasons),
            answers=unsafe,
            reasons=reasons,
        )
        if unsafe:
            refusal.exit_code = unsafe[0].exit_code
        return refusal


class NotSafeInTime(NotSafe):
    """It was waited for, and it was still not safe when the time was up."""


class NotAllowed(PermanentFailure):
    """The platform does not know who asks, or they have no right to what they ask for. Asking again changes nothing."""

    exit_code = Exit.COULD_NOT_ASK


class FeedLost(CouldNotAsk):
    """Changes may have been missed: whatever was kept from earlier answers must be asked for anew."""


def in_words(answer: Answer) -> str:
    """An answer as the beginning of a sentence: what it is about, its state, and its first reasons."""
    subject = f"{answer.dataset} {answer.partition or '(its newest window)'}"
    said = " ".join(
        f"{f'[{reason.partition}] ' if reason.partition else ''}{reason.message}"
        for reason in answer.reasons[:SHOWN_REASONS]
    )
    more = _more(len(answer.reasons) - SHOWN_REASONS)
    return f"{subject} is {answer.state.value}: {said or 'no reason is recorded.'}{more}"


def what_clears(reasons: Sequence[Reason]) -> str:
    """What clears the first of some reasons, each said once."""
    return " ".join(dict.fromkeys(f"It clears by: {reason.clears}" for reason in reasons[:SHOWN_REASONS]))


def _more(number: int) -> str:
    return f" (and {number} more)" if number > 0 else ""
