"""Actions: proposed, approved, carried out and taken back here as at the command line, under the same policy.

Who acts is the caller, with the rights of their credential. What the policy refuses comes back as an action that is
`rejected`, with its reasons; what can never be done, or by nobody like the caller, is a problem.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from interlock.api import paging
from interlock.api.caching import conditional
from interlock.api.filters import Filter, listing, require_known
from interlock.api.identity import Caller, Executor, Proposer, Reader
from interlock.api.paging import Page
from interlock.api.problems import answers
from interlock.api.selecting import Number, require_words, selection
from interlock.api.state import Surfaced
from interlock.control import actions, events, reading
from interlock.control.events import AuditEvent
from interlock.control.questions import ActionState, Evidence, Right
from interlock.control.records import Action, Preview, Proposal, Verb
from interlock.db.disclosure import WITHHELD
from interlock.db.listing import LARGEST

router = APIRouter(tags=["actions"])

VIA = "api"
FIELDS = ("domain", "dataset", "state", "kind", "partition", "since", "until")
Filtered = Annotated[Filter, listing(*FIELDS)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Reason = Annotated[str, Field(min_length=1, max_length=2000, description="In words that help in a year.")]
Key = Annotated[
    str | None,
    Header(max_length=200, description="Proposed again under the same key, it is the same action."),
]


class Proposed(BaseModel):
    """What somebody wants done: to partitions of a dataset, to a domain, or to the platform where neither is named."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Name
    rationale: Reason
    domain: Name | None = None
    dataset: Name | None = None
    partitions: tuple[Annotated[str, Field(min_length=1, max_length=40)], ...] = Field(default=(), max_length=4000)
    version: int | None = Field(default=None, ge=1, le=LARGEST)
    parameters: dict[Name, Annotated[str, Field(max_length=2000)] | int | bool | None] = Field(
        default={}, max_length=20
    )
    undoes: int | None = Field(default=None, ge=1, le=LARGEST)
    evidence: tuple[Evidence, ...] = Field(default=(), max_length=100)


class Answered(BaseModel):
    """What a person answers to a proposal, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    verb: Verb
    reason: Reason


class TakenBack(BaseModel):
    """Why an action is to be undone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: Reason


class ActionShown(Action):
    """An action as it stands; `summary` is what it is in a few words."""

    summary: str


class ActionStory(ActionShown):
    """An action with every event of the audit that tells of it, in order."""

    events: tuple[AuditEvent, ...]


async def answerer(caller: Reader) -> Caller:
    """Who approves, or may take back what they proposed themselves; which of the two, the action says."""
    if not any(
        caller.may(right, domain) for right in (Right.APPROVE, Right.PROPOSE) for domain in caller.actor.domains
    ):
        caller.require(Right.APPROVE, caller.actor.domains)
    return caller


@router.get("/actions", response_model=Page[ActionShown], responses=answers(304))
def list_actions(wanted: Filtered, caller: Reader, request: Request) -> Response:
    """Actions, newest first."""
    require_words(wanted.state, ActionState, "state")
    found = reading.selected(selection(wanted, caller, "actions"))
    page = paging.page(found, wanted.limit, "actions", lambda action: [action.action_id], shown)
    return conditional(request, Page[ActionShown](**page))


@router.get("/actions/{action_id}", response_model=ActionStory, responses=answers(304, 404))
def action_story(action_id: Number, caller: Reader, request: Request) -> Response:
    """One action as it stands, with its story."""
    require_known(request)
    _require_concerned(caller, reading.get(action_id))
    story = reading.story(action_id)
    told = tuple(events.event_of(link) for link in story.events)
    return conditional(request, ActionStory(**dict(shown(story.action)), events=told))


@router.post("/actions/preview", responses=answers(404, 409, 415))
async def preview(given: Proposed, caller: Proposer, surface: Surfaced) -> Preview:
    """What proposing would lead to: what it touches, what the policy says, what stands in its way. Writes nothing."""
    proposal = await _proposal(given, caller, surface)
    return await run_in_threadpool(actions.preview, proposal, caller.actor)


@router.post("/actions", status_code=201, responses=answers(404, 409, 415))
async def propose(given: Proposed, caller: Proposer, surface: Surfaced, idempotency_key: Key = None) -> ActionShown:
    """Put a proposal on record; carried out at once where the policy lets it."""
    proposal = await _proposal(given, caller, surface, idempotency_key)
    return shown(await run_in_threadpool(actions.propose, proposal, caller.actor))


@router.post("/actions/{action_id}/answers", responses=answers(404, 409, 415))
def answer(action_id: Number, given: Answered, caller: Annotated[Caller, Depends(answerer)]) -> ActionShown:
    """Approve or reject as the person that the caller is; carried out with the last approval that it needs."""
    return shown(actions.answer(action_id, caller.actor, given.verb, given.reason, via=VIA))


@router.post("/actions/{action_id}/execution", responses=answers(404, 409, 415))
def execute(action_id: Number, caller: Executor) -> ActionShown:
    """Carry out what is approved and was not carried out. Once is enough: again changes nothing."""
    return shown(actions.execute(action_id, caller.actor))


@router.post("/actions/{action_id}/rollback", status_code=201, responses=answers(404, 409, 415))
def roll_back(action_id: Number, given: TakenBack, caller: Proposer) -> ActionShown:
    """Propose the inverse of what was executed, under the same policy; the answer is that action."""
    caller.require(Right.PROPOSE, reading.get(action_id).domains)
    return shown(actions.roll_back(action_id, caller.actor, given.reason))


def shown(action: Action) -> ActionShown:
    """The action as it may be passed on: why it failed was said by the database, and stays in the log."""
    failure = action.failure
    if failure is not None and action.state is ActionState.FAILED:
        failure = f"It could not be carried out: {WITHHELD}."
    return ActionShown(**dict(action) | {"summary": action.title, "failure": failure})


async def _proposal(given: Proposed, caller: Caller, surface: Surfaced, key: str | None = None) -> Proposal:
    """The proposal, where the caller may propose in the domain that it is about."""
    if given.dataset is not None:
        caller.require(Right.PROPOSE, [(await surface.registry.dataset(given.dataset)).domain])
    elif given.domain is not None:
        caller.require(Right.PROPOSE, [given.domain])
    return Proposal(**dict(given), key=key)


def _require_concerned(caller: Caller, action: Action) -> None:
    """Refusing (403) unless the action is about a domain that the caller may read."""
    if not any(caller.may(Right.READ, domain) for domain in action.domains):
        caller.require(Right.READ, action.domains)
