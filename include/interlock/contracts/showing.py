"""A contract in words, for somebody who asks what a dataset promises without reading YAML.

The checks shown are the compiled ones, so that what is read here is what a gate does.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from interlock.contracts.checks import CheckKind
from interlock.contracts.loading import checks_of
from interlock.contracts.model import Grain, Layer, OnGateFailure

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from interlock.contracts.model import Contract

_FAILURE = {
    OnGateFailure.WITHHOLD: "when a new version fails its gate, the partition becomes unsafe",
    OnGateFailure.SERVE_LAST_GOOD: "when a new version fails its gate, the last good one is still served",
}


def pages(contract: Contract) -> Iterator[RenderableType]:
    """The contract as things to print, one after the other."""
    yield _heading(contract)
    yield _facts(contract)
    yield _columns(contract)
    yield _checks(contract)
    if contract.inputs:
        table = _table("Inputs", "dataset", "partitions that are read", "a new version reopens")
        for item in contract.inputs:
            span = f"{item.mapping}, {item.lookback} days back" if item.lookback else item.mapping
            table.add_row(item.dataset, span, {None: "by default", True: "yes", False: "no"}[item.reopens])
        yield table
    if contract.decisions:
        table = _table("Decisions", "finding", "decision", "reason")
        for decision in contract.decisions:
            table.add_row(*map(_plain, (decision.finding, decision.decision, decision.reason)))
        yield table


def span_words(span: timedelta) -> str:
    """A span of time as people say it: `2 days`, `90 minutes`."""
    seconds = int(span.total_seconds())
    for size, word in ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")):
        if seconds % size == 0:
            return f"{seconds // size} {word}{'' if seconds == size else 's'}"
    return f"{seconds} seconds"


def _heading(contract: Contract) -> RenderableType:
    from rich.text import Text

    heading = Text(f"{contract.dataset} {contract.version}", style="bold")
    heading.append(f"  {contract.layer} data of {contract.domain}, owned by {contract.owner}\n", style="not bold")
    return heading.append(contract.description or "(no description)", style="not bold")


def _facts(contract: Contract) -> RenderableType:
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, told in facts(contract):
        table.add_row(name, _plain(told))
    return table


def facts(contract: Contract) -> Iterator[tuple[str, str]]:
    """What a contract says beyond its columns and checks, each under a heading."""
    column = f", by the column {contract.partition.column}" if contract.partition.column else ""
    days = contract.partition.grain is Grain.DAY
    yield "Partition", f"a day{column}" if days else "the whole dataset is one partition (`all`)"
    yield "Lies in", contract.physical_table
    yield "Key", ", ".join(contract.primary_key) or "none"
    yield from _delivery(contract)
    late = f"at most {span_words(contract.freshness)} late" if contract.freshness else "nothing is promised"
    newest = f"; the newest {contract.window} partitions must be safe" if days and contract.window > 1 else ""
    yield "Freshness", late + newest
    yield "Lease", f"an answer decays to unknown {span_words(contract.lease)} after its last renewal"
    yield "On failure", _FAILURE[contract.on_gate_failure]
    yield "Criticality", contract.criticality.value


def sentences(contract: Contract) -> Iterator[str]:
    """The contract in sentences, for whoever reads it elsewhere than at a terminal. Its checks speak for themselves."""
    if contract.description:
        yield contract.description
    for name, told in facts(contract):
        yield f"{name}: {told}."
    for item in contract.inputs:
        span = f"{item.mapping}, {item.lookback} days back" if item.lookback else item.mapping
        reopens = {None: "", True: "; a new version reopens it", False: "; a new version does not reopen it"}[
            item.reopens
        ]
        yield f"Reads {item.dataset}: {span}{reopens}."
    for decision in contract.decisions:
        yield f"Decided: {decision.finding} {decision.decision} Because {decision.reason}"


def _delivery(contract: Contract) -> Iterator[tuple[str, str]]:
    delivery, drift = contract.delivery, contract.drift
    if delivery is None:
        return
    replaces = "replaces its partition" if delivery.mode == "full-partition" else "is added to what was delivered"
    yield "Delivery", f"{contract.dataset}/{delivery.landing} (or .gz); each file {replaces}"
    if contract.partition.grain is Grain.DAY:
        days = (
            f"found up to {delivery.late.days} days before the newest accepted one"
            if delivery.late
            else "not looked for"
        )
        yield "Late", f"files for earlier days are {days}"
    yield "Mark", f"a completion mark beside the file: {delivery.mark}"
    yield "Nothing", f"a file without rows: {delivery.empty}; a partition without a file: {delivery.absent}"
    yield "Null", ", ".join(repr(token) for token in delivery.null) or "no token means null"
    if delivery.repeats is not None:
        yield "Copies", f"of rows that come twice the first is taken, up to {delivery.repeats.words}"
    policies = {"missing": drift.missing, "extra": drift.extra, "renamed": drift.renamed, "retyped": drift.retyped}
    yield "Drift", ", ".join(f"a column {name}: {policy}" for name, policy in policies.items())


def _columns(contract: Contract) -> RenderableType:
    table = _table("Columns", "column", "type", "null", "what it is")
    for column in contract.columns:
        is_key = column.primary_key_position is not None
        key = f" (key {column.primary_key_position})" if is_key else ""
        shown = column.value_type if contract.layer is Layer.RAW else column.physical_type
        classified = f" [{column.classification}]" if column.classification else ""
        nullable = "no" if column.required or is_key else "yes"
        table.add_row(_plain(column.name + key), shown, nullable, _plain(column.description + classified))
    return table


def _checks(contract: Contract) -> RenderableType:
    checks = checks_of(contract)
    blocking = sum(check.severity.blocks for check in checks)
    title = f"Checks: {blocking} critical (they block), {len(checks) - blocking} warnings (they are carried)"
    table = _table(title, "check", "severity", "expected")
    table.add_row("<column>.exists", "critical", "every column above exists")
    for check in (check for check in checks if check.kind is not CheckKind.COLUMN_EXISTS):
        table.add_row(_plain(check.id), str(check.severity), _plain(check.expected))
    return table


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _table(title: str, *headings: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
