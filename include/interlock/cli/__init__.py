"""The command line: `interlock COMMAND`.

A consumer's script asks `interlock check` before every action, so a command costs its own imports and no
other's: the table below holds each command's name and one line of help, and a group's module is imported
only when one of its commands is used. A group's module has one function, `register(app)`.

What a person sees when something fails is the message of the error and what to do next, and its exit
code; a traceback only where INTERLOCK_DEBUG is set.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from types import FrameType
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from interlock.errors import Exit, InterlockError

ASK, WORK, PLATFORM = "Is it safe?", "Data in, data through", "This platform"
CONTROL = "What is done about it, and by whom"

# command: (module that registers it, panel of the help, one line)
COMMANDS = {
    "check": ("interlock.cli.asking", ASK, "Is a dataset, or one partition of it, safe to act on? The exit code says."),
    "explain": ("interlock.cli.asking", ASK, "Why is a partition not safe, on what evidence, and what clears it?"),
    "status": ("interlock.cli.asking", ASK, "Every dataset by partition, in one readable matrix."),
    "renew": ("interlock.cli.asking", ASK, "Renew the leases that keep answers alive; judges nothing again."),
    "clock": ("interlock.cli.asking", ASK, "Show, set or clear the time that freshness and leases are judged by."),
    "metric": ("interlock.cli.metrics", ASK, "The value of a canonical metric, with its safety."),
    "ledger": ("interlock.cli.ledger", ASK, "Where every row of a partition came from and went to."),
    "recall": ("interlock.cli.recall", CONTROL, "Who relied on a partition while it was safe, now that it is not."),
    "run": ("interlock.cli.running", WORK, "Take a domain's partitions from landing to curated, gates and all."),
    "runs": ("interlock.cli.runs", WORK, "What ran and how it ended; one run with its phases."),
    "rebuild": ("interlock.cli.running", WORK, "Carry out the rebuilds that replaced inputs have queued."),
    "deliver": (
        "interlock.cli.deliveries",
        WORK,
        "Play the example's producer: write its files to the landing folder.",
    ),
    "quarantine": ("interlock.cli.quarantine", WORK, "Rows that a gate set aside: look, replay, give up."),
    "contract": ("interlock.cli.contracts", WORK, "Lint contracts, or write a first one from a sample."),
    "action": ("interlock.cli.actions", CONTROL, "Propose, approve, carry out, take back; first as a dry run."),
    "pause": ("interlock.cli.proposals", CONTROL, "Stop a domain, or one dataset of it, until it is resumed."),
    "resume": ("interlock.cli.proposals", CONTROL, "Let it run again."),
    "freeze": ("interlock.cli.proposals", CONTROL, "Let no rule act by itself in a domain: people decide."),
    "unfreeze": ("interlock.cli.proposals", CONTROL, "Let rules act by themselves there again."),
    "finding": ("interlock.cli.findings", CONTROL, "Report that a served version is bad; what came of it."),
    "audit": ("interlock.cli.audit", CONTROL, "What happened and who did it; whether the record of it is whole."),
    "drill": ("interlock.cli.drills", CONTROL, "Do and undo every kind of action, on a copy: all must be as it was."),
    "consumer": ("interlock.cli.consumers", WORK, "Logins for those who read `safe`, each under a name of its own."),
    "policy": ("interlock.cli.policies", CONTROL, "What decides about actions: show, compare, test, activate it."),
    "token": ("interlock.cli.tokens", CONTROL, "Who may act, with which rights: give, list, revoke."),
    "demo": ("interlock.cli.demo", WORK, "The story of one bad day, from delivery to correction, on real data."),
    "up": ("interlock.cli.platform", PLATFORM, "Start everything and leave it up; prints the URL and the login."),
    "serve": ("interlock.cli.serving", PLATFORM, "Answer over HTTP and show the page; Airflow need not run."),
    "stop": ("interlock.cli.platform", PLATFORM, "Stop everything that was started."),
    "services": ("interlock.cli.platform", PLATFORM, "What runs, where, and how to log in."),
    "doctor": ("interlock.cli.platform", PLATFORM, "Check this machine and the database; say what to mend."),
    "maintain": (
        "interlock.cli.maintaining",
        PLATFORM,
        "Prune what outlived its retention and nothing needs; say what was left and why.",
    ),
    "migrate": ("interlock.cli.platform", PLATFORM, "Bring the database's schema and the roles' passwords up to date."),
    "airflow": ("interlock.cli.platform", PLATFORM, "Run one `airflow` command in the platform's environment."),
    "psql": ("interlock.cli.platform", PLATFORM, "Open psql on the warehouse as one of the roles."),
    "erase": ("interlock.cli.platform", PLATFORM, "Delete the embedded database and all generated state."),
}


class LazyGroup(TyperGroup):
    """Lists every command from the table; imports the module of the one that is used."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, (_, panel, line) in COMMANDS.items():
            self.commands[name] = TyperCommand(name, help=line, rich_help_panel=panel)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Put the real command in place of its line in the table, then go on as usual."""
        if args and args[0] in COMMANDS:
            self.commands[args[0]] = loaded(args[0])
        return super().resolve_command(ctx, args)


def loaded(name: str) -> Any:
    """The command of that name, from its group's module."""
    group = typer.Typer()
    group.callback()(lambda: None)  # keeps a group of one command a group
    importlib.import_module(COMMANDS[name][0]).register(group)
    found = typer.main.get_command(group)
    return found.commands[name]  # type: ignore[attr-defined]


app = typer.Typer(
    cls=LazyGroup,
    name="interlock",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("interlock"))
        raise typer.Exit


@app.callback(help="Data that is safe to act on, or says that it is not.")
def _options(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Show the version."),
) -> None:
    pass


def main() -> None:
    """The console script. A polite kill ends like Ctrl-C, so that what was started is stopped."""
    from interlock import logs

    logs.configure()
    for polite in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(polite) == signal.SIG_DFL:
            signal.signal(polite, _end)
    try:
        app(prog_name="interlock")
    except SystemExit as end:
        sys.exit(130 if _was_interrupted(end) else end.code)
    except Exception as error:
        if os.environ.get("INTERLOCK_DEBUG"):
            raise
        _tell(error)
        sys.exit(exit_code(error))


def exit_code(error: Exception) -> int:
    """The exit code that scripts may rely on: a database that went away in the middle was not asked either."""
    if isinstance(error, InterlockError):
        return int(error.exit_code)
    psycopg = sys.modules.get("psycopg")
    if psycopg is not None and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return Exit.COULD_NOT_ASK
    return Exit.FAILED


def _tell(error: Exception) -> None:
    """Say on standard error what went wrong: in words, or as one more record of the log where JSON was asked for."""
    import logging

    from interlock.settings import LogFormat, settings

    try:
        is_record = settings().log_format is LogFormat.JSON
    except ValueError:  # the settings themselves are what is wrong
        is_record = False
    if not is_record:
        print(_readable(error), file=sys.stderr)
        return
    unforeseen = None if isinstance(error, InterlockError) else error
    logging.getLogger(__name__).error("%s", _readable(error), exc_info=unforeseen)


def _readable(error: Exception) -> str:
    if isinstance(error, InterlockError):
        return str(error)
    pydantic = sys.modules.get("pydantic")
    if pydantic is not None and isinstance(error, pydantic.ValidationError) and error.title == "Settings":
        problems = (f"  INTERLOCK_{'_'.join(map(str, p['loc'])).upper()}: {p['msg']}" for p in error.errors())
        return "The settings are not valid:\n" + "\n".join(problems)
    said = str(error).strip() or type(error).__name__
    if exit_code(error) == Exit.COULD_NOT_ASK:
        return f"The database could not be asked: {said}"
    return f"Interlock itself failed ({type(error).__name__}): {said}\n  INTERLOCK_DEBUG=1 shows where."


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _was_interrupted(end: SystemExit) -> bool:
    """Whether this exit is how the command-line library reports Ctrl-C."""
    cause = end.__context__
    return cause is not None and isinstance(cause.__cause__, KeyboardInterrupt)
