"""`interlock policy`: the rules in words, their tests, and the bundle for an OPA server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interlock.errors import Exit, UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from interlock.control.cases import Verdict


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    group = typer.Typer(no_args_is_help=True, help="The policy that decides about actions: show it, test it, pack it.")
    group.command("show")(show)
    group.command("test")(run_tests)
    group.command("bundle")(bundle)
    app.add_typer(group, name="policy")


def show() -> None:
    """The revision, the rules in words, and the numbers that they go by."""
    import yaml

    from interlock.control.bundles import load_bundle
    from interlock.control.policy import engine_name

    found = load_bundle()
    typer.echo(f"Revision {found.revision}")
    typer.echo(f"Decided by {_told_engine(engine_name().value)}; what cannot be decided is refused.")
    for name, titles in found.rules.items():
        typer.echo(f"\n{name}")
        for title in titles:
            typer.echo(f"  - {title}")
    typer.echo("\nNumbers")
    typer.echo("\n".join(f"  {line}" for line in yaml.safe_dump(found.data, sort_keys=False).splitlines()))


def run_tests(
    is_all: Annotated[bool, typer.Option("--all", help="Show the cases that pass too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Ask every case of include/policies/cases of the engine of the settings.

    Exit 0 where all get the answers that they expect, 1 where one does not, 5 where the engine could not be asked.
    """
    import json

    from interlock.control.bundles import load_bundle
    from interlock.control.cases import load_cases, run_cases
    from interlock.control.policy import open_policy

    cases = load_cases()
    with open_policy(load_bundle()) as policy:
        done = list(run_cases(policy, cases))
    failed = [verdict for verdict in done if verdict.differences]
    if as_json:
        typer.echo(json.dumps([_record(verdict) for verdict in done], indent=2))
    else:
        from rich.console import Console

        if shown := done if is_all else failed:
            Console(highlight=False).print(_table(shown))
        by = f"{_told_engine(policy.engine.name.value)}, revision {policy.bundle.revision[:12]}"
        typer.echo(f"{len(done) - len(failed)} of {len(done)} cases pass ({by}).")
    raise typer.Exit(Exit.FAILED if failed else Exit.OK)


def bundle(
    to: Annotated[Path, typer.Option("--to", help="The file to write, such as interlock-policy.tar.gz.")],
) -> None:
    """Write the bundle for an OPA server: it then says by which revision it decides, which is asked of it."""
    from interlock.control.bundles import archive, load_bundle

    found = load_bundle()
    try:
        to.write_bytes(archive(found))
    except OSError as error:
        raise UsageError(f"{to} cannot be written: {error.strerror}.", fix="Name another file.") from error
    typer.echo(f"Wrote {to}, revision {found.revision}.")
    typer.echo(f"Then: opa run --server --bundle {to}; and INTERLOCK_OPA_URL=http://its-host:8181")


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
