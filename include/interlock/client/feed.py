"""The change feed: safety as it changes, resumed where it was, and never silently lost.

The platform says something at least every ten seconds. Where nothing is heard for longer than `SILENCE`, and the feed
cannot be taken up again, changes may have been missed: `FeedLost` says so, instead of an iterator that waits for ever
beside a cache that is no longer true.
"""

from __future__ import annotations

import codecs
import json
import time
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from interlock.client.answers import misunderstood
from interlock.client.exchange import Broken, Found, Next, Open, Pause, Reply, Request, Steps, place, refusal_of
from interlock.client.moments import Moment
from interlock.client.refusals import FeedLost
from interlock.errors import CouldNotAsk
from interlock.safety.answer import State

EVENT_STREAM = "text/event-stream"
CHANGED = "interlock.safety.changed"
SILENCE = 25.0
RETRY = 2.0
LONGEST_EVENT = 1_000_000


class Change(BaseModel):
    """One change of safety. It is news, not an answer: ask before you act on it.

    One without a partition is about its whole dataset, one without a dataset about all of them. `position` is where the
    feed can be taken up again after it: `watch(after=change.position)`.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    position: str
    at: datetime
    dataset: str | None
    domain: str | None
    partition: str | None
    state: State | None
    safe: bool | None
    cause: str | None = None
    version: int | None = None
    valid_until: datetime | None = None

    def concerns(self, dataset: str | None) -> bool:
        """Whether it is about a dataset; about any, for None."""
        return dataset is None or self.dataset in (None, dataset)


class Event(NamedTuple):
    """One server-sent event."""

    position: str | None
    data: str


class Events:
    """The events in a stream of bytes, however it was cut into pieces."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._data: list[str] = []
        self._position: str | None = None
        self.retry = RETRY

    def in_bytes(self, piece: bytes) -> Iterator[Event]:
        """The events that end in this piece. Raises CouldNotAsk for one without an end."""
        *lines, self._rest = (self._rest + self._decoder.decode(piece)).split("\n")
        if len(self._rest) + sum(map(len, self._data)) > LONGEST_EVENT:
            raise misunderstood("its feed does not end an event")
        for line in lines:
            yield from self._in_line(line.removesuffix("\r"))

    def _in_line(self, line: str) -> Iterator[Event]:
        if not line:
            if self._data or self._position is not None:
                yield Event(self._position, "\n".join(self._data))
            self._data, self._position = [], None
            return
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "id":
            self._position = value
        elif name == "retry" and value.isdecimal():
            self.retry = int(value) / 1000


def changes(after: str | None, dataset: str | None) -> Steps[None]:
    """Every change from a position on, or from now; ends only by what it raises: FeedLost, NotAllowed, CouldNotAsk."""
    events, heard_at = Events(), time.monotonic()
    while True:
        opened = yield Open(request_after(after), SILENCE)
        if is_open(opened):
            events = Events()
            while True:
                piece = yield Next()
                if isinstance(piece, Broken):
                    break
                heard_at = time.monotonic()
                for event in events.in_bytes(piece):
                    after = event.position or after
                    change = change_in(event)
                    if change is not None and change.concerns(dataset):
                        yield Found(change)
        elif isinstance(opened, Reply):
            _require_passing(opened)
        if after is None or time.monotonic() - heard_at > SILENCE:
            raise FeedLost(
                "The change feed was lost, and could not be taken up again.",
                fix="Read what you kept as *not safe*: watch anew, then ask anew for what you rely on.",
            )
        yield Pause(events.retry)


def request_after(after: str | None) -> Request:
    """The request for all that came after a position."""
    headers = {"Last-Event-ID": after} if after is not None else {}
    return Request(place("changes"), accept=EVENT_STREAM, headers=headers)


def is_open(reply: Reply | Broken) -> bool:
    """Whether the feed is there."""
    return isinstance(reply, Reply) and reply.status == 200 and reply.media_type == EVENT_STREAM


def change_in(event: Event) -> Change | None:
    """The change of safety that an event tells; None for any other event. Raises CouldNotAsk for one that is none."""
    if not event.data:
        return None
    try:
        document = json.loads(event.data)
        if document["type"] != CHANGED:
            return None
        told = {"position": event.position or str(document["id"]), "at": document["time"]}
        return Change.model_validate(document["data"] | told)
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise misunderstood("its feed tells a change that is none") from error


def _require_passing(reply: Reply) -> None:
    """Raises what will not pass by itself: a position that is too old, a right that is lacking, another server."""
    if reply.status == 410:
        raise FeedLost(
            "The change feed does not reach back to where it was left.",
            fix="Read what you kept as *not safe*: watch anew, then ask anew for what you rely on.",
        )
    if reply.status not in (429, 500, 502, 503, 504):
        refusal = refusal_of(reply, Moment.now()) if reply.status != 200 else misunderstood("it is no feed")
        if not isinstance(refusal, CouldNotAsk) or reply.status == 200:
            raise refusal
