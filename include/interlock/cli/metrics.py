"""`interlock metric`: the value of a canonical metric, and whether it is safe to act on.

Exit codes: 0 safe, 3 not safe (the value is then of the safe days alone), 5 could not ask, 2 wrong usage.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

import typer

from interlock.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from interlock.transform.metrics import MetricAnswer

SHOWN_REASONS = 10
GROUP_BY = typer.Option(None, "--group-by", "-g", help="A dimension; may be given more than once.")


def register(app: typer.Typer) -> None:
    """Add this group's command."""
    app.command()(metric)


def metric(
    name: str = typer.Argument(help="The metric's name; a name that does not exist lists all.", show_default=False),
    group_by: list[str] | None = GROUP_BY,
    first: str | None = typer.Option(None, "--from", metavar="DATE", help="First day; default: the first known."),
    last: str | None = typer.Option(None, "--to", metavar="DATE", help="Last day, included; default: the last known."),
    as_json: bool = typer.Option(False, "--json", help="Print the answer as JSON."),
) -> None:
    """The value of a canonical metric, with its safety. Exit 0: safe. 3: not safe. 5: could not ask. 2: wrong usage."""
    from interlock.safety import reliances
    from interlock.transform import metrics

    answer = metrics.metric(name, group_by or (), _day(first), _day(last))
    reliances.note_own(answer.metric, answer.value, answer.about, answer.versions)
    if as_json:
        typer.echo(answer.model_dump_json(indent=2))
    else:
        _show(answer)
    raise typer.Exit(answer.exit_code)


def _day(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no day.", fix="Give days as YYYY-MM-DD.") from None


def _show(answer: MetricAnswer) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    if answer.group_by:
        console.print(Text(f"{answer.metric}, {answer.about}"))
        console.print(_table(answer))
    else:
        console.print(Text(f"{answer.metric}, {answer.about}: {_readable(answer.value)}"))
    console.print(Text(f"  {answer.description}"))
    safe = sum(partition.safe for partition in answer.partitions)
    counted = f"{safe} of {len(answer.partitions)} known partitions are safe"
    if answer.safe:
        console.print(Text(f"SAFE  {counted}.", style="green"))
    else:
        console.print(Text(f"NOT SAFE  {counted}; the value is of these alone.", style="bold red"))
    for reason in answer.reasons[:SHOWN_REASONS]:
        console.print(Text(f"  {reason.code} [{reason.partition}]: {reason.message}"))
        if len(reason.path) > 1:
            console.print(Text(f"    path: {' > '.join(reason.path)}"))
        console.print(Text(f"    clears: {reason.clears}"))
    if len(answer.reasons) > SHOWN_REASONS:
        console.print(Text(f"  and {len(answer.reasons) - SHOWN_REASONS} more; --json has them all."))
    if answer.bootstrapped:
        console.print(Text("  Bootstrapped: some checks had too little history and used absolute bounds."))
    if answer.warnings:
        console.print(Text(f"  Carries {answer.warnings} {'warning' if answer.warnings == 1 else 'warnings'}."))
    if answer.clock_offset_seconds is not None:
        offset = timedelta(seconds=round(abs(answer.clock_offset_seconds)))
        side = "behind" if answer.clock_offset_seconds < 0 else "ahead of"
        console.print(
            Text(f"  The clock is set: judged as of {answer.as_of:%Y-%m-%d %H:%M} UTC, {offset} {side} real time.")
        )


def _table(answer: MetricAnswer) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE)
    for name in answer.group_by:
        table.add_column(name)
    table.add_column(answer.metric, justify="right")
    for row in answer.rows:
        table.add_row(*(Text("" if item is None else str(item)) for item in row.group.values()), _readable(row.value))
    return table


def _readable(value: float | None) -> str:
    if value is None:
        return "no value"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4f}"
