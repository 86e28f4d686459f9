"""`interlock contract`: lint contracts, read or start one, make changed ones active, retire a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interlock.errors import Exit, UsageError

if TYPE_CHECKING:
    from interlock.contracts.lint import LintReport
    from interlock.pipeline.activation import Activation

SHOWN_FINDINGS = 10


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    group = typer.Typer(no_args_is_help=True, help="Lint contracts, show one, or write a first one from a sample.")
    group.command("lint")(lint)
    group.command("show")(show)
    group.command("init")(init)
    group.command("activate")(activate)
    group.command("retire")(retire)
    group.command("restore")(restore)
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


def init(
    sample: Annotated[Path, typer.Option("--from", help="A CSV file of the feed, plain or gzip, with a usual day.")],
    domain: Annotated[str | None, typer.Option("--domain", help="The domain; needed where there are several.")] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", help="The feed's name; else taken from the file.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite contracts and models that are there.")] = False,
) -> None:
    """Write a first contract and a staging model from a sample, so that a new feed starts from facts."""
    from interlock.contracts.scaffold import scaffold, write
    from interlock.settings import settings

    root = settings().root
    made = scaffold(sample, root, domain=domain, dataset=dataset)
    files = write(made, force=force)
    read = f"{made.facts.rows:,} rows, {len(made.facts.columns)} columns"
    typer.echo(f"From {sample} ({read}{', the rest was not read' if made.facts.is_capped else ''}):")
    for file in files:
        shown = file.relative_to(root) if file.is_relative_to(root) else file
        typer.echo(f"  {'extended' if file in made.changed else 'wrote   '} {shown}")
    typer.echo("To be reviewed:")
    for note in made.review:
        typer.echo(f"  - {note}")
    typer.echo("Then: interlock contract lint; interlock contract lint --record")


def activate(
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without it, only say what would become unsafe.")] = False,
) -> None:
    """Judge what is served by contracts whose blocking clauses changed, then make them active.

    Exits 0 where everything served passes (or nothing changed), 3 where something is or would become unsafe.
    """
    from interlock.pipeline.activation import activate as activated
    from interlock.pipeline.runs import actor

    done = activated(actor(), commit=yes)
    for item in done:
        typer.echo(_told_activation(item))
    if not done:
        typer.echo("No contract has other blocking clauses than those that are active.")
    elif not yes:
        typer.echo("Nothing was changed. Make it so with: interlock contract activate --yes")
    raise typer.Exit(Exit.UNSAFE if any(item.unsafe for item in done) else Exit.OK)


def retire(
    dataset: Annotated[str, typer.Argument(help="The dataset to take out of use; its contract is gone.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; everybody who asks for the dataset is told.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without it, only say what it would do.")] = False,
) -> None:
    """Take a dataset out of use whose contract is gone for good: it is hidden, never safe, and kept.

    Nothing that is in use may read it.
    """
    from interlock.pipeline.retirement import retire as retired
    from interlock.pipeline.runs import actor

    done = retired(dataset, reason, actor(), commit=yes)
    served = f"{_number(done.served, 'served partition')}, {done.safe} of them safe"
    if done.is_done:
        typer.echo(f"{dataset} is retired ({served} until now). Its rows and its history are kept.")
    else:
        typer.echo(f"Nothing reads {dataset} ({served}). Nothing was changed. Retire it with --yes.")


def restore(
    dataset: Annotated[str, typer.Argument(help="The retired dataset to take into use again; its contract is back.")],
    reason: Annotated[str, typer.Option("--reason", help="Why.")],
) -> None:
    """Take a retired dataset into use again. What was served of it has to pass its gate anew before it is safe."""
    from interlock.pipeline.retirement import restore as restored
    from interlock.pipeline.runs import actor

    served = restored(dataset, reason, actor())
    typer.echo(f"{dataset} is in use again. {_number(served, 'partition')} to be run before any of it is safe.")


def _told_activation(item: Activation) -> str:
    judged = _number(item.judged, "served partition")
    changed = f"{item.before} -> {item.after}" if item.before != item.after else item.after
    lines = [f"{item.dataset} {changed}: {judged} judged, {item.judged - len(item.unsafe)} pass."]
    verb = "is unsafe" if item.is_active else "would become unsafe"
    lines += [f"  {finding.partition} {verb}: {finding.reason}" for finding in item.unsafe[:SHOWN_FINDINGS]]
    if len(item.unsafe) > SHOWN_FINDINGS:
        lines.append(f"  ... and {len(item.unsafe) - SHOWN_FINDINGS} more.")
    if item.unsafe and item.readers:
        lines.append(f"  With them, what was built from them in: {', '.join(item.readers)}.")
    return "\n".join(lines)


def _told(report: LintReport) -> str:
    lines = [str(problem) for problem in report.problems]
    files = len({problem.file for problem in report.problems})
    lines += [f"Recorded {name}." for name in report.recorded]
    looked_at = f"{_number(report.contracts, 'contract')}, {_number(report.checks, 'check')}"
    found = f"{_number(len(report.problems), 'problem')} in {_number(files, 'file')}" if files else "no problem"
    return "\n".join([*lines, f"{looked_at}: {found}."])


def _number(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
