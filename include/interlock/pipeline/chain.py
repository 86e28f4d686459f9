"""The whole chain in one process (the command line, rebuilds) or one phase of it at a time (the orchestrator)."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Sequence

from pydantic import BaseModel, ConfigDict

from interlock.contracts.loading import load_contracts
from interlock.errors import InterlockError, PermanentFailure, TransientFailure, UsageError
from interlock.pipeline import disk_space, registry
from interlock.pipeline.admission import admitted
from interlock.pipeline.hindrances import Blocked, failure_message, is_retry_useful, where_to_look
from interlock.pipeline.runs import Outcome, Phase, Run, Session, resumed, said_but_not_raised, what_was_said

logger = logging.getLogger(__name__)

Progress = Callable[[Phase, Outcome], None]

# What passed a gate is published although a sibling failed it: whoever stops at the failure would leave it lying.
PUBLISHED_AFTER = {Phase.GATE_STAGED: Phase.PUBLISH_STAGED, Phase.GATE_CURATED: Phase.PUBLISH_CURATED}


class Report(BaseModel):
    """How a run ended: what it published above raw, and what did not get through."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: int
    domain: str
    partitions: tuple[str, ...]
    published: tuple[tuple[str, str], ...]
    blocked: tuple[Blocked, ...]

    @property
    def is_complete(self) -> bool:
        """Whether every partition of every dataset got through, or did not need to."""
        return not self.blocked


def run(domain: str, partitions: Sequence[str], *, trigger: str, by: str, progress: Progress | None = None) -> Report:
    """Take partitions of a domain from landing to curated in this process.

    Blocked partitions drop out, the others go on; the report names both. Raises TransientFailure where
    another run holds a partition, PermanentFailure where nothing could be started at all.
    """
    from interlock.pipeline.phases import WORK

    blocked: dict[tuple[str, str], Blocked] = {}
    key = f"{trigger}:{uuid.uuid4()}"
    asked = Run(run_key=key, domain=domain, partitions=tuple(partitions), trigger=trigger, actor=by)
    with admitted(asked, is_one_process=True, require=lambda: _prepare(asked)) as session:
        try:
            for phase, work in WORK.items():
                outcome = session.perform(phase, work)
                for item in outcome.blocked:
                    # What an earlier phase has said about the cause goes deeper than what a later one can see.
                    deeper = blocked.get(item.began_at, item)
                    blocked.setdefault((item.dataset, item.partition), deeper.holds_back(item.dataset, item.partition))
                if progress:
                    progress(phase, outcome)
            published = session.rows("published.sql")
        except BaseException as error:
            with said_but_not_raised():
                session.finish("failed", _said(error))
            _tell_owners()
            raise
        found = tuple(blocked.values())
        session.finish("failed" if found else "succeeded", failure_message(found) or None)
        _tell_owners()
        return Report(
            run_id=session.run.run_id, domain=domain, partitions=tuple(partitions),
            published=tuple((dataset, partition) for dataset, partition in published), blocked=found,
        )  # fmt: skip


def admit(
    domain: str,
    partitions: Sequence[str],
    *,
    run_key: str,
    trigger: str,
    by: str,
    require: Callable[[], object] = lambda: None,
) -> int:
    """The orchestrator's first phase: register what changed and claim the partitions; returns the run's id.

    `require` is what the orchestrator asks for itself: what it raises is a refusal like any other.
    """

    asked = Run(run_key=run_key, domain=domain, partitions=tuple(partitions), trigger=trigger, actor=by)

    def prepare() -> None:
        require()
        _prepare(asked)

    with admitted(asked, is_one_process=False, require=prepare) as session:
        return session.run.run_id


def run_phase(phase: Phase, run_key: str) -> Outcome:
    """One later phase of an admitted run. A blocked partition is raised, so that the task that did it is red.

    Raises PermanentFailure where a rerun changes nothing, TransientFailure where it may.
    """
    from interlock.pipeline.phases import WORK

    with resumed(run_key) as session:
        try:
            _require_phase_before(session, phase)
            outcome = session.perform(phase, WORK[phase])
            if outcome.blocked:
                if phase in PUBLISHED_AFTER:
                    WORK[PUBLISHED_AFTER[phase]](session)
                raise _failure(outcome.blocked)
        except BaseException as error:
            is_over = not isinstance(error, TransientFailure)
            with said_but_not_raised():
                session.finish("failed", _said(error)) if is_over else session.pause(_said(error))
            _tell_owners()
            raise
        if phase is Phase.PUBLISH_CURATED:
            session.finish("succeeded")
        _tell_owners()
        return outcome


def abandon(run_key: str, reason: str) -> None:
    """Give up a run that somebody stopped from outside, so that its partitions fall free at once."""
    with resumed(run_key) as session:
        session.stop(reason)
    _tell_owners()


def _require_phase_before(session: Session, phase: Phase) -> None:
    """Refuses a phase whose predecessor did not do its work: a task that was marked successful by hand did none."""
    order = list(Phase)
    before = order[order.index(phase) - 1]
    states = dict(session.rows("last_attempts.sql"))
    if states.get(before) != "completed":
        found = f"was recorded as {states[before]}" if before in states else "has not run"
        raise PermanentFailure(
            f"`{phase}` cannot run: `{before}` before it {found} in run {session.run.run_id}. Nothing was published.",
            fix=f"Clear the run from `{before}` on. Marking a task as successful does not do its work.",
        )


def _failure(blocked: Sequence[Blocked]) -> InterlockError:
    kind = TransientFailure if is_retry_useful(blocked) else PermanentFailure
    return kind(failure_message(blocked), fix=where_to_look(blocked))


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {what_was_said(error)}"


def _tell_owners() -> None:
    """Send what is waiting to be told. An owner who cannot be reached now is told at the next end of a phase."""
    from interlock.safety import notices

    try:
        notices.drain()
    except InterlockError as error:
        logger.warning("owners were not told yet: %s", error)


def _prepare(asked: Run) -> None:
    """What has to hold before a run may be admitted; contracts and lineage are made known."""
    catalog = load_contracts()
    domains = sorted({contract.domain for contract in catalog.values()})
    if asked.domain not in domains:
        raise UsageError(f"There is no domain {asked.domain!r}.", fix=f"Use one of: {', '.join(domains)}.")
    if not asked.partitions:
        raise UsageError("No partition was given.", fix="Give --partition P, or --from D and --to D.")
    disk_space.require_space()
    registry.register(catalog, asked.actor)
