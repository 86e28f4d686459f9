"""Asking over HTTP without a socket: what to send, how often, and what may be made of what comes back.

Everything that decides is a generator here: it yields steps (send this, pause, read on) and is sent what came of them.
The clients, one that blocks and one that awaits, do the steps and decide nothing, so that they cannot differ.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal, TypeVar
from urllib.parse import quote

from interlock.client.answers import answer_from, misunderstood
from interlock.client.moments import Deadline, Moment
from interlock.client.refusals import NotAllowed, NotSafe
from interlock.errors import CouldNotAsk, InterlockError, UsageError

JSON = "application/json"
PROBLEM = "application/problem+json"
NOT_SAFE = "urn:interlock:problem:not-safe"
ATTEMPTS = 3
FIRST_PAUSE = 0.1
RETRIED = (500, 502, 503, 504)


@dataclass(frozen=True)
class Request:
    """One question. All that the client sends are questions, a POST too: to ask twice changes nothing."""

    path: str
    parameters: tuple[tuple[str, str], ...] = ()
    body: Any = None
    accept: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def method(self) -> Literal["GET", "POST"]:
        """POST where the question does not fit into an address."""
        return "GET" if self.body is None else "POST"


@dataclass(frozen=True)
class Reply:
    """What came back: whole, or the beginning of a stream, without content where it is a success."""

    status: int
    headers: Mapping[str, str]
    content: bytes = b""

    @property
    def media_type(self) -> str:
        """Of the content, without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def document(self) -> Any:
        """The content as JSON. Raises CouldNotAsk where it is none."""
        try:
            return json.loads(self.content)
        except ValueError as error:
            raise misunderstood("it is no JSON") from error


@dataclass(frozen=True)
class Broken:
    """Nothing came back, or less than all of it."""

    said: str


@dataclass(frozen=True)
class Send:
    """Send a request and give back its whole Reply within so many seconds, or Broken."""

    request: Request
    within: float


@dataclass(frozen=True)
class Pause:
    """Do nothing for so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Open:
    """Send a request and give back a Reply as soon as it begins, or Broken; a stream that was open before is let go of.

    `silence` is how many seconds may pass before it begins, and then between two of its parts.
    """

    request: Request
    silence: float


@dataclass(frozen=True)
class Next:
    """Give back the next bytes of the stream that is open, or Broken where it ended or fell silent."""


@dataclass(frozen=True)
class Found:
    """Hand `item` to whoever iterates, before anything else is done."""

    item: Any


Step = Send | Pause | Open | Next | Found
T = TypeVar("T")
Steps = Generator[Step, Any, T]


def asked(request: Request, deadline: Deadline) -> Steps[tuple[Reply, Moment]]:
    """The reply to a question, with the moment before it was sent; asked again where that may help and time is left.

    Raises CouldNotAsk where there is no answer, NotAllowed, UsageError and NotSafe where that is the answer.
    """
    for attempt in count(1):
        moment = Moment.now()
        reply = yield Send(request, deadline.require_time())
        pause = _pause_after(reply, attempt)
        if pause is None or pause >= deadline.left:
            return accepted(reply, request, moment), moment
        yield Pause(pause)
    raise AssertionError("an endless count has ended")


def accepted(reply: Reply | Broken, request: Request, moment: Moment) -> Reply:
    """A reply that is what was asked for; everything else is raised."""
    if isinstance(reply, Broken):
        raise CouldNotAsk(
            f"Interlock could not be asked: {reply.said}.",
            fix="Read this as *not safe*. See that INTERLOCK_URL is right and that it runs there (`interlock serve`).",
        )
    if reply.status != 200:
        raise refusal_of(reply, moment)
    if reply.media_type != request.accept:
        raise misunderstood(f"it is of the type {reply.media_type or '(none)'} and not {request.accept}")
    if reply.headers.get("age", "0").strip() not in ("", "0"):
        raise misunderstood(f"it is a copy that is {reply.headers['age']} seconds old")
    return reply


def refusal_of(reply: Reply, moment: Moment) -> InterlockError:
    """What a reply that is no success means to the asker."""
    problem = _problem_of(reply)
    said = str(problem.get("detail") or f"It answered with {reply.status}")
    fix = str(problem.get("fix") or "")
    if reply.status == 409 and problem.get("type") == NOT_SAFE:
        return _not_safe(problem, moment)
    if reply.status in (401, 403):
        return NotAllowed(said, fix=fix or "Ask with a token that has the scope `read` in the domain of the data.")
    if problem and reply.status in (400, 404, 405, 409, 410, 413, 422):
        return UsageError(said, fix=fix or "Correct the call.")
    return CouldNotAsk(
        f"Interlock could not be asked: {said}",
        fix=fix or "Read this as *not safe*. See that INTERLOCK_URL is Interlock's address, and ask again later.",
    )


def place(*parts: str) -> str:
    """A path below /v1. Raises UsageError for a part that would lead elsewhere."""
    for part in parts:
        if not part or set(part) <= {"."}:
            raise UsageError(f"{part!r} is no name.", fix="Give the name of a dataset, a metric or a partition.")
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


def _pause_after(reply: Reply | Broken, attempt: int) -> float | None:
    """Seconds until it should be asked again; None where the reply is final."""
    if isinstance(reply, Reply) and reply.status == 429:
        # Asked too often, or too much at once: it says when there is room again, for as long as the caller has time.
        asked_for = reply.headers.get("retry-after", "")
        return max(1.0, float(asked_for)) if asked_for.isdecimal() else 1.0
    if attempt == ATTEMPTS or (isinstance(reply, Reply) and reply.status not in RETRIED):
        return None
    pause: float = FIRST_PAUSE * 5 ** (attempt - 1)
    return pause


def _problem_of(reply: Reply) -> dict[str, Any]:
    """The problem that a reply tells; nothing where it tells none."""
    if reply.media_type != PROBLEM:
        return {}
    try:
        problem = json.loads(reply.content)
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


def _not_safe(problem: dict[str, Any], moment: Moment) -> InterlockError:
    documents = problem.get("errors")
    if not isinstance(documents, list) or not all(isinstance(item, dict) for item in documents):
        return misunderstood("it refuses and does not say why")
    try:
        answers = [answer_from(item, moment, str(item.get("dataset")), item.get("partition")) for item in documents]
    except CouldNotAsk as error:
        return error
    if all(answer.safe for answer in answers):
        return misunderstood("it refuses what it says is safe")
    return NotSafe.by(answers)
