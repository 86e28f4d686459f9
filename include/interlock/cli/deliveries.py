"""`interlock deliver`: the example's producer. Nothing else of the platform knows where the files come from."""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from interlock.errors import UsageError

if TYPE_CHECKING:
    from interlock.example.deliveries import Order


def register(app: typer.Typer) -> None:
    """Add the command of this group."""
    from interlock.example.faults import FAULTS

    listed = "\n\n".join(f"{name}: {fault.description}" for name, fault in FAULTS.items())
    app.command("deliver", epilog=f"Faults:\n\n{listed}")(deliver)


def deliver(  # noqa: PLR0913, PLR0917  (each is an option of the command)
    first: Annotated[str, typer.Option("--from", help="First day, YYYY-MM-DD, in 2013.")],
    last: Annotated[
        str | None, typer.Option("--to", help="Last day, itself included; the first day unless given.")
    ] = None,
    feed: Annotated[
        list[str] | None, typer.Option(help="A feed to deliver; again for more. All of them unless given.")
    ] = None,
    fault: Annotated[str | None, typer.Option(help="Go wrong in this way on one of the days (see below).")] = None,
    on: Annotated[
        str | None,
        typer.Option(
            help="The day of the fault, where there are several; it hits the flights, or the first daily --feed."
        ),
    ] = None,
    recall: Annotated[
        str | None,
        typer.Option(metavar="REASON", help="Take back what lies there of these days: the flights, or each --feed."),
    ] = None,
    to_landing: Annotated[str | None, typer.Option(help="Write to another landing root (an fsspec URL).")] = None,
    compress: Annotated[bool, typer.Option("--compress", help="Deliver gzip files.")] = False,
) -> None:
    """Play the example's producer: write the daily files of real flights and weather to the landing folder.

    Delivering the same again changes nothing; delivering without the fault is the correction.
    """
    from interlock.example import deliveries

    if fault and on is None and last in (None, first):
        on = first
    order = deliveries.Order(
        first=_day(first), last=_day(last or first), feeds=tuple(feed or ()), fault=fault, on=_day(on) if on else None,
        is_compressed=compress, landing=to_landing,
    )  # fmt: skip
    if recall is not None:
        _recall(order, recall)
        return
    written: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    for item in deliveries.deliver(order):
        if item.file is None:
            typer.echo(f"  {item.day}  {item.feed}: no file")
        else:
            (written if item.is_new else kept)[item.feed] += 1
    for name in deliveries.FEEDS:
        if written[name] or kept[name]:
            unchanged = f" ({kept[name]} lay there already)" if kept[name] else ""
            typer.echo(f"  {name:<14}{written[name]:>4} written{unchanged}")
    if fault:
        typer.echo(f"  The delivery of {on} has the fault {fault!r}; deliver that day again without it to correct it.")


def _recall(order: Order, reason: str) -> None:
    from interlock.example import deliveries

    if order.fault is not None or not reason.strip():
        raise UsageError("A recall takes a reason, and no fault.", fix='Give --recall "why the file is wrong".')
    taken = list(deliveries.recall(order, reason))
    for file in taken:
        typer.echo(f"  recalled {file}; deliver that day again to correct it.")
    if not taken:
        raise UsageError("Nothing of these days was delivered.", fix="`interlock deliver --from D` delivers a day.")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no day.", fix="Write it as YYYY-MM-DD, for example 2013-01-05.") from None
