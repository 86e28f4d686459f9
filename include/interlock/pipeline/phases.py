"""What each phase of a run does. Every phase reads where things stand from the database, never from the one before it.

So a phase that is rerun, marked successful by hand, or carried out by another process changes
nothing about what may be published: `publish` asks the database for sealed candidates with a
passing verdict, and finds none where no gate has given one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from psycopg.types.json import Jsonb

from interlock.contracts.loading import checks_of
from interlock.contracts.model import Grain, Layer
from interlock.db.connection import Role, statement
from interlock.db.failures import translated
from interlock.errors import InterlockError
from interlock.ingestion import loads
from interlock.ingestion.errors import NotDelivered
from interlock.pipeline.planning import Group, Planner
from interlock.pipeline.runs import Blocked, Outcome, Phase, Session
from interlock.quality import gate

if TYPE_CHECKING:
    from interlock.contracts.model import Contract
    from interlock.quality.gate import Judgement


def load(session: Session) -> Outcome:
    """Bring every feed's deliveries of these partitions into raw; what is refused leaves a cause, and an untouched file."""
    rows, done, blocked = 0, [], []
    for contract in session.catalog.feeds(session.run.domain):
        for partition in _partitions(session, contract):
            try:
                results = loads.load_partition(
                    session.connection(Role.LOADER), session.run.run_id, session.token, contract, partition
                )
            except NotDelivered as error:
                blocked.append(_not_delivered(session, contract, partition, error))
                continue
            except InterlockError as error:
                blocked.append(
                    Blocked(
                        dataset=contract.dataset, partition=partition, reason=str(error), retry_helps=error.retry_helps
                    )
                )
                continue
            for result in results:
                rows += result.rows
                if result.outcome in ("refused", "quarantined"):
                    blocked.append(Blocked(dataset=contract.dataset, partition=partition, reason=str(result.error)))
                elif result.outcome == "loaded":
                    done.append((contract.dataset, partition))
    return Outcome(rows=rows, done=tuple(done), blocked=tuple(blocked))


def gate_raw(session: Session) -> Outcome:
    """Accept or reject what was loaded; acceptance serves it to staged models and moves the watermark."""
    rows, done, blocked = 0, [], []
    for dataset, batch in _unjudged(session):
        contract = session.catalog[dataset]
        rows += sum(count for _, count in batch.values())
        loads_of = {partition: load_id for partition, (load_id, _) in batch.items()}
        for judgement in gate.judge_versions(
            session.run.run_id, session.token, contract, checks_of(contract), loads_of
        ):
            if not judgement.passed:
                blocked.append(_failed(judgement))
                continue
            session.call(
                Role.PUBLISHER, "publish", session.run.run_id, session.token, judgement.partition, [judgement.version]
            )
            done.append((dataset, judgement.partition))
    return Outcome(rows=rows, done=tuple(done), blocked=tuple(blocked))


def build_layer(session: Session, layer: Layer) -> Outcome:
    """Build and seal the candidates of a layer from inputs that are safe now, pinned in the versions read."""
    plan = Planner(session, layer).plan()
    blocked, done = list(plan.blocked), []
    if plan.groups:
        workspace = session.call(Role.BUILDER, "open_workspace", session.run.run_id, session.token)
        for group in plan.groups:
            built, failed = _build_group(session, workspace, group)
            done += built
            blocked += failed
    return Outcome(done=tuple(done), blocked=tuple(blocked))


def gate_layer(session: Session, layer: Layer) -> Outcome:
    """Judge the sealed candidates of a layer, inputs before what was built from them.

    What failed blocks what was built from it; the siblings that do not depend on it are published
    before this returns, because a caller that stops at a blocked gate would leave them lying.
    """
    rows, done, blocked = 0, [], []
    failed: set[tuple[str, str]] = set()
    for dataset, version, partitions, count in _sealed(session, layer):
        contract = session.catalog[dataset]
        upstream = [edge.upstream for edge in session.lineage.upstream(dataset)]
        judged = []
        for partition in partitions:
            culprit = next((name for name in upstream if (name, partition) in failed or (name, "all") in failed), None)
            if culprit:
                failed.add((dataset, partition))
                blocked.append(
                    Blocked(dataset=dataset, partition=partition, reason=f"{culprit}, which it reads, failed its gate")
                )
            else:
                judged.append(partition)
        if not judged:
            continue
        rows += count
        for judgement in gate.judge(session.run.run_id, session.token, contract, checks_of(contract), version, judged):
            key = (dataset, judgement.partition)
            if judgement.passed:
                done.append(key)
            else:
                failed.add(key)
                blocked.append(_failed(judgement))
    if blocked:
        publish_layer(session, layer)
    return Outcome(rows=rows, done=tuple(done), blocked=tuple(blocked))


def publish_layer(session: Session, layer: Layer) -> Outcome:
    """Publish, partition by partition, every sealed candidate of this run's layer that has a passing verdict.

    All datasets of one partition move in one transaction.
    """
    connection = session.connection(Role.PUBLISHER)
    ready: dict[str, list[tuple[str, int]]] = {}
    order = {name: position for position, name in enumerate(session.lineage.order)}
    for partition, dataset, version in connection.execute(
        statement("pipeline/publishable.sql"), {"run_id": session.run.run_id, "layer": layer.value}
    ):
        ready.setdefault(partition, []).append((dataset, version))
    done, blocked = [], []
    # Datasets without days first: the days are built from them.
    for partition in sorted(ready, key=lambda p: (p != "all", p)):
        chosen = sorted(ready[partition], key=lambda item: order[item[0]])
        try:
            session.call(
                Role.PUBLISHER,
                "publish",
                session.run.run_id,
                session.token,
                partition,
                [version for _, version in chosen],
            )
            done += [(dataset, partition) for dataset, _ in chosen]
        except InterlockError as error:
            blocked += [
                Blocked(dataset=dataset, partition=partition, reason=str(error), retry_helps=error.retry_helps)
                for dataset, _ in chosen
            ]
    return Outcome(done=tuple(done), blocked=tuple(blocked))


WORK: dict[Phase, Callable[[Session], Outcome]] = {
    Phase.LOAD: load,
    Phase.GATE_RAW: gate_raw,
    Phase.STAGE: lambda session: build_layer(session, Layer.STAGED),
    Phase.GATE_STAGED: lambda session: gate_layer(session, Layer.STAGED),
    Phase.PUBLISH_STAGED: lambda session: publish_layer(session, Layer.STAGED),
    Phase.BUILD: lambda session: build_layer(session, Layer.CURATED),
    Phase.GATE_CURATED: lambda session: gate_layer(session, Layer.CURATED),
    Phase.PUBLISH_CURATED: lambda session: publish_layer(session, Layer.CURATED),
}


def _unjudged(session: Session) -> list[tuple[str, dict[str, tuple[int, int]]]]:
    """Loads that wait for their gate, as batches of a dataset with one load a partition, the earliest first."""
    newest: dict[tuple[str, str], int] = {}
    rows = session.connection(Role.OPERATOR).execute(
        statement("pipeline/unjudged_loads.sql"), {"run_id": session.run.run_id}
    )
    numbered: dict[tuple[str, int], dict[str, tuple[int, int]]] = {}
    for dataset, partition, load_id, count in rows:
        number = newest[dataset, partition] = newest.get((dataset, partition), -1) + 1
        numbered.setdefault((dataset, number), {})[partition] = (load_id, count)
    return [(dataset, batch) for (dataset, _), batch in sorted(numbered.items(), key=lambda item: item[0][1])]


def _failed(judgement: Judgement) -> Blocked:
    reasons = "; ".join(message for _, message in judgement.failures) or "no clause that blocks was evaluated"
    return Blocked(dataset=judgement.dataset, partition=judgement.partition, reason=reasons)


def _partitions(session: Session, contract: Contract) -> tuple[str, ...]:
    return session.run.days if contract.partition.grain is Grain.DAY else ("all",)


def _not_delivered(session: Session, contract: Contract, partition: str, error: NotDelivered) -> Blocked:
    """An absent file is late until the contract's freshness window is over, and a cause from then on."""
    due = _due(contract, partition)
    now = session.connection(Role.OPERATOR).execute("select interlock.now()").fetchone()
    is_late = due is not None and now is not None and now[0] > due
    if is_late:
        session.call(
            Role.LOADER, "refuse_delivery", session.run.run_id, session.token, contract.dataset, partition, None, None,
            "absent", "NotDelivered", error.message, "The delivery of this partition, and a rerun.", Jsonb({"due": str(due)}),
        )  # fmt: skip
    return Blocked(dataset=contract.dataset, partition=partition, reason=str(error), retry_helps=not is_late)


def _due(contract: Contract, partition: str) -> datetime | None:
    if contract.freshness is None or partition == "all":
        return None
    end = datetime.combine(date.fromisoformat(partition) + timedelta(days=1), datetime.min.time(), UTC)
    return end + contract.freshness


def _build_group(session: Session, workspace: str, group: Group) -> tuple[list[tuple[str, str]], list[Blocked]]:
    from interlock.transform import candidates

    for dataset, pins in group.pins.items():
        session.call(
            Role.BUILDER, "pin_input", session.run.run_id, session.token, dataset,
            Jsonb([{"partition": partition, "version": version} for partition, version in pins.items()]),
        )  # fmt: skip
    buckets = {name: routed for name, days in group.partitions.items() if (routed := _months(session, name, days))}
    done: list[tuple[str, str]] = []
    blocked: list[Blocked] = []
    for build in candidates.build(workspace, group.partitions, buckets):
        partitions = group.partitions[build.dataset]
        error, is_transient = build.error, build.is_transient
        if not error:
            try:
                session.call(
                    Role.BUILDER, "seal", session.run.run_id, session.token, build.dataset, list(partitions),
                    session.lineage.code_version(build.dataset),
                )  # fmt: skip
                done += [(build.dataset, partition) for partition in partitions]
                continue
            except InterlockError as failure:
                error, is_transient = str(failure), failure.retry_helps
        for partition in partitions:
            if not is_transient:
                session.call(
                    Role.BUILDER,
                    "report_build_failure",
                    session.run.run_id,
                    session.token,
                    build.dataset,
                    partition,
                    error,
                )
            blocked.append(Blocked(dataset=build.dataset, partition=partition, reason=error, retry_helps=is_transient))
    return done, blocked


def _months(session: Session, dataset: str, days: tuple[str, ...]) -> dict[str, object] | None:
    """The months that a range touches, where it touches several: its candidate is routed into one table a month."""
    months = sorted({f"{day[:7]}-01" for day in days if day != "all"})
    if len(months) < 2:
        return None
    return {"column": session.catalog[dataset].partition.column, "months": months}


def _sealed(session: Session, layer: Layer) -> list[tuple[str, int, list[str], int]]:
    """The newest sealed version of each dataset that this run built in a layer, inputs first."""
    with translated():
        rows = (
            session.connection(Role.OPERATOR)
            .execute(statement("pipeline/sealed.sql"), {"run_id": session.run.run_id, "layer": layer.value})
            .fetchall()
        )
    order = {name: position for position, name in enumerate(session.lineage.order)}
    return sorted(rows, key=lambda row: order[row[0]])
