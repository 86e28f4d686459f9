"""The commands about the platform itself: start, stop, look, mend. Each says what it did in plain words."""

from __future__ import annotations

import os

import typer

from interlock.errors import Exit, UsageError


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    for command in (up, stop, services, doctor, migrate, psql, erase):
        app.command()(command)
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(airflow)


def up() -> None:
    """Start PostgreSQL and Airflow and leave them up; prints the URL and the login."""
    from interlock import services as platform

    platform.up(typer.echo)
    typer.echo(platform.summary())
    typer.echo("Stop everything with: make stop")


def stop(force: bool = typer.Option(False, help="Stop PostgreSQL even under commands that still use it.")) -> None:
    """Stop everything that was started; what is not ours is left alone."""
    from interlock import services as platform

    stopped = platform.stop(force=force)
    for name in stopped.services:
        typer.echo(f"Stopped {name}.")
    if not stopped.database:
        typer.echo("PostgreSQL is still used by another command and stops with it (--force stops it now).")


def services() -> None:
    """What runs, where, and how to log in."""
    from interlock import services as platform

    typer.echo(platform.summary())


def doctor() -> None:
    """Check Python, disk, memory, ports, versions and the database; exit 1 if something must be mended."""
    from interlock import diagnosis

    findings = diagnosis.findings()
    for finding in findings:
        typer.echo(finding.line())
    if any(finding.must_be_mended for finding in findings):
        raise typer.Exit(Exit.FAILED)


def migrate(
    with_airflow: bool = typer.Option(False, "--with-airflow", help="Airflow's own database, tables and users too."),
) -> None:
    """Bring the database's schema and the roles' passwords up to date. Safe to run at any time."""
    from interlock import services as platform
    from interlock.db import migrations

    migrations.migrate()
    typer.echo(f"The schema is at version {migrations.versions()[-1]}.")
    if with_airflow:
        platform.migrate_airflow()
        typer.echo("Airflow's tables are current.")


def airflow(context: typer.Context) -> None:
    """Run one `airflow` command in the platform's environment, for example `interlock airflow dags list`."""
    from interlock import services as platform

    raise typer.Exit(platform.airflow(context.args))


def psql(
    role: str = typer.Argument(
        "operator", help="admin, owner, loader, builder, gate, publisher, operator, auditor, ..."
    ),
    command: str = typer.Option("", "--command", "-c", help="Run this and leave, in place of a session."),
) -> None:
    """Open psql on the warehouse as one of the roles."""
    import subprocess

    from interlock.db import embedded
    from interlock.db.connection import Role, libpq_environment, url

    by_name = {known.value.removeprefix("interlock_"): known for known in Role}
    if role not in by_name:
        raise UsageError(f"There is no role {role!r}.", fix=f"Name one of: {', '.join(by_name)}.")
    chosen = by_name[role]
    session = "-c timezone=UTC" + (" -c role=interlock_owner" if chosen is Role.OWNER else "")
    # The address goes by the environment: arguments are for everybody on the machine to see.
    environment = os.environ | libpq_environment(url(chosen)) | {"PGOPTIONS": session}
    arguments = ["--no-psqlrc", "--command", command] if command else []
    ended = subprocess.run([embedded.programs() / "psql", *arguments], env=environment, check=False)  # noqa: S603
    raise typer.Exit(ended.returncode)


def erase(yes: bool = typer.Option(False, "--yes", help="Do not ask.")) -> None:
    """Stop everything; delete the embedded database and all generated state of this checkout."""
    import shutil

    from interlock import services as platform
    from interlock.db.connection import embedded_server
    from interlock.settings import settings

    state = settings().state
    if not state.exists():
        return
    if not yes:
        typer.confirm(f"Delete {state} and the embedded database with everything in it?", abort=True)
    platform.stop(force=True)
    embedded_server().erase()
    shutil.rmtree(state)
    typer.echo(f"Deleted {state}.")
