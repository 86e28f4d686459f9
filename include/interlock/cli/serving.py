"""`interlock serve`: the API and the page, by themselves. Airflow need not run."""

from __future__ import annotations

import ipaddress
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(serve)


def serve(
    host: Annotated[
        str | None, typer.Option(help="Where to listen: INTERLOCK_API_HOST, or else this machine alone.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="The port; 0 is any free one. Default: INTERLOCK_API_PORT.")
    ] = None,
) -> None:
    """Answer over HTTP and show the page, until Ctrl-C. With the database down it says *could not ask*, and waits."""
    from interlock.api import serving
    from interlock.db.connection import Role, url
    from interlock.errors import InterlockError
    from interlock.settings import settings

    configured = settings()
    listens = serving.listening(
        configured.api_host if host is None else host,
        configured.api_port if port is None else port,
        is_exact=port is not None,
    )
    address, number = listens.getsockname()[:2]
    try:
        url(Role.CONSUMER)  # starts the embedded database, and migrates
    except InterlockError as error:
        typer.echo(f"The database cannot be asked, and until it can, nothing is safe.\n{error}", err=True)
    typer.echo(f"Interlock answers at http://{f'[{address}]' if ':' in address else address}:{number}")
    typer.echo("Log in with a token: interlock token create --for NAME --scope read --domain '*'")
    if not ipaddress.ip_address(address).is_loopback:
        typer.echo("It can be reached from elsewhere, and speaks no TLS itself: let a proxy do that before it.")
    typer.echo("Stop it with Ctrl-C.")
    serving.serve(listens)
