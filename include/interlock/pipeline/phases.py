"""What each phase of a run does. Every phase reads where things stand from the database, never from the one before it.

So a phase that is rerun, marked successful by hand, or carried out by another process changes
nothing about what may be published: `publish` asks the database for sealed candidates with a
passing verdict, and finds none where no gate has given one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from psycopg.types.json import Jsonb

from interlock.contracts.loading import checks_of
from interlock.contracts.model import Grain, Layer
from interlock.db.connection import Role
from interlock.db.failures import Refusal, Refused, RefusedForNow
from interlock.errors import InterlockError, PermanentFailure, TransientFailure
from interlock.ingestion import loads
from interlock.ingestion.errors import NotDelivered
from interlock.pipeline import deadlines
from interlock.pipeline.hindrances import Blocked
from interlock.pipeline.planning import Group, Planner
from interlock.pipeline.runs import Outcome, Phase, Session
from interlock.quality import gate

if TYPE_CHECKING:
    from interlock.contracts.model import Contract
    from interlock.quality.gate import Judgement

Partition = tuple[str, str]  # of a dataset

SHOWN_CLAUSES = 3


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
                blocked.append(_hindered(contract.dataset, partition, error))
                continue
            for result in results:
                rows += result.rows
                if result.error is not None:
                    blocked.append(_hindered(contract.dataset, partition, result.error))
                elif result.outcome is loads.Outcome.LOADED:
                    done.append((contract.dataset, partition))
    return Outcome(rows=rows, done=tuple(done), blocked=tuple(blocked))


def gate_raw(session: Session) -> Outcome:
    """Accept or reject what was loaded; acceptance serves it to staged models and moves the watermark."""
    rows, done, blocked = 0, [], []
    for dataset, batch in _unjudged(session):
        contract = session.catalog[dataset]
        rows += sum(count for _, count in batch.values())
        loads_of = {partition: load_id for partition, (load_id, _) in batch.items()}
        judged = gate.judge_versions(session.run.run_id, session.token, contract, checks_of(contract), loads_of)
        blocked += [_failed(judgement) for judgement in judged if not judgement.passed]
        passed = [[(j.partition, dataset, j.version)] for j in judged if j.passed]
        published, hindered = _publish(session, passed)
        done += published
        blocked += hindered
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
    """Judge the sealed candidates of a layer that have not passed yet, inputs before what was built from them.

    What failed blocks what was built from it, which is not judged. Raises PermanentFailure where the inputs that
    the candidates were built from are no longer at hand.
    """
    rows, done = 0, []
    blocked: dict[Partition, Blocked] = {}
    sealed = _in_order(session, session.rows("unjudged_candidates.sql", layer=layer.value))
    if sealed:
        _require_workspace(session, layer)
    inputs: dict[Partition, list[Partition]] = {}
    for dataset, partition, *upstream in session.rows("own_inputs.sql", layer=layer.value):
        inputs.setdefault((dataset, partition), []).append((upstream[0], upstream[1]))
    for dataset, version, partitions, count in sealed:
        contract = session.catalog[dataset]
        for partition in partitions:
            culprit = next((blocked[key] for key in inputs.get((dataset, partition), ()) if key in blocked), None)
            if culprit:
                blocked[dataset, partition] = culprit.holds_back(dataset, partition)
        judged = [partition for partition in partitions if (dataset, partition) not in blocked]
        if not judged:
            continue
        rows += count
        for judgement in gate.judge(session.run.run_id, session.token, contract, checks_of(contract), version, judged):
            if judgement.passed:
                done.append((dataset, judgement.partition))
            else:
                blocked[dataset, judgement.partition] = _failed(judgement)
    return Outcome(rows=rows, done=tuple(done), blocked=tuple(blocked.values()))


def publish_layer(session: Session, layer: Layer) -> Outcome:
    """Publish every sealed candidate of this run's layer that has a passing verdict, partition by partition.

    All datasets of one partition move in one transaction, and those without days together with the first day. Where
    an input was replaced meanwhile, what reads it is built and judged once more, from the input as it is now.
    """
    done, blocked = _publish(session, _publishable(session, layer))
    if any(item.retry_helps for item in blocked):
        rebuilt = [build_layer(session, layer), gate_layer(session, layer)]
        again, blocked = _publish(session, _publishable(session, layer))
        done += again
        known = {(item.dataset, item.partition) for item in blocked}
        blocked += [item for part in rebuilt for item in part.blocked if (item.dataset, item.partition) not in known]
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
    newest: dict[Partition, int] = {}
    numbered: dict[tuple[str, int], dict[str, tuple[int, int]]] = {}
    for dataset, partition, load_id, count in session.rows("unjudged_loads.sql"):
        number = newest[dataset, partition] = newest.get((dataset, partition), -1) + 1
        numbered.setdefault((dataset, number), {})[partition] = (load_id, count)
    return [(dataset, batch) for (dataset, _), batch in sorted(numbered.items(), key=lambda item: item[0][1])]


def _failed(judgement: Judgement) -> Blocked:
    said = [message for _, message in judgement.failures[:SHOWN_CLAUSES]]
    if len(judgement.failures) > SHOWN_CLAUSES:
        said.append(f"and {len(judgement.failures) - SHOWN_CLAUSES} more")
    reason = "; ".join(said) or "no clause that blocks was evaluated"
    return Blocked(dataset=judgement.dataset, partition=judgement.partition, reason=reason)


def _hindered(dataset: str, partition: str, error: InterlockError) -> Blocked:
    return Blocked(
        dataset=dataset, partition=partition, reason=error.message, fix=error.fix, retry_helps=error.retry_helps
    )


def _partitions(session: Session, contract: Contract) -> tuple[str, ...]:
    return session.run.days if contract.partition.grain is Grain.DAY else ("all",)


def _not_delivered(session: Session, contract: Contract, partition: str, error: NotDelivered) -> Blocked:
    """An absent file is late until the contract's freshness window is over, and a cause from then on."""
    is_late = deadlines.has_passed(session, contract, partition)
    if is_late:
        session.call(
            Role.LOADER, "refuse_delivery", session.run.run_id, session.token, contract.dataset, partition, None, None,
            "absent", "NotDelivered", error.message, "The delivery of this partition, and a rerun.",
            Jsonb({"due": str(deadlines.due(contract, partition))}),
        )  # fmt: skip
    return _hindered(contract.dataset, partition, error).model_copy(update={"retry_helps": not is_late})


def _build_group(session: Session, workspace: str, group: Group) -> tuple[list[Partition], list[Blocked]]:
    from interlock.transform import candidates

    for dataset, pins in group.pins.items():
        with _input_may_move():
            session.call(
                Role.BUILDER, "pin_input", session.run.run_id, session.token, dataset,
                Jsonb([{"partition": partition, "version": version} for partition, version in pins.items()]),
            )  # fmt: skip
    buckets = {name: routed for name, days in group.partitions.items() if (routed := _months(session, name, days))}
    done: list[Partition] = []
    blocked: list[Blocked] = []
    for build in candidates.build(workspace, group.partitions, buckets):
        partitions = group.partitions[build.dataset]
        failure = _sealed(session, build, partitions)
        if failure is None:
            done += [(build.dataset, partition) for partition in partitions]
            continue
        blocked += [_hindered(build.dataset, partition, failure) for partition in partitions]
    return done, blocked
