"""What people are told, in words: which partitions became unsafe or safe again, and which actions wait or were done.

One bad delivery makes a whole branch of the lineage unsafe, so the notices of one owner that go back to the same fact
become one message. What a quarantine hides is told with the quarantine, and what its release shows with the release:
whoever owns both would otherwise be told the same twice. Why an action failed is not told here: the database may have
quoted a row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

LISTED = 20


class Tone(StrEnum):
    """How a message is meant, in the words of Apprise."""

    GOOD = "success"
    BAD = "failure"
    ASKS = "warning"
    TELLS = "info"


class Step(StrEnum):
    """What became of an action that people are told about."""

    AWAITS_APPROVALS = "awaits_approvals"
    EXECUTED = "executed"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    INVALIDATED = "invalidated"


class Notice(BaseModel):
    """One partition that became unsafe, or is safe again, with the fact that its episode began with.

    `begun_by` is the action that quarantined, where the episode began with that.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    notice_id: int
    owner: str
    kind: str
    dataset: str
    partition: str
    path: tuple[str, ...]
    root_id: int
    root_dataset: str
    root_partition: str
    code: str
    message: str
    clears: str
    begun_by: int | None


class Touched(BaseModel):
    """As much of an action's blast radius as is told."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    partitions: int
    rows: int
    datasets: tuple[str, ...]
    criticality: str


class ActionNotice(BaseModel):
    """One step of an action, for one owner: of domains that it touches, of consumers that it concerns, or both.

    `is_decided_here`: one of the domains is the action's own, so that who owns it may answer and take back.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    notice_id: int
    owner: str
    what: Step
    domains: tuple[str, ...]
    consumers: tuple[str, ...]
    action_id: int
    undoes: int | None
    dataset: str | None
    title: str
    proposed_by: str
    rationale: str
    touched: Touched
    approvals_required: int
    approvals: int
    expires_at: datetime
    is_decided_here: bool
    is_to_be_reviewed: bool


class RecallNotice(BaseModel):
    """That something was safe and is not, for one who relied on it; worded when it was written (`recall_messages`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    notice_id: int
    owner: str
    title: str
    body: str
    dataset: str
    partition: str


class Message(BaseModel):
    """What one owner is told about one fact, and the notices that this settles."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    owner: str
    tone: Tone
    title: str
    body: str
    dataset: str | None
    partition: str | None = None
    notice_ids: tuple[int, ...] = ()
    action_notice_ids: tuple[int, ...] = ()
    recall_notice_ids: tuple[int, ...] = ()


def messages(
    notices: Iterable[Notice], of_actions: Iterable[ActionNotice] = (), of_recalls: Iterable[RecallNotice] = ()
) -> list[Message]:
    """One for each owner, fact and kind, then for each owner and step of an action, then the recalls."""
    steps = list(of_actions)
    done: dict[tuple[str, int | None, str], int] = {}
    for step in steps:
        if step.what is Step.EXECUTED:
            done[step.owner, step.action_id, "unsafe"] = step.notice_id
            done[step.owner, step.undoes, "cleared"] = step.notice_id
    groups: dict[tuple[str, int, str], list[Notice]] = defaultdict(list)
    outcomes: dict[int, list[Notice]] = defaultdict(list)
    for notice in notices:
        told_with = done.get((notice.owner, notice.begun_by, notice.kind))
        if told_with is None or notice.begun_by is None:
            groups[notice.owner, notice.root_id, notice.kind].append(notice)
        else:
            outcomes[told_with].append(notice)
    return [
        *(_of_partitions(group) for group in groups.values()),
        *(_of_action(step, outcomes[step.notice_id]) for step in steps),
        *map(_of_recall, of_recalls),
    ]


def _of_partitions(group: Sequence[Notice]) -> Message:
    first = group[0]
    more = f" and {len(group) - 1} more" if len(group) > 1 else ""
    if first.kind == "cleared":
        title = f"Safe again: {first.dataset} {first.partition}{more}"
        lines = [f"This is over: {first.message}", *_listed(group)]
    else:
        title = f"Unsafe: {first.dataset} {first.partition}{more}"
        lines = [
            f"It began with {first.root_dataset} {first.root_partition} ({first.code}): {first.message}",
            f"What clears it: {first.clears}",
            *_listed(group),
            "",
            f"Evidence: interlock explain {first.root_dataset} --partition {first.root_partition}",
        ]
    return Message(
        owner=first.owner,
        tone=Tone.GOOD if first.kind == "cleared" else Tone.BAD,
        title=title,
        body="\n".join(lines),
        dataset=first.dataset,
        partition=first.partition,
        notice_ids=tuple(n.notice_id for n in group),
    )


def _of_action(step: ActionNotice, outcome: Sequence[Notice]) -> Message:
    headline, tone = {
        Step.AWAITS_APPROVALS: ("Waits for approval", Tone.ASKS),
        Step.EXECUTED: ("Done, to be reviewed" if step.is_to_be_reviewed else "Done", Tone.TELLS),
        Step.ROLLED_BACK: ("Taken back", Tone.TELLS),
        Step.FAILED: ("Could not be done", Tone.BAD),
        Step.INVALIDATED: ("Not done", Tone.ASKS),
    }[step.what]
    return Message(
        owner=step.owner,
        tone=tone,
        title=f"{headline}: {step.title} (action {step.action_id})",
        body="\n".join([*_said(step), *(_listed(outcome) if outcome else []), "", *_commands(step)]),
        dataset=step.dataset,
        notice_ids=tuple(notice.notice_id for notice in outcome),
        action_notice_ids=(step.notice_id,),
    )


def _of_recall(notice: RecallNotice) -> Message:
    said = notice.model_dump(exclude={"notice_id"})
    return Message(**said, tone=Tone.BAD, recall_notice_ids=(notice.notice_id,))


def _said(step: ActionNotice) -> Iterator[str]:
    touched = step.touched
    size = f"{_counted(touched.partitions, 'partition')} and {_counted(touched.rows, 'row')}"
    datasets = ", ".join(touched.datasets[:LISTED]) or "no dataset"
    more = f" and {len(touched.datasets) - LISTED} more" if len(touched.datasets) > LISTED else ""
    yield f"Proposed by {step.proposed_by}: {step.rationale}"
    yield f"It touches {size} of {datasets}{more}; criticality {touched.criticality}."
    if step.consumers:
        yield f"Your consumers that it concerns: {', '.join(step.consumers)}."
    match step.what:
        case Step.AWAITS_APPROVALS:
            needed = _counted(step.approvals_required, "approval")
            yield f"It needs {needed} until {step.expires_at:%Y-%m-%d %H:%M} UTC, and has {step.approvals}."
        case Step.EXECUTED:
            if step.undoes is not None:
                yield f"It takes back action {step.undoes}."
            if step.is_to_be_reviewed:
                yield "It was done without asking anybody: review it afterwards."
        case Step.FAILED:
            yield "It was approved and could not be carried out; nothing was changed."
        case Step.INVALIDATED:
            yield "What was approved is not so any more; nothing was changed."


def _commands(step: ActionNotice) -> Iterator[str]:
    yield f"The whole story: interlock action show {step.action_id}"
    if step.what is Step.AWAITS_APPROVALS and step.is_decided_here:
        yield f'Approve it: interlock action approve {step.action_id} --reason "..."'
        yield f'Or reject it: interlock action reject {step.action_id} --reason "..."'
    elif step.what is Step.EXECUTED and step.is_decided_here:
        yield f'Take it back: interlock action rollback {step.action_id} --reason "..."'


def _listed(group: Sequence[Notice]) -> Iterator[str]:
    """What became unsafe or safe, under a heading."""
    yield ""
    yield "Safe to act on again:" if group[0].kind == "cleared" else "Not safe to act on:"
    for notice in group[:LISTED]:
        yield f"- {notice.dataset} {notice.partition}{_by_way_of(notice.path)}"
    if len(group) > LISTED:
        yield f"- and {len(group) - LISTED} more"


def _by_way_of(path: Sequence[str]) -> str:
    return f" (by way of {' > '.join(path)})" if len(path) > 1 else ""


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
