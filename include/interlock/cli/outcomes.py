"""What became of an action that a command was about: printed, mirrored outside the database, and as an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import typer

from interlock.errors import Exit, InterlockError

if TYPE_CHECKING:
    from interlock.control.records import Action

MIRRORED = ("pause_pipeline", "resume_pipeline")


def conclude(action: Action, *, is_rejection: bool = False, as_json: bool = False) -> NoReturn:
    """Print an action as it stands after it was proposed, answered or carried out, and exit with its code."""
    from interlock.cli import stories
    from interlock.control import audit

    audit.anchor()
    if as_json:
        typer.echo(action.model_dump_json(indent=2))
    else:
        stories.show_action(action)
    if action.kind in MIRRORED and action.executed_at is not None:
        _mirror()
    raise typer.Exit(Exit.OK if is_rejection and action.state == "rejected" else exit_code(action))


def exit_code(action: Action) -> Exit:
    """0: it was carried out, or waits. 3: it may not be. 5: nobody could say whether it may. 1: it failed."""
    from interlock.control.questions import ActionState

    if action.state is ActionState.FAILED:
        return Exit.FAILED
    if action.state in (ActionState.REJECTED, ActionState.EXPIRED, ActionState.INVALIDATED):
        is_unasked = action.decision is not None and action.decision.failure is not None
        return Exit.COULD_NOT_ASK if is_unasked else Exit.UNSAFE
    return Exit.OK


@contextmanager
def refusals_told() -> Iterator[None]:
    """Let what the database refuses exit as a refusal and not as a failure: it was asked, and the answer is no."""
    from interlock.control.actions import NotEntitled
    from interlock.db.failures import Refused

    try:
        yield
    except (Refused, NotEntitled) as error:
        error.exit_code = Exit.UNSAFE
        raise


def _mirror() -> None:
    """Throw Airflow's own switches too, where there is one. The pause itself holds without it."""
    from interlock import services
    from interlock.control import pauses

    try:
        airflow = services.reachable()
        if airflow is not None:
            pauses.mirror(airflow)
    except (InterlockError, OSError) as error:
        typer.echo(f"Done; Airflow's own switch could not be set, and follows by itself.\n  {error}", err=True)
