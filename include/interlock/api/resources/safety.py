"""Is it safe? One dataset, one partition of it, or a thousand of them in one call; the answer is the command line's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field

from interlock.api.answering import Told
from interlock.api.caching import tagged
from interlock.api.identity import Caller, Reader, caller_of
from interlock.api.problems import Problem, Refusing, answers, problem_of
from interlock.api.recording import Recorded, recording_of
from interlock.api.state import Surface, Surfaced
from interlock.clock import real_now
from interlock.control.questions import Right
from interlock.errors import UsageError
from interlock.safety.answer import Answer
from interlock.safety.answers import require_partition

router = APIRouter(tags=["safety"])

MOST = 1000
Dataset = Annotated[str, Path(description="The dataset's name.", max_length=200)]
Partition = Annotated[str, Path(description="A day as YYYY-MM-DD, or `all`.", max_length=40)]


class Asked(BaseModel):
    """One question of many."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str = Field(min_length=1, max_length=200)
    partition: str | None = Field(default=None, max_length=40)


class Questions(BaseModel):
    """Many questions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    questions: tuple[Asked, ...] = Field(min_length=1, max_length=MOST)


class Answered(BaseModel):
    """One of them with its answer, or with the problem that there is none for that: read it as *not safe*."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    partition: str | None
    answer: Answer | None
    problem: Problem | None


class Answers(BaseModel):
    """The answers, in the order of the questions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    answers: tuple[Answered, ...]
    as_of: datetime


class Direct(APIRoute):
    """A route whose endpoint is called with no more than it takes: solving its signature would cost several answers.

    The signature is still what the documentation is made of; of what it says, nothing is left to check.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The caller is asked for as everywhere."""
        endpoint = self.endpoint

        async def handle(request: Request) -> Response:
            surface: Surface = request.app.state.surface
            caller = await caller_of(request)
            named = request.headers
            recording = await recording_of(surface, caller, named.get("user-agent"), named.get("interlock-consumer"))
            told: Response = await endpoint(
                **request.path_params, caller=caller, surface=surface, recording=recording, request=request
            )
            return told

        return handle


direct = APIRouter(route_class=Direct)


@direct.get("/safety/{dataset}", response_model=Answer, responses=answers(304, 404))
async def safety_of_dataset(
    dataset: Dataset, caller: Reader, surface: Surfaced, recording: Recorded, request: Request
) -> Response:
    """Is the dataset safe: fresh within its SLA, and every partition in the window of its contract safe?"""
    told = await _told(surface, caller, dataset, None)
    recording.checked(told.answer)
    return tagged(request, told.body, told.lasting, valid_until=told.valid_until)


@direct.get("/safety/{dataset}/{partition}", response_model=Answer, responses=answers(304, 404))
async def safety_of_partition(
    dataset: Dataset, partition: Partition, caller: Reader, surface: Surfaced, recording: Recorded, request: Request
) -> Response:
    """Is this partition safe to act on, why not, and what clears it?"""
    told = await _told(surface, caller, dataset, partition)
    recording.checked(told.answer)
    return tagged(request, told.body, told.lasting, valid_until=told.valid_until)


@router.post("/safety")
async def safety_of_many(
    asked: Questions, caller: Reader, surface: Surfaced, recording: Recorded, request: Request
) -> Answers:
    """Up to a thousand questions, answered each by itself; one that has no answer has a problem in its place."""
    request_id = request.scope["interlock_request_id"]
    answered = await asyncio.gather(*(_answered(question, surface, caller, request_id) for question in asked.questions))
    for one in answered:
        if one.answer is not None:
            recording.checked(one.answer)
    return Answers(answers=tuple(answered), as_of=real_now())


router.include_router(direct)


async def _told(surface: Surface, caller: Caller, dataset: str, partition: str | None) -> Told:
    """The answer, if there is such a dataset and the caller may read its domain."""
    if partition is not None:
        require_partition(partition)
    told = await surface.answering.ask(dataset, partition)
    if told is None:
        raise await surface.registry.unknown(dataset)
    caller.require(Right.READ, [told.domain])
    return told


async def _answered(question: Asked, surface: Surface, caller: Caller, request_id: str) -> Answered:
    """One of many. Where nobody can be asked, none of them has an answer."""
    answer = problem = None
    try:
        answer = (await _told(surface, caller, question.dataset, question.partition)).answer
    except (UsageError, Refusing) as error:
        problem = problem_of(error, request_id)
    return Answered(dataset=question.dataset, partition=question.partition, answer=answer, problem=problem)
