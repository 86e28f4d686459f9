"""A partition turned out bad: who relied on it while it was safe, and telling them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from interlock.api.caching import conditional
from interlock.api.identity import Caller, Executor, Reader
from interlock.api.problems import answers
from interlock.api.state import KnownDataset, ReadableDataset
from interlock.control.questions import Right
from interlock.safety import notices, recall_messages
from interlock.safety.recall import Recall, recall

router = APIRouter(tags=["recall"])

ADDRESS = "/datasets/{dataset}/partitions/{partition}/recall"
Partition = Annotated[str, Path(description="A day as YYYY-MM-DD, or `all`.", max_length=40)]
Version = Annotated[
    int | None, Query(description="This version; by default all that were safe and are not.", ge=1, le=2**63 - 1)
]
Since = Annotated[datetime | None, Query(description="Only what was relied on from this instant on.")]


class Telling(BaseModel):
    """That they are to be told: it must be said, because messages go out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tell: Literal[True]


class ToldNow(BaseModel):
    """Who was told now, who was told before, and who has no address. What of it could not be delivered waits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    told: tuple[str, ...]
    told_before: tuple[str, ...]
    without_address: tuple[str, ...]


@router.get(ADDRESS, response_model=Recall, responses=answers(304, 404))
def recall_of_partition(
    dataset: ReadableDataset,
    partition: Partition,
    caller: Reader,
    request: Request,
    version: Version = None,
    since: Since = None,
) -> Response:
    """Of each version that was safe and is not: who was told so, what was built from it, who may have read it."""
    return conditional(request, _found(dataset, partition, caller, version, since))


@router.post(ADDRESS, responses=answers(404, 409, 415))
def tell_of_recall(dataset: ReadableDataset, partition: Partition, _: Telling, caller: Executor) -> ToldNow:
    """Tell them, each once for each time that a version ceased to be safe. Takes the right to execute in the domain."""
    caller.require(Right.EXECUTE, [dataset.domain])
    found = recall(dataset.name, partition)
    before = recall_messages.letters(found)
    told = recall_messages.tell(found, caller.actor.name)
    notices.drain()
    return ToldNow(
        told=_names(told),
        told_before=_names([letter for letter in before if not letter.is_new]),
        without_address=_names([letter for letter in before if letter.is_new and not letter.has_address]),
    )


def _found(
    dataset: KnownDataset, partition: str, caller: Caller, version: int | None, since: datetime | None
) -> Recall:
    from_then = since.replace(tzinfo=UTC) if since is not None and since.tzinfo is None else since
    found = recall(dataset.name, partition, version=version, since=from_then)
    return found if caller.domains is None else found.within(caller.domains)


def _names(letters: list[recall_messages.Letter]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(letter.recipient for letter in letters))
