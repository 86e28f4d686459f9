"""`interlock ledger`: the row accounts of a partition, from the file to the table.

Exit codes: 0 every step balances, 3 one does not, 4 nothing was accounted for yet, 5 could not ask, 2 wrong usage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from interlock.errors import Exit

if TYPE_CHECKING:
    from interlock.publishing.ledger import Accounts, Entry


COUNTS = ("read", "dropped", "added", "written", "lost", "doubled")
ALWAYS = ("read", "written")


def register(app: typer.Typer) -> None:
    """Add this group's command."""
    app.command()(ledger)


def ledger(
    dataset: str = typer.Argument(help="The dataset's name.", show_default=False),
    partition: str = typer.Option(..., "--partition", "-p", help="A day as YYYY-MM-DD, or `all`."),
    as_json: bool = typer.Option(False, "--json", help="Print the accounts as JSON."),
) -> None:
    """Where every row came from and went to. Exit 0: all balances. 3: something does not. 4: no accounts. 5, 2."""
    from interlock.publishing.ledger import accounts

    found = accounts(dataset, partition)
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
    else:
        _show(found)
    raise typer.Exit(Exit.OK if found.balances else Exit.UNSAFE if found.entries else Exit.UNKNOWN)


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
                console.print(Text(f"  {entry.dataset}: {number:,} {what} ({reason})"))
    if any(entry.unit == "members" for entry in found.entries):
        console.print(Text("  Where a history is made, the distinct members of its key are counted, not its rows."))
    end = "Every row is accounted for." if found.balances else "Rows are missing, or there twice: it is not safe."
    console.print(Text(end, style="green" if found.balances else "bold red"))


def _named(entry: Entry) -> str:
    what = "load" if entry.layer == "raw" else "version"
    return f"{entry.dataset}, {what} {entry.version}{'' if entry.is_served else ' (not served)'}"


def _figure(number: int) -> str:
    return f"{number:,}" if number else "-"
