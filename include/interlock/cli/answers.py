"""How an answer reads on a terminal. Words first: colour only repeats what a word already says."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from interlock.safety.answer import Answer, Reason
    from interlock.safety.explanations import Explanation, Finding, Judgement

SHOWN_KEYS = 3


def sentences(answer: Answer) -> Iterator[str]:
    """The answer as lines of text: the state, what it stands on, and each reason with what clears it."""
    subject = f"{answer.dataset} {answer.partition}" if answer.partition else f"{answer.dataset} (its newest window)"
    yield f"{answer.state.upper()}  {subject}"
    yield f"  {'Safe' if answer.safe else 'Not safe'} to act on.{_standing(answer)}"
    if answer.bootstrapped:
        yield "  Bootstrapped: some checks had too little history and fell back to the contract's absolute bounds."
    if answer.warnings:
        yield f"  Carries {answer.warnings} {'warning' if answer.warnings == 1 else 'warnings'}."
    for reason in answer.reasons:
        yield from _reason(reason)
    if (waiver := answer.waiver) is not None:
        yield (
            f"  Waived for {waiver.consumer} until {waiver.expires_at:%Y-%m-%d %H:%M} UTC (action {waiver.action}), in "
            f"waived.{answer.dataset} alone; it stays unsafe, and hidden from everybody else."
        )
    if answer.valid_until is not None and answer.safe:
        yield f"  Valid until {answer.valid_until:%Y-%m-%d %H:%M} UTC."
    if answer.clock_offset_seconds is not None:
        offset = timedelta(seconds=round(abs(answer.clock_offset_seconds)))
        direction = "behind" if answer.clock_offset_seconds < 0 else "ahead of"
        yield f"  The clock is set: judged as of {answer.as_of:%Y-%m-%d %H:%M} UTC, {offset} {direction} real time."


def _standing(answer: Answer) -> str:
    if answer.version is None:
        return ""
    verdict = f"it was judged under contract {answer.contract_version} (verdict {answer.verdict_id})"
    place = "is served" if answer.safe else "is withheld from readers"
    return f" Version {answer.version} {place}; {verdict}."


def _reason(reason: Reason) -> Iterator[str]:
    where = f" [{reason.partition}]" if reason.partition else ""
    yield f"  {reason.code}{where}: {reason.message}"
    if len(reason.path) > 1:
        yield f"    path: {' > '.join(reason.path)}"
    yield f"    clears: {reason.clears}"


def show_explanation(found: Explanation, console: Console | None = None) -> None:
    """Print an answer with the evidence of the verdicts that it rests on."""
    from rich.console import Console
    from rich.text import Text

    console = console or Console(highlight=False)
    for line in sentences(found.answer):
        console.print(Text(line), soft_wrap=True)
    if found.rebuild_queued_at is not None:
        console.print(
            Text(f"  A rebuild is queued since {found.rebuild_queued_at:%Y-%m-%d %H:%M} UTC."), soft_wrap=True
        )
    for judgement in found.judgements:
        _show_judgement(judgement, console)
    if found.note:
        console.print(Text(f"\n{found.note}"), soft_wrap=True)


def _show_judgement(judgement: Judgement, console: Console) -> None:
    from rich.text import Text

    console.print()
    console.print(
        Text(
            f"Verdict {judgement.verdict_id}: {judgement.dataset} {judgement.partition} version {judgement.version} "
            f"{judgement.outcome} under contract {judgement.contract_version} "
            f"at {judgement.judged_at:%Y-%m-%d %H:%M:%S} UTC"
        ),
        soft_wrap=True,
    )
    if not judgement.findings:
        console.print(Text("  Every check succeeded."))
        return
    for finding in judgement.findings:
        for line in _finding(finding):
            console.print(Text(line), soft_wrap=True)


def _finding(finding: Finding) -> Iterator[str]:
    """A check that did not plainly succeed: what was expected and found, and a few of the rows that it is about."""
    yield f"  {finding.clause} ({'warning' if finding.severity == 'warning' else 'blocks'})"
    if finding.expected is not None:
        yield f"    expected: {_plain(finding.expected)}"
    observed = _plain(finding.observed) or finding.message
    yield f"    observed: {observed}{_of_rows(finding) if 'rows' not in observed else ''}"
    for key in finding.sample_keys[:SHOWN_KEYS]:
        yield f"    such as:  {_plain(key)}"
    if len(finding.sample_keys) > SHOWN_KEYS:
        yield f"              and more (--json lists {len(finding.sample_keys)} of them)"


def _of_rows(finding: Finding) -> str:
    """How many rows it is about."""
    if finding.unexpected_count is None:
        return ""
    return f" ({finding.unexpected_count:,} of {finding.evaluated_rows or 0:,} rows)"


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return ", ".join(f"{name}={_plain(part)}" for name, part in value.items())
    return value if isinstance(value, str) else json.dumps(value, default=str)
