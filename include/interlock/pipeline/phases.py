"""What each phase of a run does. Every phase reads where things stand from the database, never from the one before it.

So a phase that is rerun, marked successful by hand, or carried out by another process changes
nothing about what may be published: `publish` asks the database for sealed candidates with a
passing verdict, and finds none where no gate has given one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from interlock import logs
from interlock.contracts.loading import checks_of
from interlock.contracts.model import Grain, Layer
from interlock.db.connection import Role
from interlock.db.disclosure import told
from interlock.db.failures import Refusal, Refused, RefusedForNow, translated
from interlock.errors import InterlockError, PermanentFailure, TransientFailure
from interlock.ingestion import loads
from interlock.ingestion.errors import NotDelivered
from interlock.pipeline import deadlines, progress
from interlock.pipeline.hindrances import Blocked
from interlock.pipeline.planning import Group, Planner
from interlock.pipeline.runs import Outcome, Phase, Session
from interlock.publishing import publications
from interlock.quality import gate
from interlock.transform import candidates

if TYPE_CHECKING:
    from interlock.contracts.model import Contract
    from interlock.quality.gate import Judgement
    from interlock.transform.candidates import Build

Partition = tuple[str, str]  # of a dataset

SHOWN_CLAUSES = 3


def load(session: Session) -> Outcome:
    """Bring every feed's deliveries into raw; one that is refused leaves a cause, and its file is not touched."""
    rows, done, blocked = 0, [], []
    for dataset, partition in session.rows("pending_replays.sql"):
        session.call(Role.LOADER, "replay_loads", session.run.run_id, session.token, dataset, partition)
    feeds = session.catalog.feeds(session.run.domain)
    paused = session.paused({contract.dataset: _partitions(session, contract) for contract in feeds})
    for contract in feeds:
        for partition in _partitions(session, contract):
            if (contract.dataset, partition) in paused:
                blocked.append(paused[contract.dataset, partition])
                continue
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
    """Accept or reject what was loaded; acceptance serves it to staged models and moves the watermark.

    An increment that is rejected holds back those after it in its partition, as one does that is refused.
    """
    rows, done, blocked = 0, [], []
    rejected: set[Partition] = set()
    for dataset, batch in _unjudged(session):
        contract = session.catalog[dataset]
        judgeable = {partition: load for partition, load in batch.items() if (dataset, partition) not in rejected}
        if not judgeable:
            continue
        rows += sum(count for _, count in judgeable.values())
        loads_of = {partition: load_id for partition, (load_id, _) in judgeable.items()}
        with logs.bound(dataset=dataset):
            judged = gate.judge_versions(session.run.run_id, session.token, contract, checks_of(contract), loads_of)
        progress.judged(judged, "load")
        blocked += [_failed(judgement) for judgement in judged if not judgement.passed]
        rejected |= {(dataset, judgement.partition) for judgement in judged if not judgement.passed}
        published = _publish(session, [{j.partition: {dataset: j.version}} for j in judged if j.passed])
        done += published.done
        blocked += published.blocked
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
        with logs.bound(dataset=dataset, version=version):
            found = gate.judge(session.run.run_id, session.token, contract, checks_of(contract), version, judged)
        progress.judged(found, "version")
        for judgement in found:
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
    published = _publish(session, _publishable(session, layer))
    if not published.is_overtaken:
        return Outcome(done=tuple(published.done), blocked=tuple(published.blocked))
    blocked = {(item.dataset, item.partition): item for item in build_layer(session, layer).blocked}
    blocked |= {(item.dataset, item.partition): item for item in gate_layer(session, layer).blocked}
    again = _publish(session, _publishable(session, layer))
    blocked |= {(item.dataset, item.partition): item for item in again.blocked}
    return Outcome(done=(*published.done, *again.done), blocked=tuple(blocked.values()))


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
        dataset=dataset,
        partition=partition,
        reason=error.message.removeprefix(f"{dataset} {partition}: "),
        fix=error.fix,
        retry_helps=error.retry_helps,
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
    for dataset, pins in group.pins.items():
        with _inputs_may_move():
            session.call(
                Role.BUILDER, "pin_input", session.run.run_id, session.token, dataset,
                Jsonb([{"partition": partition, "version": version} for partition, version in pins.items()]),
            )  # fmt: skip
    buckets = {name: routed for name, days in group.partitions.items() if (routed := _months(session, name, days))}
    done: list[Partition] = []
    blocked: dict[Partition, Blocked] = {}
    for build in candidates.build(workspace, group.partitions, buckets):
        partitions = [(build.dataset, partition) for partition in group.partitions[build.dataset]]
        readers_of = {edge.upstream for edge in session.lineage.upstream(build.dataset)}
        culprit = next((item for key, item in blocked.items() if key[0] in readers_of), None)
        if culprit:  # dbt left it out, or made it from a table that may not be sealed
            blocked |= {key: culprit.holds_back(*key) for key in partitions}
        elif failure := _sealing_failure(session, build, [partition for _, partition in partitions]):
            blocked |= {key: _hindered(*key, failure) for key in partitions}
        else:
            done += partitions
    return done, list(blocked.values())


def _sealing_failure(session: Session, build: Build, partitions: Sequence[str]) -> InterlockError | None:
    """Take a candidate out of the builder's hands; what kept it from being built or sealed is recorded and returned."""
    try:
        if build.error:
            kind = TransientFailure if build.is_transient else PermanentFailure
            raise kind(build.error, fix=f"Mend the model {build.dataset}, or what it reads; then run it again.")
        with _inputs_may_move():
            version = session.call(
                Role.BUILDER, "seal", session.run.run_id, session.token, build.dataset, list(partitions),
                session.lineage.code_version(build.dataset),
            )  # fmt: skip
        progress.sealed(build.dataset, version, partitions)
    except InterlockError as failure:
        if not failure.retry_helps:
            for partition in partitions:
                session.call(
                    Role.BUILDER, "report_build_failure", session.run.run_id, session.token, build.dataset, partition,
                    told(failure.message),
                )  # fmt: skip
        return failure
    return None


@contextmanager
def _inputs_may_move() -> Iterator[None]:
    """An input that was safe when the layer was planned and is not any more is no fault of its reader: plan again."""
    try:
        yield
    except Refused as refused:
        if refused.refusal is not Refusal.INPUT_NOT_SAFE:
            raise
        raise TransientFailure(refused.message, fix="Run it again: it is planned from what is safe then.") from refused


def _months(session: Session, dataset: str, days: Sequence[str]) -> dict[str, object] | None:
    """The months that a range touches, where it touches several: its candidate is routed into one table a month."""
    months = sorted({f"{day[:7]}-01" for day in days if day != "all"})
    if len(months) < 2:
        return None
    return {"column": session.catalog[dataset].partition.column, "months": months}


def _require_workspace(session: Session, layer: Layer) -> None:
    """Refuses to judge where the inputs are gone: every check that compares with one would fail for that alone."""
    found = (
        session.connection(Role.OPERATOR)
        .execute("select to_regnamespace(%s) is not null", [f"run_{session.run.run_id}"])
        .fetchone()
    )
    if not found or not found[0]:
        raise PermanentFailure(
            f"What run {session.run.run_id} built in the {layer} layer cannot be judged any more: its inputs are gone.",
            fix=f"Clear the run from `{Phase.STAGE if layer is Layer.STAGED else Phase.BUILD}` on; it is built again.",
        )


# What moves in one transaction: versions by dataset, by partition.
Batch = dict[str, dict[str, int]]


@dataclass
class _Published:
    """What was published, what was not, and whether that was because an input was replaced meanwhile."""

    done: list[Partition] = field(default_factory=list)
    blocked: list[Blocked] = field(default_factory=list)
    is_overtaken: bool = False


def _publishable(session: Session, layer: Layer) -> list[Batch]:
    """The candidates that passed, inputs first; those without days together with the first day, which reads them."""
    order = {name: position for position, name in enumerate(session.lineage.order)}
    ready: Batch = {}
    for partition, dataset, version in sorted(
        session.rows("publishable.sql", layer=layer.value), key=lambda row: (row[0] != "all", row[0], order[row[1]])
    ):
        ready.setdefault(partition, {})[dataset] = version
    batches: list[Batch] = [{partition: versions} for partition, versions in ready.items()]
    if "all" in ready and len(batches) > 1:
        batches[:2] = [batches[0] | batches[1]]
    return batches


def _publish(session: Session, batches: Iterable[Batch]) -> _Published:
    """Publish batch by batch; one that cannot be published together is tried partition by partition."""
    connection = session.connection(Role.PUBLISHER)
    result = _Published()
    pending = list(batches)[::-1]
    passed = {version for batch in pending for versions in batch.values() for version in versions.values()}
    publications.attach(connection, session.run.run_id, session.token, sorted(passed))
    while pending:
        batch = pending.pop()
        try:
            with translated(), connection.transaction() if len(batch) > 1 else nullcontext():
                for partition, versions in batch.items():
                    publications.publish(
                        connection, session.run.run_id, session.token, partition, list(versions.values())
                    )
        except InterlockError as error:
            if len(batch) > 1:
                pending += [{partition: versions} for partition, versions in batch.items()][::-1]
                continue
            result.is_overtaken |= isinstance(error, RefusedForNow) and error.refusal is Refusal.INPUT_REPLACED
            result.blocked += [
                _hindered(name, partition, error) for partition, versions in batch.items() for name in versions
            ]
        else:
            progress.published(batch, session.catalog)
            result.done += [(name, partition) for partition, versions in batch.items() for name in versions]
    return result


def _in_order(session: Session, rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Rows that begin with a dataset's name, inputs before what is built from them."""
    order = {name: position for position, name in enumerate(session.lineage.order)}
    return sorted(rows, key=lambda row: order[row[0]])
