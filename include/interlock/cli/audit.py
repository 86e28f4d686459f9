"""`interlock audit`: is the chain of events whole, the story of one action, and the trail for other systems.

Exit codes of `verify`: 0 the chain is whole, 3 it is not, 4 nothing outside the database says so, 5 could not ask.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

import typer

from interlock.errors import Exit

if TYPE_CHECKING:
    from pydantic import BaseModel

    from interlock.control.audit import Link, Report
    from interlock.control.reading import Story
    from interlock.control.records import Radius

Part = TypeVar("Part", bound="BaseModel")


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    group = typer.Typer(no_args_is_help=True, help="What happened, who did it, and whether the record of it is whole.")
    group.command()(verify)
    group.command()(anchor)
    group.command()(export)
    group.command()(show)
    app.add_typer(group, name="audit")


def verify(as_json: bool = typer.Option(False, "--json", help="Print the report as JSON.")) -> None:
    """Check every event against its hash, its neighbours and the anchors. Exit 0: whole. 3: not. 4: not anchored."""
    from interlock.control.audit import verify as verified

    report = verified()
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
    else:
        _show(report)
    raise typer.Exit(Exit.UNSAFE if not report.is_whole else Exit.OK if report.is_anchored else Exit.UNKNOWN)


def anchor() -> None:
    """Copy the head of the chain out of the database now; every run does it at its end."""
    from interlock.control.audit import anchor as anchored
    from interlock.settings import settings

    head = anchored()
    if head is None:
        typer.echo("Nothing was anchored: there is no event yet, or the place could not be written.")
        raise typer.Exit(Exit.FAILED)
    typer.echo(f"Event {head.position} is anchored in {settings().audit_anchors}.")


def export(
    as_cloudevents: bool = typer.Option(False, "--cloudevents", help="As CloudEvents 1.0."),
    since: int = typer.Option(0, "--since", min=0, help="Only events after this position."),
) -> None:
    """Print the events as JSON lines. `jq -cS 'del(.hash)'` and sha256 give the hash of each again."""
    from interlock.control.audit import cloudevent, trail

    for link in trail(since):
        typer.echo(json.dumps(cloudevent(link), ensure_ascii=False) if as_cloudevents else link.as_json)


def show(
    number: str = typer.Argument(metavar="ACTION", help="The action's number.", show_default=False),
    as_json: bool = typer.Option(False, "--json", help="Print the action and its events as JSON."),
) -> None:
    """The whole story of an action from the chain: proposed on what evidence, decided, approved, done, taken back."""
    from interlock.cli.actions import action_id
    from interlock.control import reading

    found = reading.story(action_id(number))
    if as_json:
        events = ", ".join(event.as_json for event in found.events)  # number for number as they were hashed
        typer.echo(f'{{"action": {found.action.model_dump_json()}, "events": [{events}]}}')
    else:
        _show_story(found)


def _show(report: Report) -> None:
    counted = f"{report.events:,} events, {report.anchors:,} anchored {'head' if report.anchors == 1 else 'heads'}"
    if report.is_whole and report.is_anchored:
        typer.echo(f"The audit is whole: {counted}. The head, event {report.head.position}: {report.head.hash[:16]}…")
        return
    if report.is_whole:
        typer.echo(f"No event of {report.events:,} was harmed, but no head of the chain is kept outside the database:")
        typer.echo(
            "nobody can tell whether its end was cut off. Every run keeps one; so does `interlock audit anchor`."
        )
        return
    typer.echo(f"The audit is NOT whole: {counted}.")
    for finding in report.findings:
        typer.echo(f"  {finding.harm} at position {finding.position}: {finding.message}.")
    typer.echo("What to do: compare with an export or a backup from before; find out who may write to the database.")


def _show_story(found: Story) -> None:
    """Print what the chain has of an action, event by event, and whether these events are what they were."""
    from interlock.cli.stories import BAD, STYLES, counted, headline, put, say

    rows = [("event   at (UTC)", "")]
    for same in _grouped(found.events):
        place = f"{same[0].position:>5}   {same[0].at[:19].replace('T', ' ')}"
        lines = [*_told(same[0], found.action.action_id)]
        if len(same) > 1:
            lines.append(f"and so on for {counted(len(same) - 1, 'more partition')}, up to event {same[-1].position}")
        rows += [(place if number == 0 else "", line) for number, line in enumerate(lines)]
    put(headline(found.action), rows, STYLES.get(found.action.state, BAD), indent=28)
    changed = [str(event.position) for event in found.events if not event.is_itself()]
    if changed:
        say(f"NOT as it was recorded: event {', '.join(changed)}. What else was harmed: interlock audit verify", BAD)
    else:
        say(f"{counted(len(found.events), 'event')}, each as it was hashed. The whole chain: interlock audit verify")


def _grouped(events: Sequence[Link]) -> Iterator[list[Link]]:
    """The events, those together that tell the same of one partition after another: a screen holds no year of days."""
    from itertools import groupby

    for (kind, *_), same in groupby(events, lambda event: (event.kind, event.dataset, event.actor)):
        listed = list(same)
        yield from ([event] for event in listed) if kind.startswith("action_") else [listed]


def _told(event: Link, action_id: int) -> Iterator[str]:
    """One event in words; of a kind that is not known here, what is in it."""
    from interlock.cli.stories import ANSWERED, decided, fact, parameters, plain, who, words
    from interlock.control.decisions import Decision
    from interlock.control.questions import Actor, Evidence
    from interlock.control.records import Radius

    said = json.loads(event.payload)
    match event.kind:
        case "action_proposed":
            yield f"proposed by {who(_read(Actor, said['actor']))}: {said['rationale']}"
            yield from (f"{label} {text}" for label, text in parameters(said["parameters"]))
            yield _extent(_read(Radius, said["radius"]))
        case "action_evidence":
            yield from (f"evidence: {fact(_read(Evidence, found))}" for found in said["evidence"])
        case "action_decided":
            decision = _read(Decision, said["decision"])
            yield from (f"{label} {text}".strip() for label, text in decided(decision, with_duties=decision.allow))
        case "action_answered":
            yield f"{ANSWERED[said['answer']]} by {who(_read(Actor, said['actor']))}, {said['via']}: {said['reason']}"
        case _:
            other = f" action {said['action']}" if said.get("action") != action_id else ""
            place = " ".join(part for part in (event.dataset, event.partition) if part)
            subject = other if event.kind.startswith("action_") else f" {place}" if place else ""
            rest = {name: value for name, value in said.items() if name not in ("action", "kind") and value}
            did = words(event.kind.removeprefix("action_"))
            yield f"{did}{subject} by {event.actor}{f': {plain(rest)}' if rest else ''}"


def _extent(radius: Radius) -> str:
    """A blast radius in one line; `interlock action show` has the names."""
    from interlock.cli.stories import counted

    parts = [("partition", radius.partitions), ("row", radius.rows), ("dataset", len(radius.datasets))]
    parts += [("consumer", len(radius.consumers)), ("metric", len(radius.metrics))]
    return f"touches {', '.join(counted(number, what) for what, number in parts)}; criticality {radius.criticality}"


def _read(kind: type[Part], document: object) -> Part:
    """A part of an event as the record that it was written from."""
    return kind.model_validate_json(json.dumps(document))
