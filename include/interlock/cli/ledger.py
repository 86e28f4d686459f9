"""`interlock ledger`: the row accounts of a partition, from the file to the table, or the way of one row of it.

Exit codes: 0 every step balances, 3 one does not, 4 nothing was accounted for yet, 5 could not ask, 2 wrong usage.
Asked for one row: 0 it can be told where it is, 3 it is lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from interlock.errors import Exit

if TYPE_CHECKING:
    from interlock.publishing.ledger import Accounts, Entry
    from interlock.publishing.traces import Station, Trace

COUNTS = ("read", "quarantined", "deduplicated", "dropped", "added", "written", "lost", "doubled")
ALWAYS = ("read", "written")


def register(app: typer.Typer) -> None:
    """Add this group's command."""
    app.command()(ledger)


def ledger(
    dataset: str = typer.Argument(help="The dataset's name.", show_default=False),
    partition: str = typer.Option(..., "--partition", "-p", help="A day as YYYY-MM-DD, or `all`."),
    row: int | None = typer.Option(None, "--row", help="Follow this row of the delivery, the first being 1."),
    load: int | None = typer.Option(None, "--load", help="With --row: of this load, in place of the newest."),
    as_json: bool = typer.Option(False, "--json", help="Print as JSON."),
) -> None:
    """Where every row came from and went to. Exit 0: all balances. 3: something does not. 4: no accounts. 5, 2."""
    from interlock.publishing.ledger import accounts

    if row is not None:
        _follow(dataset, partition, row, load, as_json=as_json)
    found = accounts(dataset, partition)
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
    else:
        _show(found)
    raise typer.Exit(Exit.OK if found.balances else Exit.UNSAFE if found.entries else Exit.UNKNOWN)


def _follow(dataset: str, partition: str, row: int, load: int | None, *, as_json: bool) -> None:
    from interlock.contracts.loading import load_contracts
    from interlock.publishing.traces import trace

    found = trace(load_contracts(), dataset, partition, row, load)
    typer.echo(found.model_dump_json(indent=2) if as_json else "\n".join(_told(found)))
    raise typer.Exit(Exit.UNSAFE if found.is_lost else Exit.OK)


def _told(found: Trace) -> list[str]:
    lines = [f"Row {found.row_number} of {found.source_file} (load {found.load_id})"]
    if found.others:
        others = ", ".join(map(str, found.others))
        lines.append(f"  Of {found.feed} {found.partition} there are also the loads {others}: choose with --load.")
    return lines + [f"  {station.dataset}: {_fate(station)}" for station in found.stations]


def _fate(station: Station) -> str:
    key = ", ".join(f"{name}={value}" for name, value in station.key.items())
    version = f" in version {station.version}" if station.fate in ("here", "counted") else ""
    why = f" ({station.why})" if station.why else ""
    return f"{station.fate.upper()}{version}{why}{f': {key}' if key else ''}"


def _show(found: Accounts) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if not found.entries:
        console.print(Text(f"{found.dataset} {found.partition}: nothing was loaded or judged yet."))
        return
    # Of the columns that are nought in every good account, those that are not are shown.
    shown = [name for name in COUNTS if name in ALWAYS or any(getattr(entry, name) for entry in found.entries)]
    table = Table(box=box.SIMPLE, title=f"{found.dataset} {found.partition}", title_justify="left")
    table.add_column("into")
    for name in shown:
        table.add_column(name, justify="right")
    table.add_column("")
    for entry in found.entries:
        told = Text("balances", style="green") if entry.balances else Text("IS OFF", style="bold red")
        table.add_row(_named(entry), *(_figure(getattr(entry, name)) for name in shown), told)
        table.add_row(Text(f"  from {entry.input}", style="dim"))
    console.print(table)
    for entry in found.entries:
        for what, reasons in entry.reasons.items():
            for reason, number in reasons.items():
                console.print(Text(f"  {entry.dataset}: {number:,} {what} ({reason})"), soft_wrap=True)
    if any(entry.unit == "members" for entry in found.entries):
        console.print(Text("  Where a history is made, the distinct members of its key are counted, not its rows."))
    end = "Every row is accounted for." if found.balances else "Rows are missing, or there twice: it is not safe."
    console.print(Text(end, style="green" if found.balances else "bold red"))


def _named(entry: Entry) -> str:
    what = "load" if entry.layer == "raw" else "version"
    return f"{entry.dataset}, {what} {entry.version}{'' if entry.is_served else ' (not served)'}"


def _figure(number: int) -> str:
    return f"{number:,}" if number else "-"
