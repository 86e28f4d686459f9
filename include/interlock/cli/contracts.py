"""`interlock contract`: lint contracts, read one in words, start one from a sample, make changed ones active."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from interlock.errors import Exit, UsageError

if TYPE_CHECKING:
    from interlock.contracts.lint import LintReport


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    group = typer.Typer(no_args_is_help=True, help="Lint contracts, show one, or write a first one from a sample.")
    group.command("lint")(lint)
    group.command("show")(show)
    app.add_typer(group, name="contract")


def lint(
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    record: Annotated[bool, typer.Option("--record", help="Record new versions, if nothing else is wrong.")] = False,
) -> None:
    """Every problem of every contract at once, with its place and its fix; exit 1 if there is any."""
    from interlock.contracts.lint import lint as linted

    report = linted(record=record)
    typer.echo(report.model_dump_json(indent=2) if as_json else _told(report))
    raise typer.Exit(Exit.OK if report.is_clean else Exit.FAILED)


def show(dataset: Annotated[str, typer.Argument(help="The dataset whose contract to read.")]) -> None:
    """One contract in words: what it promises, what holds it to that, and what was decided."""
    from rich.console import Console

    from interlock.contracts.loading import load_contracts, suggestion
    from interlock.contracts.showing import pages

    catalog = load_contracts()
    if dataset not in catalog:
        raise UsageError(f"There is no contract of {dataset!r}.", fix=suggestion(dataset, catalog))
    console = Console(highlight=False, soft_wrap=False)
    for page in pages(catalog[dataset]):
        console.print(page)


def _told(report: LintReport) -> str:
    lines = [str(problem) for problem in report.problems]
    files = len({problem.file for problem in report.problems})
    lines += [f"Recorded {name}." for name in report.recorded]
    looked_at = f"{_number(report.contracts, 'contract')}, {_number(report.checks, 'check')}"
    found = f"{_number(len(report.problems), 'problem')} in {_number(files, 'file')}" if files else "no problem"
    return "\n".join([*lines, f"{looked_at}: {found}."])


def _number(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
