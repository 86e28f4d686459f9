"""How an action reads on a terminal, before it is proposed and as it stands, on one screen.

Whoever reads it may have been woken by it. The first line says what is or would be, the last one the next command, and
long lists are cut short: `--json` has all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from interlock.control.decisions import Outcome
from interlock.control.questions import ActionState, ActorKind
from interlock.control.records import title_of
from interlock.errors import Exit

if TYPE_CHECKING:
    from datetime import datetime

    from interlock.control.decisions import Decision
    from interlock.control.questions import Actor, Evidence
    from interlock.control.records import Action, Parameters, Preview, Radius

SHOWN_NAMES = 6
SHOWN_REVISION = 12
INDENT = 11
GOOD, WAITS, BAD, OVER = "bold green", "bold yellow", "bold red", "bold magenta"
STYLES = {
    ActionState.EXECUTED: GOOD,
    ActionState.APPROVED: WAITS,
    ActionState.PROPOSED: WAITS,
    ActionState.ROLLED_BACK: OVER,
    ActionState.EXPIRED: OVER,
}
ANSWERED = {"approve": "approved", "reject": "rejected"}

UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")  # control, and what turns the line around

# A label, empty where the text goes on under the one before it, and the text.
Row = tuple[str, str]


def show_preview(found: Preview, by: Actor) -> None:
    """Print what it would lead to if somebody proposed it."""
    proposal, (headline, style, _) = found.proposal, foreseen(found)
    title = title_of(proposal.kind, proposal.dataset or ", ".join(found.domains), proposal.partitions, proposal.version)
    rows = [
        *_listed("not now", map(str.strip, (found.obstacle or "").splitlines())),
        *parameters(proposal.parameters),
        *_touched(found.radius),
        *decided(found.decision),
    ]
    if found.decision.outcome is Outcome.AWAIT_APPROVALS:
        rows += _approvers(found.domains, by)
    put(f"{headline}  {title}", [*rows, *_way_back(proposal.kind)], style)


def foreseen(found: Preview) -> tuple[str, str, Exit]:
    """What would become of it, in what style, with what exit code."""
    decision = found.decision
    if decision.failure is not None:
        return "THE POLICY COULD NOT BE ASKED", BAD, Exit.COULD_NOT_ASK
    if decision.outcome is Outcome.REFUSE:
        return "WOULD BE REFUSED", BAD, Exit.UNSAFE
    if found.obstacle:
        return "CANNOT BE DONE NOW", BAD, Exit.UNSAFE
    if decision.outcome is Outcome.EXECUTE:
        return "WOULD RUN AT ONCE", GOOD, Exit.OK
    return f"WOULD WAIT FOR {counted(_missing(decision), 'approval').upper()}", WAITS, Exit.OK


def show_action(found: Action) -> None:
    """Print an action as it stands, and the commands that take it further."""
    rows: list[Row] = [
        ("now", _standing(found)),
        ("proposed", f"{_at(found.proposed_at)} by {who(found.actor)}: {found.rationale}"),
        *_listed("evidence", map(fact, found.evidence)),
        *parameters(found.parameters),
        *_touched(found.radius),
        *(decided(found.decision) if found.decision else []),
        *_listed(
            "answers",
            (f"{_at(a.at)} {ANSWERED[a.answer]} by {who(a.actor)}, {a.via}: {a.reason}" for a in found.answers),
        ),
    ]
    if found.state is ActionState.PROPOSED:
        rows += _approvers(found.domains, found.actor, {answer.actor.name for answer in found.answers})
    put(headline(found), rows, STYLES.get(found.state, BAD))
    for line in _next_steps(found):
        say(line)


def headline(found: Action) -> str:
    """Its state, its number and what it is."""
    return f"{words(found.state).upper()}  #{found.action_id} {found.title}"


def cells(found: Action) -> tuple[str, ...]:
    """Its line of a table."""
    proposed = _at(found.proposed_at)
    return f"#{found.action_id}", words(found.state), _needs(found), found.title, proposed, who(found.actor)


def parameters(given: Parameters) -> Iterator[Row]:
    """What the kind was told beyond its scope."""
    if given:
        yield "with", ", ".join(f"{name}={value}" for name, value in given.items())


def decided(decision: Decision, *, with_duties: bool = True) -> Iterator[Row]:
    """What the policy says, by which revision, why, and what it obliges to."""
    required = counted(decision.approvals_required, "approval")
    said = {
        Outcome.EXECUTE: f"allows it {f'with {required}' if decision.approvals_required else 'without approval'}",
        Outcome.AWAIT_APPROVALS: f"asks for {required}",
        Outcome.REFUSE: "could not be asked, so the answer is no" if decision.failure else "refuses it",
    }[decision.outcome]
    yield "policy", f"{said} (revision {decision.revision[:SHOWN_REVISION] or 'unknown'}, {decision.engine})"
    for reason in decision.reasons:
        yield "", f"- {reason.message}"
    duties: dict[str, list[str]] = {}
    for obligation in decision.obligations if with_duties and decision.outcome is not Outcome.REFUSE else ():
        duties.setdefault(words(obligation.code), []).append(obligation.subject)
    for duty, subjects in duties.items():
        yield "", f"- then: {duty} {_few(subjects)}"


def who(actor: Actor) -> str:
    """Who it was and, but for people, what."""
    kind = "" if actor.kind is ActorKind.PERSON else f" ({actor.kind})"
    return f"{actor.name}{kind}{f' for {actor.on_behalf_of}' if actor.on_behalf_of else ''}"


def fact(found: Evidence) -> str:
    """One piece of evidence."""
    subject = " ".join(part for part in (found.dataset, found.partition) if part)
    version = f" version {found.version}" if found.version is not None else ""
    since = f", goes back to {found.root}" if found.root != found.ref else ""
    return f"{_times(words(found.kind), found.count)}: {subject}{version} ({found.ref}{since})"


def plain(document: dict[str, object]) -> str:
    """A small JSON object in words."""
    said = [(name, _short(value)) for name, value in document.items() if value not in (None, [], {})]
    return ", ".join(value if name == "reason" else f"{words(name)} {value}" for name, value in said)


def words(code: str) -> str:
    """A code as words."""
    return code.replace("_", " ")


def counted(number: int, what: str) -> str:
    """So many of something."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def put(head: str, rows: Iterable[Row], style: str, *, indent: int = INDENT) -> None:
    """Print a headline and rows, wrapped beside their labels to a terminal's width; whole where it goes elsewhere."""
    from textwrap import wrap

    from rich.console import Console

    console = Console()
    say(head, style)
    for label, text in rows:
        parts = wrap(text, max(console.width - indent - 3, 40)) if console.is_terminal else [text]
        for number, part in enumerate(parts or [""]):
            say(f"  {label if number == 0 else '':<{indent}} {part}".rstrip())


def say(line: str, style: str = "", *, is_cut: bool = False) -> None:
    """Print one line; `is_cut` cuts it to a terminal's width.

    What moves a cursor is left out: reasons are other people's words, and what is approved must be what is read.
    """
    from rich.console import Console
    from rich.text import Text

    console, text = Console(highlight=False), Text(UNSEEN.sub(" ", line), style=style)
    if is_cut and console.is_terminal:
        console.print(text, no_wrap=True, overflow="ellipsis")
    else:
        console.print(text, soft_wrap=True)


def _standing(found: Action) -> str:
    """Where it stands, in a sentence."""
    until = f"until {_at(found.expires_at)} UTC"
    match found.state:
        case ActionState.PROPOSED:
            return f"waits {until} for {_needs(found) or 'the policy'}"
        case ActionState.APPROVED:
            return f"may be carried out {until}"
        case ActionState.EXECUTED | ActionState.ROLLED_BACK:
            did = f": {plain(found.result)}" if found.result else ""
            return f"carried out {_at(found.executed_at)} UTC{did}" if found.executed_at else ""
        case ActionState.REJECTED:
            return f"nothing was done: {_rejection(found)}"
        case ActionState.EXPIRED:
            return f"nothing was done: it waited in vain {until}"
    return f"nothing was done: {found.failure or 'what was approved is not what it would do now'}"


def _rejection(found: Action) -> str:
    """Who rejected it: somebody, or the policy, or nobody because that could not be asked."""
    if person := next((answer.actor.name for answer in found.answers if answer.answer == "reject"), None):
        return f"{person} rejected it"
    is_unasked = found.decision is not None and found.decision.failure is not None
    return "the policy could not be asked" if is_unasked else "the policy refused it"


def _needs(found: Action) -> str:
    """What it still needs, in few words."""
    if found.state is ActionState.APPROVED:
        return "to be carried out"
    if found.state is not ActionState.PROPOSED or found.decision is None:
        return ""
    return "the policy" if found.decision.failure else counted(_missing(found.decision), "approval")


def _next_steps(found: Action) -> Iterator[str]:
    """What can be done with it now, as commands."""
    command = f"interlock action {{}} {found.action_id}"
    if found.state is ActionState.PROPOSED and found.decision and found.decision.failure:
        yield f"Ask again:    {command.format('execute')}"
    elif found.state is ActionState.PROPOSED:
        yield f'Approve it:   {command.format("approve")} --reason "..."'
        yield f'Or reject it: {command.format("reject")} --reason "..."'
    elif found.state is ActionState.APPROVED:
        yield f"Carry it out: {command.format('execute')}"
    elif found.state is ActionState.EXECUTED:
        yield f'Take it back: {command.format("rollback")} --reason "..."'


def _approvers(domains: Iterable[str], proposer: Actor, answered: Iterable[str] = ()) -> Iterator[Row]:
    """Whom to wake: the people who may approve in all of these domains and have not answered, as far as rights go."""
    from interlock.control.credentials import EVERY_DOMAIN, listed
    from interlock.control.questions import Right

    people = {
        credential.person
        for credential in listed()
        if Right.APPROVE in credential.scopes
        and (EVERY_DOMAIN in credential.domains or {*domains} <= {*credential.domains})
    }
    own = f"{proposer.name} (whose own it is)"
    names = [own if name == proposer.name else name for name in sorted(people.difference(answered))]
    yield "approvers", _few(names) if names else "nobody: `interlock token create --scope approve` lets somebody"


def _way_back(kind: str) -> Iterator[Row]:
    from interlock.control.kinds import KINDS

    yield "undone by", KINDS[kind].inverse if KINDS[kind].is_reversible else "nothing: it cannot be undone"


def _touched(radius: Radius) -> Iterator[Row]:
    """The blast radius."""
    size = f"{counted(radius.partitions, 'partition')}, {counted(radius.rows, 'row')}"
    yield "touches", f"{size}; criticality {radius.criticality}"
    yield "datasets", _few(_times(name, len(radius.touches.get(name, ()))) for name in radius.datasets)
    if len(radius.domains) > 1:
        yield "domains", _few(radius.domains)
    yield "consumers", _few(radius.consumers)
    yield "metrics", _few(radius.metrics)


def _short(value: object) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return _few(value)
    return f"({len(value):,})" if isinstance(value, list | dict) else str(value)


def _missing(decision: Decision) -> int:
    return decision.approvals_required - decision.approvals_counted


def _listed(label: str, texts: Iterable[str]) -> Iterator[Row]:
    return ((label if number == 0 else "", text) for number, text in enumerate(texts))


def _times(name: str, number: int) -> str:
    return f"{name} ({number:,})" if number > 1 else name


def _few(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - SHOWN_NAMES} more" if len(listed) > SHOWN_NAMES else ""
    return (", ".join(listed[:SHOWN_NAMES]) or "none") + more


def _at(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M}"
