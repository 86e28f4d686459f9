"""`interlock audit`: is the chain of events whole, and the trail for other systems.

Exit codes of `verify`: 0 the chain is whole, 3 it is not, 4 nothing outside the database says so, 5 could not ask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from interlock.errors import Exit

if TYPE_CHECKING:
    from interlock.control.audit import Report


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    group = typer.Typer(no_args_is_help=True, help="What happened, who did it, and whether the record of it is whole.")
    group.command()(verify)
    group.command()(anchor)
    group.command()(export)
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
    import json

    from interlock.control.audit import cloudevent, trail

    for link in trail(since):
        typer.echo(json.dumps(cloudevent(link), ensure_ascii=False) if as_cloudevents else link.as_json)


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
