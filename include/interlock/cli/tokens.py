"""`interlock token`: who may act, and with which rights. Whoever holds the platform's secret decides that."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from interlock.control.questions import Right
from interlock.errors import UsageError

if TYPE_CHECKING:
    from interlock.control.credentials import Credential

SPAN = re.compile(r"(\d{1,5})([hdw])")
UNITS = {"h": "hours", "d": "days", "w": "weeks"}
JSON = typer.Option("--json", help="Print as JSON.")


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    group = typer.Typer(no_args_is_help=True, help="Who may act, with which rights: give, list, revoke.")
    group.command("create")(create)
    group.command("list")(list_credentials)
    group.command("revoke")(revoke)
    app.add_typer(group, name="token")


def create(  # noqa: PLR0913, PLR0917  (each is an option of the command)
    person: Annotated[str, typer.Option("--for", help="Who acts with it; the same name for all that one person has.")],
    scope: Annotated[list[Right], typer.Option("--scope", help="What they may do; again for more.")],
    domain: Annotated[list[str], typer.Option("--domain", help="Where; again for more. '*' is everywhere.")],
    expires_in: Annotated[str, typer.Option(help="Such as 12h, 30d or 8w; at most a year.")] = "30d",
    airflow_login: Annotated[
        str | None, typer.Option(help="No token: say that this login in Airflow is theirs.")
    ] = None,
    note: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Give a person a token, or say which login in Airflow is theirs. A token is printed once, alone on its line."""
    from interlock.control import credentials
    from interlock.pipeline.runs import actor

    _require_domains(domain)
    grant = credentials.Grant(
        person=person,
        scopes=tuple(scope),
        domains=tuple(domain),
        lasts=_span(expires_in),
        airflow_login=airflow_login,
        note=note,
    )
    made, token = credentials.create(grant, actor())
    if as_json:
        typer.echo(json.dumps(made.model_dump(mode="json") | ({"token": token} if token else {}), indent=2))
        return
    typer.echo(_told(made), err=token is not None)
    if token:
        typer.echo(token)
        typer.echo(f"It is not shown again. {made.person} uses it with: export INTERLOCK_TOKEN=ilk_...", err=True)


def list_credentials(
    is_all: Annotated[bool, typer.Option("--all", help="Also what expired or was revoked.")] = False,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Who may act, by what, where and until when."""
    from interlock.control import credentials

    found = credentials.listed(is_all=is_all)
    if as_json:
        typer.echo(json.dumps([credential.model_dump(mode="json") for credential in found], indent=2))
        return
    if not found:
        typer.echo("Nobody may act yet. `interlock token create` gives somebody a token.")
    for credential in found:
        typer.echo(_told(credential))
        used = f"last used {credential.last_used_at:%Y-%m-%d %H:%M} UTC" if credential.last_used_at else "never used"
        typer.echo(f"  given {credential.created_at:%Y-%m-%d %H:%M} UTC by {credential.created_by}, {used}")
        if credential.note:
            typer.echo(f"  {credential.note}")


def revoke(
    credential_id: Annotated[
        int, typer.Argument(metavar="ID", min=1, help="Its number in `interlock token list`; it is in the token too.")
    ],
    reason: Annotated[str, typer.Option(help="Why; kept with your name.")],
) -> None:
    """End a credential now. What was done with it stays on record."""
    from interlock.control import credentials
    from interlock.pipeline.runs import actor

    typer.echo(_told(credentials.revoke(credential_id, reason, actor())))


def _told(credential: Credential) -> str:
    by = f"the Airflow login {credential.airflow_login}" if credential.airflow_login else "a token"
    where = "every domain" if credential.domains == ("*",) else ", ".join(credential.domains)
    line = f"{credential.state.upper()}  {credential.credential_id}  {credential.person}, by {by}: "
    line += f"{', '.join(credential.scopes)} in {where}, "
    if credential.revoked_at:
        ended = f"{credential.revoked_at:%Y-%m-%d %H:%M} UTC by {credential.revoked_by}: {credential.revoked_because}"
        return f"{line}revoked {ended}"
    return f"{line}until {credential.expires_at:%Y-%m-%d %H:%M} UTC"


def _require_domains(names: list[str]) -> None:
    from interlock.contracts.loading import suggestion
    from interlock.operators.domains import load_domains

    known = load_domains()
    for name in names:
        if name != "*" and name not in known:
            raise UsageError(f"There is no domain {name!r}.", fix=suggestion(name, ["*", *known]))


def _span(text: str) -> timedelta:
    found = SPAN.fullmatch(text)
    if found is None:
        raise UsageError(f"{text!r} is no span of time.", fix="Write it as 12h, 30d or 8w; at most a year.")
    return timedelta(**{UNITS[found[2]]: int(found[1])})
