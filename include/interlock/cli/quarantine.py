"""`interlock quarantine`: rows that a gate set aside, from the list of them to the way back.

Exit codes: 0 done, 3 the replay was blocked, 4 what it needs may still come, 5 could not ask, 2 wrong usage.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from interlock.errors import UsageError

if TYPE_CHECKING:
    from interlock.contracts.model import Contract

DATASET = typer.Argument(help="The feed whose rows were set aside.", show_default=False)
PARTITION = typer.Option(..., "--partition", "-p", help="A day as YYYY-MM-DD, or `all`.")
JSON = typer.Option(False, "--json", help="Print as JSON.")


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    group = typer.Typer(
        help="Rows that a gate set aside: look at them, replay them, give them up.", no_args_is_help=True
    )
    group.command("list")(list_rows)
    group.command("show")(show)
    group.command("replay")(replay)
    group.command("discard")(discard)
    app.add_typer(group, name="quarantine")


def list_rows(
    dataset: Annotated[str | None, typer.Argument(help="Only this feed's.", show_default=False)] = None,
    is_all: Annotated[bool, typer.Option("--all", help="Also what was replayed, superseded or discarded.")] = False,
    as_json: bool = JSON,
) -> None:
    """What is held, by partition, load and reason."""
    from interlock.quality import row_quarantine

    found = row_quarantine.groups(dataset, is_all=is_all)
    if as_json:
        typer.echo(json.dumps([group.model_dump(mode="json") for group in found], indent=2))
        return
    if not found:
        typer.echo("No row is held." if not is_all else "No row was ever set aside.")
    for group in found:
        rows = f"{group.rows:,} {'row' if group.rows == 1 else 'rows'}"
        typer.echo(f"{group.state.upper()}  {group.dataset} {group.partition}: {rows} of load {group.load_id}")
        typer.echo(
            f"  from {group.source_file}, since {group.since:%Y-%m-%d %H:%M} UTC, contract {group.contract_version}"
        )
        typer.echo(f"  because of {', '.join(group.reasons)}")
        if group.discard_reason:
            typer.echo(f"  given up: {group.discard_reason}")
    for group in found[:1]:
        typer.echo(f"Look at them: interlock quarantine show {group.dataset} --partition {group.partition}")


def show(
    dataset: str = DATASET,
    partition: str = PARTITION,
    most: Annotated[int, typer.Option("--most", min=1, help="How many rows to show.")] = 20,
    as_json: bool = JSON,
) -> None:
    """The rows as they were delivered. Values of classified columns are masked."""
    from interlock.quality import row_quarantine

    found = row_quarantine.rows(_feed(dataset), partition, most)
    if as_json:
        typer.echo(json.dumps([row.model_dump(mode="json") for row in found], indent=2))
        return
    if not found:
        typer.echo(f"No row of {dataset} {partition} was ever set aside.")
    for row in found:
        typer.echo(
            f"{row.source_file} row {row.row_number} (load {row.load_id}, {row.state}): {', '.join(row.reasons)}"
        )
        typer.echo("  " + ", ".join(f"{name}={value}" for name, value in row.values.items()))


def replay(dataset: str = DATASET, partition: str = PARTITION) -> None:
    """Send a partition's rows through the gates again, after a contract, a model or a reference was corrected.

    Exit 0: everything got through, whether or not all rows did. 3: blocked. Doing it twice changes nothing more.
    """
    from interlock.cli import running
    from interlock.pipeline import chain
    from interlock.pipeline.runs import actor
    from interlock.quality import row_quarantine

    feed = _feed(dataset)
    waiting = row_quarantine.request_replay(dataset, partition, actor())
    if not waiting:
        typer.echo(f"No row of {dataset} {partition} waits for a replay.")
        return
    report = chain.run(feed.domain, [partition], trigger="replay", by=actor(), progress=running.show_phase)
    running.show_report(report)
    held = sum(group.rows for group in row_quarantine.groups(dataset) if group.partition == partition)
    typer.echo(f"{waiting:,} rows were replayed; {held:,} of {dataset} {partition} are held now.")
    raise typer.Exit(running.exit_code(report))


def discard(
    dataset: str = DATASET,
    partition: str = PARTITION,
    reason: str = typer.Option(..., "--reason", help="Why nobody will need them; kept with your name."),
    row: Annotated[
        list[int] | None, typer.Option("--row", help="A row's number; again for more. All unless given.")
    ] = None,
) -> None:
    """Give held rows up. They stay in raw, and the reason and the author with them."""
    from interlock.pipeline.runs import actor
    from interlock.quality import row_quarantine

    _feed(dataset)
    given_up = row_quarantine.discard(dataset, partition, row, reason, actor())
    if not given_up:
        raise UsageError(
            f"No such row of {dataset} {partition} is held.",
            fix=f"`interlock quarantine list {dataset}` shows what is.",
        )
    typer.echo(f"{given_up:,} {'row' if given_up == 1 else 'rows'} of {dataset} {partition} given up.")


def _feed(dataset: str) -> Contract:
    from interlock.contracts.loading import load_contracts
    from interlock.contracts.model import Layer

    catalog = load_contracts()
    feeds = [name for name, contract in catalog.items() if contract.layer is Layer.RAW]
    if dataset not in feeds:
        raise UsageError(f"There is no feed {dataset!r}.", fix=f"Use one of: {', '.join(feeds)}.")
    return catalog[dataset]
