"""The matrix of datasets by partitions on a terminal: two letters a day, so that it reads without colour and fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.safety.answer import State
from interlock.safety.answers import ALL

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from interlock.safety.matrix import Matrix, Row

# What a cell shows, in what colour. Letters alone tell them apart.
CELLS = {
    State.SAFE: ("ok", "green"),
    State.UNSAFE: ("XX", "bold red"),
    State.QUARANTINED: ("QQ", "bold magenta"),
    State.UNKNOWN: ("??", "yellow"),
    State.CHECKING: ("..", "cyan"),
    State.REBUILDING: ("rb", "green"),
}
NOTHING = "  "
LISTED = 12


def show(found: Matrix, console: Console | None = None) -> None:
    """Print the matrix, in as many blocks of days as the width asks for, then what is wrong and how to learn more."""
    from rich.console import Console

    console = console or Console(highlight=False, soft_wrap=False)
    if not found.rows:
        console.print("Nothing is known yet: no domain has run. Try `interlock run DOMAIN --partition P`.")
        return
    names = max(len(row.dataset) for row in found.rows) + 4
    wide = max((console.width - names) // 3, 1)
    blocks = [found.days[start : start + wide] for start in range(0, len(found.days), wide)]
    for block in blocks:
        _show_block(block, found.rows, names, console)
    _show_rest(found, names, console)
    _show_legend(found, console)


def _show_block(days: tuple[str, ...], rows: tuple[Row, ...], names: int, console: Console) -> None:
    from rich.text import Text

    months = Text(" " * names)
    for position, day in enumerate(days):
        begins = position == 0 or day.endswith("-01")
        fits = sum(1 for other in days[position:] if other[:7] == day[:7]) >= 3
        if begins and fits:
            months.append(day[:7].ljust(3 * sum(1 for other in days[position:] if other[:7] == day[:7])))
        elif begins:
            months.append(" " * 3 * sum(1 for other in days[position:] if other[:7] == day[:7]))
    console.print(months)
    console.print(Text(" " * names + " ".join(day[8:] for day in days)))
    group = ""
    for row in rows:
        if not any(day in row.states for day in days):
            continue
        if group != f"{row.domain} / {row.layer}":
            group = f"{row.domain} / {row.layer}"
            console.print(Text(group, style="dim"))
        line = Text(f"  {row.dataset}".ljust(names))
        for day in days:
            line.append_text(_cell(row.states.get(day)))
            line.append(" ")
        console.print(line)
    console.print()


def _show_rest(found: Matrix, names: int, console: Console) -> None:
    """What has no days, and what lies before the days that are shown."""
    from rich.text import Text

    whole = [row for row in found.rows if ALL in row.states]
    if whole:
        console.print(Text("not partitioned by day", style="dim"))
        for row in whole:
            state = row.states[ALL]
            console.print(Text(f"  {row.dataset}".ljust(names)).append_text(_cell(state)).append(f" {state}"))
        console.print()
    before = [row for row in found.rows if row.earlier]
    if before:
        console.print(Text(f"before {found.days[0]}" if found.days else "earlier", style="dim"))
        for row in before:
            parts = ", ".join(
                f"{count} {state}" for state, count in sorted(row.earlier.items(), key=lambda item: -item[1])
            )
            is_safe = all(state in (State.SAFE, State.REBUILDING) for state in row.earlier)
            console.print(Text(f"  {row.dataset}".ljust(names)).append(parts, style="green" if is_safe else "bold red"))
        console.print()


def _show_legend(found: Matrix, console: Console) -> None:
    from rich.text import Text

    seen = {state for row in found.rows for state in (*row.states.values(), *row.earlier)}
    legend = Text()
    for state in CELLS:
        if state in seen:
            legend.append_text(_cell(state)).append(f" {state}  ")
    console.print(legend)
    for trouble in found.troubles[:LISTED]:
        span = (
            trouble.first if trouble.count == 1 else f"{trouble.first} to {trouble.last} ({trouble.count} partitions)"
        )
        console.print(Text(f"{trouble.dataset} {span}: {trouble.reason}"))
    if len(found.troubles) > LISTED:
        console.print(Text(f"and {len(found.troubles) - LISTED} more"))
    if found.troubles:
        first = found.troubles[0]
        console.print(Text(f"Why: interlock explain {first.dataset} --partition {first.last}"))
    for still in found.standstills:
        subject = "everywhere" if still.domain == "*" else still.dataset or still.domain
        since = f"since {still.since:%Y-%m-%d %H:%M} UTC by {still.by} (action {still.action_id})"
        console.print(Text(f"{still.what.upper()} {subject} {since}: {still.reason}", style="bold yellow"))
    if found.clock_offset_seconds is not None and found.as_of is not None:
        console.print(Text(f"The clock is set: judged as of {found.as_of:%Y-%m-%d %H:%M} UTC."))


def _cell(state: State | None) -> Text:
    from rich.text import Text

    if state is None:
        return Text(NOTHING)
    letters, style = CELLS[state]
    return Text(letters, style=style)
