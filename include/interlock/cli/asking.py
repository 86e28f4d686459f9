"""The commands that ask: `check` for scripts, `status` and `explain` for people, and what keeps answers alive.

Exit codes of `check`: 0 safe (a rebuild that is under way included), 3 unsafe or quarantined, 4 unknown or
checking, 5 could not ask, 2 wrong usage.
"""

from __future__ import annotations

from datetime import UTC, datetime

import typer

from interlock.errors import UsageError

JSON = typer.Option(False, "--json", help="Print the answer as JSON.")
PARTITION = typer.Option(
    None, "--partition", "-p", help="A day as YYYY-MM-DD, or `all`. Without it: the dataset's window and freshness."
)
DATASET = typer.Argument(help="The dataset's name.", show_default=False)


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    for command in (check, status, explain, renew):
        app.command()(command)
    clock = typer.Typer(
        help="The time that freshness and leases are judged by: real, or a replay's.", no_args_is_help=True
    )
    clock.command("show")(show_clock)
    clock.command("set")(set_clock)
    clock.command("clear")(clear_clock)
    app.add_typer(clock, name="clock")


def check(
    dataset: str = DATASET,
    partition: str | None = PARTITION,
    consumer: str | None = typer.Option(
        None, "--for", metavar="CONSUMER", help="The registered consumer (a dbt exposure) that acts on it."
    ),
    as_json: bool = JSON,
) -> None:
    """Is it safe to act on? Exit 0: safe; 3: unsafe, quarantined; 4: unknown, checking; 5: could not ask; 2: usage."""
    from interlock.safety import answers

    answer = answers.check(dataset, partition, consumer)
    if as_json:
        typer.echo(answer.model_dump_json(indent=2))
    else:
        from interlock.cli.answers import sentences

        for line in sentences(answer):
            typer.echo(line)
    raise typer.Exit(answer.exit_code)


def status(
    domain: str | None = typer.Option(None, help="Only this domain's datasets."),
    days: int = typer.Option(14, min=1, max=366, help="How many of the newest days to show one by one."),
    as_json: bool = JSON,
) -> None:
    """Every dataset by partition, in one readable matrix."""
    from interlock.safety.matrix import matrix

    found = matrix(domain, days)
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
        return
    if domain is not None and not found.rows:
        raise UsageError(
            f"Nothing is known of a domain {domain!r}.", fix="`interlock status` shows all domains that ever ran."
        )
    from interlock.cli.matrices import show

    show(found)


def explain(dataset: str = DATASET, partition: str | None = PARTITION, as_json: bool = JSON) -> None:
    """Why a partition is in its state: the cause, its path, the evidence, and what clears it."""
    from interlock.safety.explanations import explain as explanation_of

    found = explanation_of(dataset, partition)
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
        return
    from interlock.cli.answers import show_explanation

    show_explanation(found)


def renew() -> None:
    """Renew the lease of every dataset that is still served as it was judged. Judges nothing again."""
    from interlock.pipeline.runs import actor
    from interlock.safety import leases

    renewed = leases.renew(actor())
    for dataset, until in renewed.items():
        typer.echo(f"{dataset}: valid until {until:%Y-%m-%d %H:%M} UTC")
    if not renewed:
        typer.echo("Nothing is served, so there is nothing to renew.")


def show_clock() -> None:
    """What time it is for the platform."""
    from interlock import clock
    from interlock.db.connection import Role, connect

    with connect(Role.OPERATOR) as connection:
        kind = "set: freshness and leases are judged by it" if clock.is_set(connection) else "real time"
        typer.echo(f"{clock.now(connection).isoformat(timespec='seconds')} ({kind})")


def set_clock(
    instant: str = typer.Argument(
        help="With its zone, such as 2013-01-08T06:00:00Z; a day alone means its start in UTC."
    ),
) -> None:
    """Let the platform live at another time, which advances with real time. Every answer says so."""
    from interlock import clock
    from interlock.db.connection import Role, connect
    from interlock.db.failures import translated
    from interlock.pipeline.runs import actor

    try:
        moment = datetime.fromisoformat(instant)
    except ValueError:
        raise UsageError(f"{instant!r} is no instant.", fix="Give it as 2013-01-08T06:00:00Z.") from None
    if moment.tzinfo is None and len(instant) == len("2013-01-08"):
        moment = moment.replace(tzinfo=UTC)
    with translated(), connect(Role.OPERATOR) as connection:
        clock.set_to(connection, moment, actor())
    show_clock()


def clear_clock() -> None:
    """Return to real time."""
    from interlock import clock
    from interlock.db.connection import Role, connect
    from interlock.db.failures import translated
    from interlock.pipeline.runs import actor

    with translated(), connect(Role.OPERATOR) as connection:
        clock.clear(connection, actor())
    show_clock()
