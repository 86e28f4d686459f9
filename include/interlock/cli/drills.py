"""`interlock drill`: carry out every kind of action and take it back, on a scratch copy of the live database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from interlock.errors import Exit, PermanentFailure

if TYPE_CHECKING:
    from interlock.control.drilling import Result

SERVED = "select exists (select from interlock.partition p where p.version is not null)"


def register(app: typer.Typer) -> None:
    """Add the commands of this group."""
    app.command("drill")(drill)


def drill(
    kinds: Annotated[
        list[str] | None, typer.Argument(metavar="[KIND]...", help="Kinds of actions; all of them.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Carry out every kind of action and take it back, on a copy of the database, and see that all is as before.

    The live database is read and nothing else; nobody is told, and Airflow is not touched. The copy is gone afterwards.
    Exits 0 when every drill passed, 1 when one failed, 4 when one found nothing to act on.
    """
    from interlock.control.drills import drills_of

    drills_of(kinds or [])
    _require_something_served()
    results = list(_results(kinds or []))
    if as_json:
        import json

        typer.echo(json.dumps([result.model_dump() | {"passed": result.has_passed} for result in results], indent=2))
    else:
        _print_table(results)
    if any(result.problem for result in results):
        raise typer.Exit(Exit.FAILED)
    if not all(result.has_passed for result in results):
        raise typer.Exit(Exit.UNKNOWN)


def _results(kinds: list[str]) -> Iterator[Result]:
    """Run the drills in a process of their own that knows the copy alone."""
    import subprocess
    import sys
    import tempfile
    from pathlib import Path

    from interlock.control import scratch
    from interlock.control.drilling import Result

    command = [sys.executable, "-m", "interlock.control.drills", *kinds]
    with tempfile.TemporaryDirectory(prefix="interlock-drill-") as state, scratch.scratch_copy() as name:
        environment = scratch.environment_of(name, Path(state))
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as child:  # noqa: S603
            try:
                yield from map(Result.model_validate_json, child.stdout or ())
            except BaseException:
                child.kill()
                raise
    if child.returncode:
        raise PermanentFailure(
            f"The drills did not come to their end (exit code {child.returncode}).", fix="What they said stands above."
        )


def _require_something_served() -> None:
    from interlock.db.connection import Role, connect

    with connect(Role.OPERATOR) as connection:
        row = connection.execute(SERVED).fetchone()
    if row != (True,):
        raise PermanentFailure(
            "Nothing is served yet: there is nothing to drill on.", fix="Run a domain first: `interlock run DOMAIN`."
        )


def _print_table(results: list[Result]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("kind", "on what", "did", "undone", "identical", pad_edge=False)
    for result in results:
        table.add_row(
            f"{result.kind} / {result.inverse}", result.subject, result.done or "-", result.undone or "-", _told(result)
        )
    console = Console(highlight=False)
    console.print(table)
    for result in results:
        if result.problem or result.needs:
            said = f"failed: {result.problem}" if result.problem else f"not run: {result.needs}"
            console.print(Text(f"{result.kind}: {said}"))


def _told(result: Result) -> str:
    if result.needs:
        return "not run"
    return "yes" if result.has_passed else "NO" if result.is_identical is False else "failed"
