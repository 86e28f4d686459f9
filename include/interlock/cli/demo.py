"""`interlock demo`: the story of one bad day, from delivery to correction, on real data."""

from __future__ import annotations

from typing import Annotated

import typer

from interlock.errors import UsageError
from interlock.example.demo import DEFAULT_SCENARIO, SCENARIOS, Demo, scenarios


def register(app: typer.Typer) -> None:
    """Add this group's command."""
    app.command("demo", epilog=f"Scenarios:\n\n{scenarios()}")(demo)


def demo(
    scenario: Annotated[str, typer.Option(help=f"The kind of bad day: {', '.join(SCENARIOS)}.")] = DEFAULT_SCENARIO,
    correction: Annotated[bool, typer.Option(help="Whether the producer delivers a correction at the end.")] = True,
) -> None:
    """Play a week of real flights with one bad day through real PostgreSQL and real Airflow.

    Ends with exit code 0 when the story went as told, and stops what it started.
    """
    if scenario not in SCENARIOS:
        raise UsageError(f"There is no scenario {scenario!r}.", fix=f"Use one of: {', '.join(SCENARIOS)}.")
    Demo(SCENARIOS[scenario], corrects=correction).play()
