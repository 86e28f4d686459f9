"""`interlock consumer`: logins of one's own for those who read `safe`, so that a waiver can name one of them."""

from __future__ import annotations

import typer

NAME = typer.Argument(help="The consumer's name, such as `dashboard_punctuality`.", show_default=False)


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    group = typer.Typer(no_args_is_help=True, help="Logins for those who read `safe`: make, list, drop one.")
    group.command()(create)
    group.command("list")(list_all)
    group.command()(drop)
    app.add_typer(group, name="consumer")


def create(name: str = NAME) -> None:
    """Make a login that reads `safe`, asks for safety, and may be given waivers. Prints its URL, once."""
    from interlock.db.consumers import create as created
    from interlock.pipeline.runs import actor

    url = created(name, actor())
    typer.echo(f"{name} may connect with the URL below. It holds the password, and is not shown again.", err=True)
    typer.echo(url)


def list_all(as_json: bool = typer.Option(False, "--json", help="Print as JSON.")) -> None:
    """Every consumer with a login of its own, and how many waivers it holds."""
    from interlock.db.consumers import consumers

    found = consumers()
    if as_json:
        import json

        typer.echo(json.dumps([consumer.model_dump() for consumer in found], indent=2))
        return
    if not found:
        typer.echo("No consumer has a login of its own. Make one: interlock consumer create NAME")
    for consumer in found:
        made = "" if consumer.is_ours else "; made outside Interlock"
        waivers = f"{consumer.waivers} {'waiver' if consumer.waivers == 1 else 'waivers'}"
        typer.echo(f"{consumer.name}: {waivers}{made}")


def drop(name: str = NAME) -> None:
    """Take a login away that was made here. Refused while a waiver names it."""
    from interlock.db.consumers import drop as dropped
    from interlock.pipeline.runs import actor

    dropped(name, actor())
    typer.echo(f"{name} may not connect any more, and its open sessions read nothing.")
