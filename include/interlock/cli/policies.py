"""`interlock policy`: what decides, in words; what the checkout's would change; its tests, activation and bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interlock.control.decisions import Engine
from interlock.errors import Exit, UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from interlock.control.active import Activation
    from interlock.control.bundles import Bundle
    from interlock.control.cases import Verdict

COLOURS = {"+": typer.colors.GREEN, "-": typer.colors.RED, "@": typer.colors.CYAN}


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    group = typer.Typer(
        no_args_is_help=True,
        help="The policy that decides about actions: show it, compare, test, activate and pack the checkout's.",
    )
    group.command("show")(show)
    group.command("test")(run_tests)
    group.command("diff")(diff)
    group.command("activate")(activate)
    group.command("bundle")(bundle)
    app.add_typer(group, name="policy")


def show() -> None:
    """The active revision, whether the checkout differs, the rules in words, and the numbers that they go by."""
    import yaml

    from interlock.control.bundles import load_bundle
    from interlock.control.policy import engine_name

    now, deciding = _active()
    if now is None or deciding is None:
        deciding = load_bundle()
        typer.echo(f"Revision {deciding.revision}, of this checkout: no policy is active before the first decision.")
    else:
        by = "the platform's first" if now.action_id is None else f"by action {now.action_id}"
        typer.echo(f"Revision {deciding.revision}, active since {now.since:%Y-%m-%d %H:%M} UTC ({by})")
        typer.echo(f"This checkout's {_told_checkout(deciding)}")
    typer.echo(f"Decided by {_told_engine(engine_name().value)}; what cannot be decided is refused.")
    for name, titles in deciding.rules.items():
        typer.echo(f"\n{name}")
        for title in titles:
            typer.echo(f"  - {title}")
    typer.echo("\nNumbers")
    typer.echo("\n".join(f"  {line}" for line in yaml.safe_dump(deciding.data, sort_keys=False).splitlines()))


def diff() -> None:
    """What the checkout's policy would change, file by file. Exit 0: nothing; 1: it differs from the active one."""
    from interlock.control.bundles import load_bundle

    _, deciding = _active()
    changes = list(_changes(deciding.contents if deciding else {}, load_bundle().contents))
    for line in changes:
        typer.secho(line, fg=COLOURS.get(line[:1]))
    raise typer.Exit(Exit.FAILED if changes else Exit.OK)


def activate(
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why; kept with your name.")],
) -> None:
    """Propose that the checkout's policy decides from now on: somebody else has to approve it.

    Its cases are run first, in-process: a policy that does not decide as they say is not proposed (exit 1). Otherwise
    the exit codes are those of `interlock action propose`. Where no policy is active yet, it becomes the first one.
    """
    from interlock.cli.proposals import submit
    from interlock.control import active
    from interlock.control.bundles import load_bundle
    from interlock.control.credentials import from_environment
    from interlock.control.policy import require_usable
    from interlock.control.records import Proposal
    from interlock.db.connection import Role, connect
    from interlock.db.failures import translated

    actor = from_environment()
    candidate = load_bundle()
    _require_cases(candidate)
    require_usable(candidate)
    with translated(), connect(Role.OPERATOR) as connection:
        active.record(connection, candidate, actor.name)
        deciding = active.revision(connection) or active.begin(connection, candidate, actor.name)
    if deciding == candidate.revision:
        typer.echo(f"Revision {candidate.revision} is active.")
    else:
        submit(Proposal(kind="activate_policy", rationale=reason, parameters={"revision": candidate.revision}))


def run_tests(
    is_all: Annotated[bool, typer.Option("--all", help="Show the cases that pass too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
    engine: Annotated[Engine | None, typer.Option("--engine", help="Whom to ask; else as the settings say.")] = None,
) -> None:
    """Ask every case of include/policies/cases about the checkout's policy, whichever is active.

    Exit 0 where all get the answers that they expect, 1 where one does not, 5 where the engine could not be asked.
    """
    import json

    from interlock.control.bundles import load_bundle
    from interlock.control.cases import load_cases, run_cases
    from interlock.control.policy import open_policy

    cases = load_cases()
    with open_policy(load_bundle(), engine) as policy:
        done = list(run_cases(policy, cases))
    failed = [verdict for verdict in done if verdict.differences]
    if as_json:
        typer.echo(json.dumps([_record(verdict) for verdict in done], indent=2))
    else:
        _print_table(done if is_all else failed)
        by = f"{_told_engine(policy.engine.name.value)}, revision {policy.bundle.revision[:12]}"
        typer.echo(f"{len(done) - len(failed)} of {len(done)} cases pass ({by}).")
    raise typer.Exit(Exit.FAILED if failed else Exit.OK)


def bundle(
    to: Annotated[Path, typer.Option("--to", help="The file to write, such as interlock-policy.tar.gz.")],
    is_active: Annotated[bool, typer.Option("--active", help="The active policy, not the checkout's.")] = False,
) -> None:
    """Write a bundle for an OPA server: it then says by which revision it decides, which is asked of it."""
    from interlock.control.bundles import archive, load_bundle

    found = _active()[1] if is_active else load_bundle()
    if found is None:
        raise UsageError("No policy is active before the first decision.", fix="Leave --active out.")
    try:
        to.write_bytes(archive(found))
    except OSError as error:
        raise UsageError(f"{to} cannot be written: {error.strerror}.", fix="Name another file.") from error
    typer.echo(f"Wrote {to}, revision {found.revision}.")
    typer.echo(f"Then: opa run --server --bundle {to}; and INTERLOCK_OPA_URL=http://its-host:8181")


def _active() -> tuple[Activation, Bundle] | tuple[None, None]:
    """The bundle that decides and where it comes from; none before the first decision."""
    from interlock.control import active
    from interlock.db.connection import Role, connect
    from interlock.db.failures import translated

    with translated(), connect(Role.OPERATOR, autocommit=True) as connection:
        now = active.activation(connection)
        return (now, active.recorded(connection, now.revision)) if now else (None, None)


def _changes(old: dict[str, str], new: dict[str, str]) -> list[str]:
    """A unified diff of every file that is not the same in both."""
    import difflib

    return [
        line.rstrip("\n")
        for name in sorted(old | new)
        for line in difflib.unified_diff(
            old.get(name, "").splitlines(keepends=True),
            new.get(name, "").splitlines(keepends=True),
            f"active/{name}" if name in old else "/dev/null",
            f"checkout/{name}" if name in new else "/dev/null",
        )
    ]


def _require_cases(candidate: Bundle) -> None:
    """Exit 1 where a case does not get the answer that it expects of the candidate, with a table of those."""
    from interlock.control.cases import load_cases, run_cases
    from interlock.control.policy import open_policy

    with open_policy(candidate, Engine.REGO) as policy:
        failed = [verdict for verdict in run_cases(policy, load_cases()) if verdict.differences]
    if failed:
        _print_table(failed)
        typer.echo(f"Not proposed: {len(failed)} of its cases do not get the answers that they expect.")
        raise typer.Exit(Exit.FAILED)


def _table(verdicts: list[Verdict]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table("case", "expected", "answered", "result", pad_edge=False)
    for verdict in verdicts:
        expected, answer = verdict.case.expect, verdict.answer
        result = Text("\n".join(verdict.differences) or "pass", style="red" if verdict.differences else "green")
        table.add_row(
            Text(f"{verdict.case.topic}: {verdict.case.name}"),
            _told_outcome(expected.outcome.value, expected.approvals_required),
            _told_outcome(answer.outcome.value, answer.approvals_required),
            result,
        )
    return table


def _print_table(verdicts: list[Verdict]) -> None:
    from rich.console import Console

    if verdicts:
        Console(highlight=False).print(_table(verdicts))


def _told_checkout(deciding: Bundle) -> str:
    """Whether the checkout has the bundle that decides; one that cannot be read does not keep the active one unseen."""
    from interlock.control.bundles import load_bundle
    from interlock.control.decisions import PolicyInvalid

    try:
        revision = load_bundle().revision
    except PolicyInvalid as error:
        return f"cannot be read: {error.message}"
    if revision == deciding.revision:
        return "is the same."
    return f"differs ({revision[:12]}) and decides nothing: `interlock policy diff`, `interlock policy activate`."


def _told_outcome(outcome: str, approvals: int | None) -> str:
    return outcome if approvals is None else f"{outcome} ({approvals})"


def _told_engine(name: str) -> str:
    from interlock.settings import settings

    return f"OPA at {settings().opa_url}" if name == "opa" else "Rego in a child process"


def _record(verdict: Verdict) -> dict[str, object]:
    return {
        "topic": verdict.case.topic,
        "case": verdict.case.name,
        "passed": not verdict.differences,
        "differences": verdict.differences,
        "answer": verdict.answer.model_dump(mode="json"),
    }
