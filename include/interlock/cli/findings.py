"""`interlock finding`: say what was found about a version that is served, and what the rules did about it.

Exit codes: as of an action for `report`; 4 where no rule could answer yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from interlock.cli.outcomes import conclude, exit_code, refusals_told
from interlock.errors import Exit, UsageError

if TYPE_CHECKING:
    from interlock.control.findings import Fact, Reported

LONGEST = 2_000
JSON = typer.Option(False, "--json", help="Print as JSON.")


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    group = typer.Typer(help="Facts about what is served, and what the rules make of them.", no_args_is_help=True)
    group.command("report")(report)
    group.command("list")(list_findings)
    app.add_typer(group, name="finding")


def report(
    dataset: Annotated[str, typer.Argument(help="The dataset that it is about.", show_default=False)],
    partition: Annotated[str, typer.Option("--partition", "-p", help="A day as YYYY-MM-DD, or `all`.")],
    kind: Annotated[
        str, typer.Option("--kind", help="producer_recall, failed_check or failed_reconciliation.", show_default=False)
    ],
    reason: Annotated[str, typer.Option("--reason", help="What was found, in words that help in a year.")],
    version: Annotated[int | None, typer.Option("--version", help="The version; by default the served one.")] = None,
    as_json: bool = JSON,
) -> None:
    """Report that a version is bad. Rules answer at once: what is served is quarantined, if the policy lets them."""
    from interlock.control import actions, audit, credentials, findings

    found = findings.Finding(
        kind=_kind(kind), dataset=dataset, partition=partition, version=version, message=_told(reason)
    )
    with refusals_told():
        number = findings.report(found, credentials.from_environment())
    known = findings.get(number)
    action = actions.get(known.answered_by) if known.answered_by else None
    if as_json:
        audit.anchor()
        typer.echo(known.model_dump_json(indent=2))
    else:
        typer.echo(_line(known))
    if action is not None and not as_json:
        conclude(action)
    raise typer.Exit(exit_code(action) if action else Exit.OK if known.note else Exit.UNKNOWN)


def list_findings(
    dataset: Annotated[str | None, typer.Argument(help="Only of this dataset.", show_default=False)] = None,
    is_open: Annotated[bool, typer.Option("--open", help="Only what nothing has come of yet.")] = False,
    last: Annotated[int, typer.Option("--last", "-n", min=1, help="At most so many.")] = 20,
    as_json: bool = JSON,
) -> None:
    """What was found, newest first, by whom, and what came of it."""
    from interlock.control import findings

    known = findings.find(dataset=dataset, is_open=is_open, limit=last)
    if as_json:
        import json

        typer.echo(json.dumps([finding.model_dump(mode="json") for finding in known], indent=2))
        return
    if not known:
        typer.echo("No finding waits for an answer." if is_open else "Nothing was found.")
    for finding in known:
        typer.echo(_line(finding))


def _line(finding: Reported) -> str:
    about = "".join(f" {part}" for part in (finding.dataset, finding.partition) if part)
    version = f" version {finding.version}" if finding.version is not None else ""
    came = "no rule has answered it yet"
    if finding.answered_by is not None:
        came = f"answered by action {finding.answered_by}"
    elif finding.note:
        came = f"left alone: {finding.note}"
    return (
        f"#{finding.finding_id}  {finding.kind.value}{about}{version}, {finding.reported_at:%Y-%m-%d %H:%M} UTC"
        f" by {finding.reported_by.name}: {finding.message}\n    {came}"
    )


def _kind(text: str) -> Fact:
    from interlock.control.findings import Fact

    known = [fact.value for fact in Fact if fact is not Fact.HELD_CANDIDATES]
    if text not in known:
        raise UsageError(f"{text!r} is no kind of finding.", fix=f"Use one of: {', '.join(known)}.")
    return Fact(text)


def _told(reason: str) -> str:
    told = reason.strip()
    if not told or len(told) > LONGEST:
        raise UsageError(
            f"A finding needs a reason of at most {LONGEST:,} characters.", fix='Give --reason "..." in plain words.'
        )
    return told
