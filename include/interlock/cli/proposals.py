"""`interlock action propose`, and `pause`, `resume`, `freeze` and `unfreeze`, which are proposals in two words.

`propose` is a dry run unless it is told to submit: it prints what the policy would say now, and the command that
submits just that. The shortcuts submit, because they are for the moment when nobody wants to read first.

Exit codes: 0 it was or would be carried out, or waits for approvals; 3 the policy refuses it, or it cannot be done as
things stand; 5 the policy could not be asked; 2 wrong usage.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from datetime import date, timedelta
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from interlock.cli.outcomes import conclude, refusals_told
from interlock.errors import UsageError

if TYPE_CHECKING:
    from interlock.control.records import Parameters, Proposal

EVERY_DOMAIN = "*"
JSON = typer.Option(False, "--json", help="Print as JSON.")
REASON = typer.Option(..., "--reason", "-r", help="Why; kept with your name.")
DOMAIN = typer.Argument(help="The domain's name; '*' is the whole platform.", show_default=False)
DOMAIN_OR_DATASET = typer.Argument(
    metavar="DOMAIN|DATASET", help="A domain, or one dataset of it; '*' is the whole platform.", show_default=False
)


def register(app: typer.Typer) -> None:
    """Add the shortcuts; `propose` is added by the group that it belongs to."""
    for command in (pause, resume, freeze, unfreeze):
        app.command()(command)


def propose(  # noqa: PLR0913, PLR0917  (each is an option of the command)
    kind: Annotated[str, typer.Argument(help="Such as quarantine_partition: see below.")],
    reason: str = REASON,
    domain: Annotated[str | None, typer.Option("--domain", "-d", help="Do it to a domain.")] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", help="Do it to a dataset or its partitions.")] = None,
    partition: Annotated[
        list[str] | None, typer.Option("--partition", "-p", help="A day as YYYY-MM-DD, or `all`; again for more.")
    ] = None,
    first: Annotated[str | None, typer.Option("--from", help="First day of a range.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day of a range, itself included.")] = None,
    version: Annotated[
        int | None, typer.Option("--version", min=1, help="The version; else the kind's own choice.")
    ] = None,
    param: Annotated[list[str] | None, typer.Option("--param", help="A parameter of the kind, as name=value.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="Idempotency key: once more under it is the same.")] = None,
    is_submitted: Annotated[bool, typer.Option("--submit", help="Propose it; else nothing is written.")] = False,
    as_json: bool = JSON,
) -> None:
    """What would an action do, and would the policy allow it? With --submit, propose it.

    Exit 0: carried out, or waits for approvals (or would). 3: refused. 5: the policy could not be asked. 2: usage.
    """
    from interlock.control.records import Proposal

    require_known(kind, domain, dataset)
    proposal = Proposal(
        kind=kind, rationale=reason, domain=domain, dataset=dataset, partitions=_partitions(partition, first, last),
        version=version, parameters=_parameters(param or []), key=key,
    )  # fmt: skip
    if is_submitted:
        submit(proposal, as_json=as_json)
    else:
        preview(proposal, as_json=as_json)


def pause(name: str = DOMAIN_OR_DATASET, reason: str = REASON) -> None:
    """Let nothing of a domain, or of one dataset, run until it is resumed. What is safe stays served."""
    submit(_of_pipeline("pause_pipeline", name, reason))


def resume(name: str = DOMAIN_OR_DATASET, reason: str = REASON) -> None:
    """Let a paused domain or dataset run again."""
    submit(_of_pipeline("resume_pipeline", name, reason))


def freeze(domain: str = DOMAIN, reason: str = REASON) -> None:
    """Let no rule and no run act by itself in a domain: people alone decide there, until it is unfrozen."""
    submit(_of_domain("freeze_domain", domain, reason))


def unfreeze(domain: str = DOMAIN, reason: str = REASON) -> None:
    """Let rules and runs act by themselves in a domain again, as far as the policy allows."""
    submit(_of_domain("unfreeze_domain", domain, reason))


def preview(proposal: Proposal, *, as_json: bool = False, is_rollback: bool = False) -> NoReturn:
    """Print what proposing it would lead to, and exit with the code that says so. Writes nothing."""
    from interlock.cli import stories
    from interlock.control import actions, credentials

    actor = credentials.from_environment()
    found = actions.preview(proposal, actor)
    _, _, code = stories.foreseen(found)
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
        raise typer.Exit(code)
    stories.show_preview(found, actor)
    typer.echo("Nothing was written." if code else "Nothing was written. To submit it:")
    if not code:
        submitting = proposal.model_copy(update={"version": found.proposal.version})
        typer.echo(f"  {_rollback_of(proposal) if is_rollback else _command(submitting)}")
    raise typer.Exit(code)


def submit(proposal: Proposal, *, as_json: bool = False) -> NoReturn:
    """Propose it, print what became of it, and exit with the code that says so."""
    from interlock.control import actions, credentials

    with refusals_told():
        action = actions.propose(proposal, credentials.from_environment())
    conclude(action, as_json=as_json)


def require_known(kind: str, domain: str | None, dataset: str | None) -> None:
    """Raise UsageError, naming what there is, where a kind, a domain or a dataset does not exist."""
    from interlock.control.kinds import KINDS

    _require("kind of action", kind, KINDS)
    if (domain is None) == (dataset is None):
        raise UsageError(
            "It is done either to a domain or to a dataset.",
            fix=f"Give --domain or --dataset; --domain '{EVERY_DOMAIN}' is the whole platform.",
        )
    if dataset is not None:
        _require("dataset", dataset, _domains_by_dataset())
    elif domain is not None and domain != EVERY_DOMAIN:
        _require("domain", domain, set(_domains_by_dataset().values()))


def _require(what: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        from interlock.contracts.loading import suggestion

        raise UsageError(f"There is no {what} {name!r}.", fix=suggestion(name, known))


def _of_pipeline(kind: str, name: str, reason: str) -> Proposal:
    """The proposal about a domain, or about a dataset where no domain has that name."""
    from interlock.control.records import Proposal

    domains = _domains_by_dataset()
    _require("domain and no dataset", name, {EVERY_DOMAIN, *domains, *domains.values()})
    if name == EVERY_DOMAIN or name in domains.values():
        return Proposal(kind=kind, rationale=reason, domain=name)
    return Proposal(kind=kind, rationale=reason, dataset=name)


def _of_domain(kind: str, domain: str, reason: str) -> Proposal:
    from interlock.control.records import Proposal

    require_known(kind, domain, None)
    return Proposal(kind=kind, rationale=reason, domain=domain)


def _domains_by_dataset() -> dict[str, str]:
    """Every dataset in use, with its domain."""
    from interlock.db.connection import Role, connect
    from interlock.db.failures import translated

    with translated(), connect(Role.OPERATOR, autocommit=True) as connection:
        known = dict(
            connection.execute("select name, domain from interlock.dataset where retired_at is null").fetchall()
        )
    if not known:
        raise UsageError("No domain is known yet.", fix="`interlock run DOMAIN --partition P` makes one known.")
    return known


def _command(proposal: Proposal) -> str:
    """What submits a proposal, word for word."""
    words = ["interlock", "action", "propose", proposal.kind]
    words += ["--domain", proposal.domain] if proposal.domain else []
    words += ["--dataset", proposal.dataset] if proposal.dataset else []
    days = proposal.partitions
    if len(days) > 2 and list(days) == _range(days[0], days[-1]):
        words += ["--from", days[0], "--to", days[-1]]
    else:
        words += [word for day in days for word in ("--partition", day)]
    words += ["--version", str(proposal.version)] if proposal.version is not None else []
    words += [word for name, value in proposal.parameters.items() for word in ("--param", f"{name}={_spelt(value)}")]
    words += ["--key", proposal.key] if proposal.key else []
    return shlex.join([*words, "--reason", proposal.rationale, "--submit"])


def _rollback_of(proposal: Proposal) -> str:
    return shlex.join(["interlock", "action", "rollback", str(proposal.undoes), "--reason", proposal.rationale])


def _partitions(named: list[str] | None, first: str | None, last: str | None) -> tuple[str, ...]:
    if first is None and last is None:
        return tuple(name if name == "all" else _day(name).isoformat() for name in named or ())
    if named or first is None or last is None:
        raise UsageError("Say which partitions.", fix="Give either --partition P, or both --from D and --to D.")
    if _day(last) < _day(first):
        raise UsageError(f"--to {last} is before --from {first}.", fix="Give the earlier day as --from.")
    return tuple(_range(first, last))


def _range(first: str, last: str) -> list[str]:
    if "all" in (first, last):
        return []
    start, end = _day(first), _day(last)
    return [(start + timedelta(days=n)).isoformat() for n in range((end - start).days + 1)]


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no day.", fix="Write it as YYYY-MM-DD, for example 2013-01-05.") from None


def _parameters(given: list[str]) -> Parameters:
    """`name=value` pairs; whole numbers, true and false are read as such."""
    found: Parameters = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise UsageError(f"{pair!r} is no parameter.", fix="Give it as --param name=value.")
        if value in ("true", "false"):
            found[name] = value == "true"
        else:
            found[name] = int(value) if re.fullmatch(r"-?\d{1,18}", value) else value
    return found


def _spelt(value: str | int | bool | None) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
