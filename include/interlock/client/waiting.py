"""Waiting until it is safe: told by the change feed where there is one, and by asking again where there is none.

The feed is opened before the question is asked, so that no change falls between the two. What it says only wakes the
waiting up; it is the answer that decides.
"""

from __future__ import annotations

from interlock.client import feed, questions
from interlock.client.answers import Answer
from interlock.client.exchange import Broken, Next, Open, Pause, Steps
from interlock.client.moments import Deadline
from interlock.client.refusals import NotSafeInTime, in_words, what_clears
from interlock.errors import CouldNotAsk

ASK_EVERY = 2.0
ASK_EVERY_WITH_FEED = 30.0
ONE_ANSWER = 10.0
# How much longer than it was allowed a waiting may take, so that its last answer is waited for.
OVERSHOOT = 1.0


def wait_until_safe(dataset: str, partition: questions.Partition | None, seconds: float) -> Steps[Answer]:
    """The answer, once it is safe. Raises NotSafeInTime where it was not by then, else CouldNotAsk."""
    deadline = Deadline.after(seconds)
    while True:
        silence = min(feed.SILENCE, max(deadline.left, 0.1))
        listening = feed.is_open((yield Open(feed.request_after(None), silence)))
        answer: Answer | None = None
        trouble: CouldNotAsk | None = None
        try:
            within = Deadline.after(min(ONE_ANSWER, max(deadline.left, OVERSHOOT)))
            answer = yield from questions.safety(dataset, partition, within)
        except CouldNotAsk as error:
            trouble = error
        if answer:
            return answer
        if deadline.left <= 0:
            raise trouble or _not_in_time(answer, seconds)
        if listening and answer is not None:
            yield from _until_it_may_have_changed(dataset, deadline, silence)
        else:
            yield Pause(min(ASK_EVERY, deadline.left))


def _until_it_may_have_changed(dataset: str, deadline: Deadline, silence: float) -> Steps[None]:
    """Returns at a change of the dataset, the loss of the feed, or when it is time to ask again or listen shorter."""
    events, again = feed.Events(), Deadline.after(ASK_EVERY_WITH_FEED)
    while again.left > 0 and deadline.left > silence - OVERSHOOT:
        piece = yield Next()
        if isinstance(piece, Broken):
            # Silence up to the end is what was waited for; a feed that broke off is asked for again, but not at once.
            yield Pause(min(ASK_EVERY, deadline.left))
            return
        try:
            told = [feed.change_in(event) for event in events.in_bytes(piece)]
        except CouldNotAsk:
            return
        if any(change is not None and change.concerns(dataset) for change in told):
            return


def _not_in_time(answer: Answer | None, seconds: float) -> CouldNotAsk | NotSafeInTime:
    if answer is None or answer.safe:
        return CouldNotAsk("Nobody could say whether it is safe.", fix="Read this as *not safe*, and ask again.")
    return NotSafeInTime(
        f"It was waited for {seconds:g} seconds. {in_words(answer)}",
        fix=what_clears(answer.reasons),
        answers=(answer,),
        reasons=answer.reasons,
    )
