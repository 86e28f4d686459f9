"""`interlock maintain`: prune what outlived its retention, and say what was left and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from interlock.recovery.maintenance import Pruned, Report

UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def register(app: typer.Typer) -> None:
    """Add the commands of this group."""
    app.command("maintain")(maintain)


def maintain(
    dry_run: bool = typer.Option(False, "--dry-run", help="Say what would be pruned, and change nothing."),
    as_json: bool = typer.Option(False, "--json", help="Print the report as JSON."),
) -> None:
    """Prune replaced versions, held candidates, raw loads, quarantine, runs and logs by the settings INTERLOCK_KEEP_*.

    Never what is served, what that was built from, what a rollback may serve, or what an open cause names.
    """
    from interlock.pipeline.runs import actor
    from interlock.recovery import maintenance

    report = maintenance.maintain(actor(), dry_run=dry_run)
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
        return
    for line in lines(report):
        typer.echo(line)


def lines(report: Report) -> list[str]:
    """The report, for a person to read."""
    verb = "Would prune" if report.dry_run else "Pruned"
    said = []
    if report.ended_runs:
        verb_of_runs = "Would end" if report.dry_run else "Ended"
        said.append(f"{verb_of_runs} {report.ended_runs:,} runs that never did: their leases ran out over a day ago.")
    said += [f"{verb} {_counted(item)}." for item in report.pruned]
    said += [
        f"Left {item.count:,} {item.what}{' for the next time' if item.is_for_next_time else ''}: {item.why}."
        for item in report.left
    ]
    return said or ["Nothing has outlived its retention."]


def _counted(item: Pruned) -> str:
    return f"{item.count:,} {item.what}{f' ({_size(item.size)})' if item.size else ''}"


def _size(size: int) -> str:
    number = float(size)
    for unit in UNITS:
        if number < 1024 or unit == UNITS[-1]:
            return f"{number:,.0f} {unit}"
        number /= 1024
    raise AssertionError
