"""`interlock action`: what is proposed, what waits for whom, and the way of each action to its end and back.

Who may do what is the policy's to say; who you are says INTERLOCK_TOKEN. To look needs neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from interlock.cli.outcomes import conclude, refusals_told
from interlock.cli.proposals import JSON, REASON, preview, propose
from interlock.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interlock.control.questions import ActionState
    from interlock.control.records import Action, Verb

NUMBER = typer.Argument(metavar="ACTION", help="The action's number.", show_default=False)


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    from interlock.control.kinds import KINDS

    group = typer.Typer(no_args_is_help=True, help="Actions: propose, approve, carry out, take back.")
    group.command(epilog=f"Kinds: {', '.join(KINDS)}.")(propose)
    group.command("list")(list_actions)
    for command in (show, approve, reject, execute, rollback):
        group.command()(command)
    app.add_typer(group, name="action")


def list_actions(
    state: Annotated[list[str] | None, typer.Option("--state", help="Only in this state; again for more.")] = None,
    domain: Annotated[str | None, typer.Option("--domain", "-d", help="Only about this domain.")] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", help="Only about this dataset.")] = None,
    is_all: Annotated[bool, typer.Option("--all", help="In any state, not only what is open.")] = False,
    last: Annotated[int, typer.Option("--last", "-n", min=1, help="At most so many.")] = 20,
    as_json: bool = JSON,
) -> None:
    """What waits for an approval or to be carried out, newest first."""
    from interlock.control import reading

    found = reading.find(states=_states(state, is_all=is_all), domain=domain, dataset=dataset, limit=last)
    if as_json:
        import json

        typer.echo(json.dumps([action.model_dump(mode="json") for action in found], indent=2))
        return
    _show(found, is_open=not (state or is_all))


def show(number: str = NUMBER, as_json: bool = JSON) -> None:
    """One action as it stands: what, why, what it touches, what the policy says, who answered, what comes next."""
    from interlock.cli import stories
    from interlock.control import reading

    found = reading.get(action_id(number))
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
    else:
        stories.show_action(found)


def approve(number: str = NUMBER, reason: str = REASON) -> None:
    """Approve it. With the last approval that it needs it is carried out at once."""
    from interlock.control.records import Verb

    conclude(_answer(number, Verb.APPROVE, reason))


def reject(number: str = NUMBER, reason: str = REASON) -> None:
    """Reject it: then it is over."""
    from interlock.control.records import Verb

    conclude(_answer(number, Verb.REJECT, reason), is_rejection=True)


def execute(number: str = NUMBER) -> None:
    """Carry out what is approved and was not carried out. Once is enough: again changes nothing."""
    from interlock.control import actions, credentials

    with refusals_told():
        action = actions.execute(action_id(number), credentials.from_environment())
    conclude(action)


def rollback(
    number: str = NUMBER,
    reason: str = REASON,
    is_dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what taking it back would lead to.")] = False,
) -> None:
    """Take an action back: propose its inverse, and carry that out where the policy lets it."""
    from interlock.control import actions, credentials

    if is_dry_run:
        preview(actions.way_back(action_id(number), reason), is_rollback=True)
    with refusals_told():
        action = actions.roll_back(action_id(number), credentials.from_environment(), reason)
    conclude(action)


def action_id(text: str) -> int:
    """The number of `12` or `#12`."""
    digits = text.removeprefix("#")
    if not digits.isdecimal() or not digits.isascii() or len(digits) > 18:
        raise UsageError(f"{text!r} is no action.", fix="Give its number, such as 12: `interlock action list --all`.")
    return int(digits)


def _answer(number: str, verb: Verb, reason: str) -> Action:
    from interlock.control import actions, credentials

    with refusals_told():
        return actions.answer(action_id(number), credentials.from_environment(), verb, reason, via="command line")


def _states(named: list[str] | None, *, is_all: bool) -> Sequence[ActionState]:
    from interlock.control.questions import ActionState

    if is_all and not named:
        return tuple(ActionState)
    known = {state.value: state for state in ActionState}
    if unknown := [name for name in named or () if name not in known]:
        raise UsageError(f"There is no state {unknown[0]!r}.", fix=f"Use some of: {', '.join(known)}.")
    return [known[name] for name in named or ()] or (ActionState.PROPOSED, ActionState.APPROVED)


def _show(found: Sequence[Action], *, is_open: bool) -> None:
    from interlock.cli import stories

    if not found:
        typer.echo("Nothing waits. `interlock action list --all` shows what is over." if is_open else "No such action.")
        return
    head = ("action", "state", "needs", "what", "proposed (UTC)", "by")
    lines = [head, *(stories.cells(action) for action in found)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    styles = ["dim", *(stories.STYLES.get(action.state, stories.BAD) for action in found)]
    for line, style in zip(lines, styles, strict=True):
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        stories.say("  ".join(cells).rstrip(), style, is_cut=True)
    typer.echo(f"More about one: interlock action show {found[0].action_id}")
