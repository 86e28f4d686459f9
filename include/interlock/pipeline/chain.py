"""The whole chain in one process (the command line, rebuilds) or one phase of it at a time (the orchestrator)."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Sequence

from pydantic import BaseModel, ConfigDict

from interlock.contracts.loading import load_contracts
from interlock.db.connection import Role, statement
from interlock.errors import InterlockError, PermanentFailure, TransientFailure, UsageError
from interlock.pipeline import registry
from interlock.pipeline.runs import (
    Blocked,
    Outcome,
    Phase,
    Session,
    admitted,
    failure_message,
    is_retry_useful,
    resumed,
)

logger = logging.getLogger(__name__)

Progress = Callable[[Phase, Outcome], None]


class Report(BaseModel):
    """How a run ended: what it published, and what did not get through, with the first reason of each."""

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

    _check(domain, partitions)
    registry.register(load_contracts(), by)
    blocked: dict[tuple[str, str], Blocked] = {}
    key = f"{trigger}:{uuid.uuid4()}"
    with admitted(domain, partitions, run_key=key, trigger=trigger, by=by, is_one_process=True) as session:
        try:
            for phase, work in WORK.items():
                with session.phase(phase):
                    outcome = work(session)
                for item in outcome.blocked:
                    blocked.setdefault((item.dataset, item.partition), item)
                if progress:
                    progress(phase, outcome)
        except BaseException as error:
            _finish(session, "failed", f"{type(error).__name__}: {error}")
            raise
        published = session.connection(Role.OPERATOR).execute(statement("pipeline/published.sql"), {"run_id": session.run.run_id})
        done = tuple((dataset, partition) for dataset, partition in published)
        _finish(session, "failed" if blocked else "succeeded", failure_message(tuple(blocked.values())) or None)
        return Report(
            run_id=session.run.run_id, domain=domain, partitions=tuple(partitions),
            published=done, blocked=tuple(blocked.values()),
        )  # fmt: skip


def admit(domain: str, partitions: Sequence[str], *, run_key: str, trigger: str, by: str) -> int:
    """The orchestrator's first phase: register what changed and claim the partitions; returns the run's id."""
    _check(domain, partitions)
    registry.register(load_contracts(), by)
    with admitted(domain, partitions, run_key=run_key, trigger=trigger, by=by, is_one_process=False) as session:
        with session.phase(Phase.ADMIT):
            pass
        return session.run.run_id


def run_phase(phase: Phase, run_key: str) -> Outcome:
    """One later phase of an admitted run. A blocked partition is raised, so that the task that did it is red.

    Raises PermanentFailure where a rerun changes nothing, TransientFailure where it may.
    """
    from interlock.pipeline.phases import WORK

    with resumed(run_key) as session:
        try:
            with session.phase(phase):
                outcome = WORK[phase](session)
                if outcome.blocked:
                    raise _failure(outcome.blocked)
        except TransientFailure:
            raise
        except BaseException as error:
            _finish(session, "failed", f"{type(error).__name__}: {error}")
            raise
        if phase is Phase.PUBLISH_CURATED:
            _finish(session, "succeeded")
        else:
            _tell_owners()
        return outcome


def _failure(blocked: Sequence[Blocked]) -> InterlockError:
    kind = TransientFailure if is_retry_useful(blocked) else PermanentFailure
    return kind(
        failure_message(blocked), fix="`interlock explain DATASET --partition P` shows the evidence and what clears it."
    )


def _finish(session: Session, state: str, message: str | None = None) -> None:
    session.finish(state, message)
    _tell_owners()


def _tell_owners() -> None:
    """Send what is waiting to be told. An owner who cannot be reached now is told at the next end of a phase."""
    from interlock.safety import notices

    try:
        notices.drain()
    except InterlockError as error:
        logger.warning("owners were not told yet: %s", error)


def _check(domain: str, partitions: Sequence[str]) -> None:
    domains = sorted({contract.domain for contract in load_contracts().values()})
    if domain not in domains:
        raise UsageError(f"There is no domain {domain!r}.", fix=f"Use one of: {', '.join(domains)}.")
    if not partitions:
        raise UsageError("No partition was given.", fix="Give --partition P, or --from D and --to D.")
