"""`interlock run` and `interlock rebuild`: the same chain as the orchestrator's, in this process.

An orchestrator is for schedules and operators; an engineer at a laptop, and whoever mends things
when the orchestrator is down, must get the same gates from one command.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from interlock.errors import Exit, UsageError

if TYPE_CHECKING:
    from interlock.pipeline.chain import Report
    from interlock.pipeline.runs import Outcome, Phase

SHOWN_REASONS = 10


def register(app: typer.Typer) -> None:
    """Add the commands of this group."""
    app.command("run")(run)
    app.command("rebuild")(rebuild)


def run(
    domain: Annotated[str, typer.Argument(help="The domain whose pipeline to run.")],
    partition: Annotated[str | None, typer.Option("--partition", "-p", help="One day (YYYY-MM-DD), or `all`.")] = None,
    first: Annotated[str | None, typer.Option("--from", help="First day of a range.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day of a range, itself included.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Take a domain's partitions from landing to curated, gates and all.

    Exits 0 when everything got through (or did not need to), 3 when a partition was blocked, 4 when
    what is missing may still come.
    """
    from interlock import logs
    from interlock.control import audit
    from interlock.pipeline import chain
    from interlock.pipeline.runs import actor

    partitions = _partitions(partition, first, last)
    progress = None if as_json or logs.is_json() else show_phase  # the log says it there
    report = chain.run(domain, partitions, trigger="command line", by=actor(), progress=progress)
    audit.anchor()
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
    else:
        show_report(report)
    raise typer.Exit(exit_code(report))


def rebuild() -> None:
    """Carry out the queued rebuilds: what was built from an input that was replaced since, and late deliveries."""
    from interlock.control import audit
    from interlock.pipeline.runs import actor
    from interlock.recovery import rebuilds

    reports = rebuilds.carry_out(actor())
    audit.anchor()
    if not reports:
        typer.echo("No rebuild is waiting.")
    for report in reports:
        show_report(report)
    raise typer.Exit(max((exit_code(report) for report in reports), default=Exit.OK))


def _partitions(partition: str | None, first: str | None, last: str | None) -> list[str]:
    if partition and not (first or last):
        return ["all"] if partition == "all" else [_day(partition).isoformat()]
    if first and last and not partition:
        start, end = _day(first), _day(last)
        if end < start:
            raise UsageError(f"--to {last} is before --from {first}.", fix="Give the earlier day as --from.")
        return [(start + timedelta(days=n)).isoformat() for n in range((end - start).days + 1)]
    raise UsageError("Say which partitions.", fix="Give either --partition P, or both --from D and --to D.")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no day.", fix="Write it as YYYY-MM-DD, for example 2013-01-05.") from None


def show_phase(phase: Phase, outcome: Outcome) -> None:
    """A line for a phase that has ended."""
    got = (
        f"{len(outcome.done):>5} through"
        if outcome.done
        else "    - nothing to do"
        if not outcome.blocked
        else "    0 through"
    )
    stopped = f", {len(outcome.blocked)} blocked" if outcome.blocked else ""
    typer.echo(f"  {phase.value:<16}{got}{stopped}", err=True)


def show_report(report: Report) -> None:
    """What a run did, and what was blocked."""
    from interlock.pipeline.hindrances import explained

    days = report.partitions[0] if len(report.partitions) == 1 else f"{report.partitions[0]} to {report.partitions[-1]}"
    counts = f"published {len(report.published)} partitions, {len(report.blocked)} blocked"
    typer.echo(f"{report.domain} {days}: run {report.run_id} {counts}.")
    origins = explained(report.blocked)
    for paragraph in origins[:SHOWN_REASONS]:
        typer.echo("  BLOCKED " + paragraph.replace("\n", "\n  "))
    if len(origins) > SHOWN_REASONS:
        typer.echo(f"  ... and {len(origins) - SHOWN_REASONS} more: `interlock status` shows them all.")
    if report.blocked:
        dataset, partition = report.blocked[0].began_at
        typer.echo(f"Why, and what clears it: interlock explain {dataset} --partition {partition}")


def exit_code(report: Report) -> Exit:
    """What a script is told of a run."""
    if report.is_complete:
        return Exit.OK
    return Exit.UNKNOWN if all(item.retry_helps for item in report.blocked) else Exit.UNSAFE
