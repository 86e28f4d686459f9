"""`interlock runs`: what ran and how it ended, for whoever asks at night which phase it was.

Not every run ends. One whose process was killed is shown as never ended, with its age, and not as failed or
running: nobody recorded an end, and nobody is at work on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

import typer

from interlock.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from interlock.pipeline.history import PhaseRecord, RunHistory, RunRecord

STYLES = {
    "succeeded": "green",
    "completed": "green",
    "failed": "bold red",
    "refused": "bold red",
    "never_ended": "bold magenta",
}
UNDER_WAY = "cyan"
SHOWN_MESSAGE = 160
SHOWN_PARTITIONS = 3
MINUTE, HOUR, DAY = 60, 3600, 86400
# What of a table stays put at its right edge: figures.
FIGURES = {"took", "rows in", "rows"}

Cells = Sequence[str]


def register(app: typer.Typer) -> None:
    """Add the command of this group."""
    app.command("runs")(runs)


def runs(
    run_id: int | None = typer.Argument(None, min=1, help="One run, with its phases. Without it: the newest runs."),
    domain: str | None = typer.Option(None, "--domain", "-d", help="Only runs of this domain."),
    partition: str | None = typer.Option(None, "--partition", "-p", help="Only runs of this day, or of `all`."),
    last: int | None = typer.Option(None, "--last", "-n", min=1, help="How many runs to list; 20 unless told."),
    as_json: bool = typer.Option(False, "--json", help="Print it as JSON."),
) -> None:
    """What ran, and how it ended: the newest runs, or one of them with its phases."""
    from interlock.pipeline import history

    if run_id is None:
        listed = history.runs(domain, _partition(partition), last or 20)
        _print_json([run.model_dump(mode="json") for run in listed]) if as_json else show(listed)
        return
    if (domain, partition, last) != (None, None, None):
        raise UsageError(
            f"Run {run_id} is one run, and there is nothing to choose from.",
            fix="Give either its number, or --domain, --partition and --last.",
        )
    found = history.run(run_id)
    _print_json(found.model_dump(mode="json")) if as_json else show_one(found)


def show(listed: Sequence[RunRecord], console: Console | None = None) -> None:
    """Print runs as a table, below each one that did not succeed what became of it."""
    console = console or _console()
    if not listed:
        _print(console, "No such run yet. `interlock run DOMAIN --partition P` starts one.")
        return
    head = ("run", "state", "domain", "partitions", "started (UTC)", "took", "rows in", "trigger", "by")
    lines = [_cells(run) for run in listed]
    widths = _widths([head, *lines])
    _print(console, _aligned(head, head, widths), "dim")
    for run, line in zip(listed, lines, strict=True):
        _print(console, _aligned(line, head, widths), STYLES.get(run.state, UNDER_WAY))
        told = _told(run)
        if told:
            _print(console, f"{' ' * widths[0]}  {told}")
    broken = next((run for run in listed if _told(run)), None)
    if broken:
        _print(console, f"Phase by phase: interlock runs {broken.run_id}")


def show_one(found: RunHistory, console: Console | None = None) -> None:
    """Print one run, its message in full, and every attempt of its phases."""
    console = console or _console()
    _print(console, f"Run {found.run_id}  {_words(found.state)}", STYLES.get(found.state, UNDER_WAY))
    for line in _about(found):
        _print(console, f"  {line}", wrap=True)
    console.print()
    if not found.phases:
        _print(console, "No phase was ever started.")
        return
    head = ("phase", "state", "started (UTC)", "took", "rows", "failure")
    attempts = [_phase_cells(phase) for phase in found.phases]
    widths = _widths([head, *attempts])
    _print(console, _aligned(head, head, widths), "dim")
    for phase, attempt in zip(found.phases, attempts, strict=True):
        _print(console, _aligned(attempt, head, widths), STYLES.get(phase.state, UNDER_WAY))
        for part in _ended(phase).splitlines():
            _print(console, f"    {part}", wrap=True)


def shortened(partitions: Sequence[str]) -> str:
    """Partitions in few words: one, a few, or the first and the last of a range with how many there are."""
    days = sorted(partition for partition in partitions if partition != "all")
    others = ["all"] if "all" in partitions else []
    if len(days) <= 1 or (len(days) < SHOWN_PARTITIONS and not _is_range(days)):
        return ", ".join([*days, *others])
    name = f"{days[0]} to {days[-1]}" if _is_range(days) else f"{len(days)} days from {days[0]} to {days[-1]}"
    return ", ".join([f"{name} ({len(days)})" if _is_range(days) else name, *others])


def duration(seconds: float) -> str:
    """A length of time as a person says it, in its two largest units."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < MINUTE:
        return f"{seconds:.1f} s"
    if seconds < HOUR:
        return f"{int(seconds // MINUTE)} min {int(seconds % MINUTE)} s"
    if seconds < DAY:
        return f"{int(seconds // HOUR)} h {int(seconds % HOUR // MINUTE)} min"
    return f"{int(seconds // DAY)} d {int(seconds % DAY // HOUR)} h"


def _cells(run: RunRecord) -> Cells:
    return (
        str(run.run_id), _words(run.state), run.domain, shortened(run.partitions), f"{run.started_at:%Y-%m-%d %H:%M}",
        duration(run.seconds) if run.seconds is not None else "-",
        f"{run.rows_loaded:,}" if run.rows_loaded is not None else "-", run.trigger, run.actor,
    )  # fmt: skip


def _phase_cells(phase: PhaseRecord) -> Cells:
    took = "-" if phase.seconds is None else duration(phase.seconds)
    return (
        phase.phase, _words(phase.state), f"{phase.started_at:%Y-%m-%d %H:%M:%S}", took,
        f"{phase.rows:,}" if phase.rows is not None else "-", phase.failure_class or "",
    )  # fmt: skip


def _told(run: RunRecord) -> str:
    """What became of a run that did not succeed, in one line."""
    where = f"in {run.last_phase}" if run.last_phase else "before its first phase"
    if run.state == "running":
        return f"started {duration(run.age_seconds)} ago, {where}"
    if run.state == "never_ended":
        return f"started {duration(run.age_seconds)} ago, last seen {where}; nobody holds its partitions"
    if run.state not in ("failed", "refused"):
        return ""
    said = (run.failure_message or run.message or "no message was left").splitlines()[0]
    shown = said if len(said) <= SHOWN_MESSAGE else said[:SHOWN_MESSAGE].rstrip() + " ..."
    return f"{run.failed_phase} ({run.failure_class}): {shown}" if run.failed_phase else shown


def _ended(phase: PhaseRecord) -> str:
    """What is to be said of how a phase ended, or that it did not."""
    if phase.state == "started":
        return f"under way for {duration(phase.age_seconds)}"
    if phase.state == "never_ended":
        return f"started {duration(phase.age_seconds)} ago and never ended"
    return phase.message or ""


def _about(run: RunRecord) -> Iterator[str]:
    yield f"{run.domain} {shortened(run.partitions) or '(no partition)'}"
    yield f"{run.trigger}, by {run.actor} (key {run.run_key})"
    started = f"started {run.started_at:%Y-%m-%d %H:%M:%S} UTC"
    if run.seconds is not None:
        yield f"{started}, took {duration(run.seconds)}"
    else:
        yield f"{started}, {duration(run.age_seconds)} ago"
        yield _holding(run)
    yield from (run.message or "").splitlines()


def _holding(run: RunRecord) -> str:
    """Whether somebody is at work on a run that has no end."""
    if run.held_until is None:
        return (
            "never ended: nobody holds its partitions any more. What it had published stands, and nothing else of it "
            "is visible; run its partitions again."
        )
    if run.is_held_by_process:
        return "holds its partitions as long as its process lives"
    return f"holds its partitions by a lease until {run.held_until:%Y-%m-%d %H:%M:%S} UTC, which each phase renews"


def _is_range(days: Sequence[str]) -> bool:
    return date.fromisoformat(days[-1]) - date.fromisoformat(days[0]) == timedelta(days=len(days) - 1)


def _partition(text: str | None) -> str | None:
    if text is None or text == "all":
        return text
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise UsageError(f"{text!r} is no partition.", fix="Give a day as YYYY-MM-DD, or `all`.") from None


def _words(state: str) -> str:
    return state.replace("_", " ")


def _widths(lines: Sequence[Cells]) -> list[int]:
    return [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]


def _aligned(line: Cells, head: Cells, widths: Sequence[int]) -> str:
    cells = (
        cell.rjust(width) if name in FIGURES else cell.ljust(width)
        for cell, name, width in zip(line, head, widths, strict=True)
    )
    return "  ".join(cells).rstrip()


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False)


def _print(console: Console, line: str, style: str = "", *, wrap: bool = False) -> None:
    """One line: cut to a terminal's width, or wrapped to it; whole where the output goes elsewhere."""
    from rich.text import Text

    if wrap or not console.is_terminal:
        console.print(Text(line, style=style), soft_wrap=True)
    else:
        console.print(Text(line, style=style), no_wrap=True, overflow="ellipsis")


def _print_json(document: object) -> None:
    import json

    typer.echo(json.dumps(document, indent=2))
