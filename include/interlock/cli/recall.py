"""`interlock recall`: a partition turned out bad; who relied on it while it was safe, and what rests on it?

Exit codes: 0 nobody is on record as having relied on what is not safe any more, 3 somebody is, 5 could not ask, 2 wrong
usage.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from interlock.errors import Exit, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from interlock.safety.recall import Built, Fallen, Recall, Relied
    from interlock.safety.recall_messages import Letter

SHOWN = 20


def register(app: typer.Typer) -> None:
    """Add this group's command."""
    app.command()(recall)


def recall(
    dataset: Annotated[str, typer.Argument(help="The dataset's name.", show_default=False)],
    partition: Annotated[str, typer.Option("--partition", "-p", help="A day as YYYY-MM-DD, or `all`.")],
    version: Annotated[int | None, typer.Option("--version", help="This version; by default all that fell.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="INSTANT", help="Only what was relied on from then on (UTC).")
    ] = None,
    tell: Annotated[
        bool, typer.Option("--tell", help="Tell them, each once; without it: say whom it would tell.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Who relied on a partition while it was safe, and what was built from it? Exit 0: nobody; 3: somebody; 5; 2."""
    from interlock.safety import recall as recalls
    from interlock.safety import recall_messages

    found = recalls.recall(dataset, partition, version=version, since=_instant(since))
    if tell:
        _tell(found, as_json=as_json)
        found = recalls.recall(dataset, partition, version=version, since=found.since)
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
    else:
        _show(found, [letter for letter in recall_messages.letters(found) if letter.is_new])
    raise typer.Exit(Exit.UNSAFE if any(item.relied for item in found.fallen) else Exit.OK)


def _instant(text: str | None) -> datetime | None:
    try:
        moment = None if text is None else datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no instant.", fix="Give a day, or an instant as 2013-01-08T06:00:00Z.") from None
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def _tell(found: Recall, *, as_json: bool) -> None:
    from interlock.pipeline.runs import actor
    from interlock.safety import notices, recall_messages

    told = recall_messages.tell(found, actor())
    drained = notices.drain()
    for letter in told:
        typer.echo(f"Told {letter.recipient}: {letter.title}", err=as_json)
    if not told:
        typer.echo("There was nobody to tell who was not told before.", err=as_json)
    if drained.kept:
        typer.echo(f"{drained.kept} messages could not be delivered, and wait for the next time.", err=True)


def _show(found: Recall, letters: list[Letter]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for fallen in found.fallen:
        _show_fallen(found, fallen, console)
    if found.stands is not None:
        told = f"Version {found.stands.version} is safe since {_at(found.stands.since)}; who read it need do nothing."
        console.print(Text(f"{found.dataset} {found.partition}: {told}", style="green"), soft_wrap=True)
    if not found.fallen:
        before = (
            "No other version was ever safe" if found.stands else f"{found.dataset} {found.partition} was never safe"
        )
        console.print(Text(f"{before}: there is nothing to recall."))
    for line in _next(found, letters):
        console.print(Text(line), soft_wrap=True)


def _show_fallen(found: Recall, fallen: Fallen, console: Console) -> None:
    from rich.text import Text

    title = f"{found.dataset} {found.partition} version {fallen.version}: was safe, and is not"
    console.print(Text(title, style="bold red"))
    for stand in fallen.stood:
        why = f": {stand.ended_by.message} ({stand.ended_by.code})" if stand.ended_by else ""
        until = _at(stand.until) if stand.until else "now"
        console.print(Text(f"  safe from {_at(stand.since)} to {until}{why}"), soft_wrap=True)
    own, *built = fallen.built  # itself first
    console.print(Text(f"  made by run {own.run_id} of {own.actor}\n"), soft_wrap=True)
    if fallen.relied:
        console.print(Text("Relied on it, or on what was built from it, while it was safe"))
        _show_relied(fallen.relied, console)
    else:
        console.print(Text("Nobody is on record as having relied on it while it was safe."))
    _show_built(built, console)
    for line in _rest(fallen):
        console.print(Text(line), soft_wrap=True)
    console.print()


def _show_relied(relied: tuple[Relied, ...], console: Console) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from interlock.safety.recall_messages import partitions

    table = Table(box=box.SIMPLE)
    for name in ("who", "by", "relied on", "version"):
        table.add_column(name, overflow="fold")
    table.add_column("times", justify="right")
    table.add_column("first and last (UTC)", overflow="fold")
    for one in relied[:SHOWN]:
        who = f"{one.consumer}\n({one.who})" if one.consumer else one.who
        last = f"\n{_at(one.last_at, zone=False)}" if one.times > 1 else ""
        table.add_row(
            Text(who),
            one.via,
            Text(f"{_what(one)}\n{partitions(one.partitions)}"),
            ", ".join(map(str, one.versions[:3])) + (" ..." if len(one.versions) > 3 else ""),
            f"{one.times:,}",
            Text(f"{_at(one.first_at, zone=False)}{last}"),
        )
    console.print(table)
    if len(relied) > SHOWN:
        console.print(Text(f"  and {len(relied) - SHOWN} more; --json has them all."))


def _what(one: Relied) -> str:
    if one.metric is None:
        return f"{one.kind} {one.dataset}"
    value = f" = {one.value:,.6g}" if one.value is not None else ""
    return f"metric {one.metric}{value} ({one.about})"


def _show_built(built: list[Built], console: Console) -> None:
    from rich.text import Text

    console.print(Text("Built from it" if built else "Nothing was built from it."))
    for item in built[:SHOWN]:
        state = "never safe" if item.since is None else "STILL SERVED AS SAFE" if item.stands else "not safe any more"
        way = f" by way of {' > '.join(item.path[1:-1])}" if len(item.path) > 2 else ""
        line = (
            f"  {item.dataset} {item.partition} version {item.version}{way}, run {item.run_id} of {item.actor}: {state}"
        )
        console.print(Text(line, style="bold red" if item.stands else ""), soft_wrap=True)
    if len(built) > SHOWN:
        console.print(Text(f"  and {len(built) - SHOWN} more; --json has them all."))


def _rest(fallen: Fallen) -> Iterator[str]:
    """Who may have, what is not known, and who was told."""
    recorded = {one.consumer for one in fallen.relied}
    for one in fallen.registered:
        if one.kind == "consumer":
            whom = f"owner {one.owner or 'unknown'}, {one.contact or 'no contact'}"
            trace = "on record above" if one.name in recorded else "no record; it may read in SQL"
            yield f"Registered consumer {one.name} of {', '.join(one.datasets)} ({whom}): {trace}."
    metrics = [one.name for one in fallen.registered if one.kind == "metric"]
    if metrics:
        yield f"Metrics that are made of it: {', '.join(metrics)}."
    own = [
        f"{one.login}{' (gone since)' if one.is_gone else ''}" for one in fallen.possible_readers if not one.is_shared
    ]
    shared = [one.login for one in fallen.possible_readers if one.is_shared]
    if own or shared:
        yield "Possible readers: PostgreSQL does not log which rows are read; these logins could have read it in SQL."
        yield f"  Of their own: {', '.join(own) or 'none'}. Shared: {', '.join(shared) or 'none'}."
    for gap in fallen.gaps:
        yield (
            f"A gap: {gap.count:,} records were dropped from {_at(gap.first_at)} to {_at(gap.last_at)} "
            f"({gap.recorder}); whom they were about is not known."
        )
    for told in fallen.told:
        yield f"Told: {told.recipient}, {f'at {_at(told.sent_at)}' if told.sent_at else 'which waits to be sent'}."


def _next(found: Recall, letters: list[Letter]) -> Iterator[str]:
    names = list(dict.fromkeys(letter.recipient for letter in letters if letter.has_address))
    lost = list(dict.fromkeys(letter.recipient for letter in letters if not letter.has_address))
    if lost:
        yield f"No address is known for {', '.join(lost)}: INTERLOCK_NOTIFY_URLS names them, or tell them yourself."
    if names:
        yield f"Would tell {', '.join(names)}: interlock recall {found.dataset} --partition {found.partition} --tell"


def _at(instant: datetime, *, zone: bool = True) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S}{' UTC' if zone else ''}"
