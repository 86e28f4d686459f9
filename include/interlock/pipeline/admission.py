"""Admission: the first phase of every run, and the record of a run that did not get past it.

What holds before a run may begin is asked before it takes its partitions. A run that is refused there never was one
to the database, and for a schedule that nobody watches that is the worst failure of all: nothing red, nothing run. So
a refusal is recorded like a run that ended, with the class and the words of what was raised, and logged in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from interlock import logs
from interlock.db.connection import Role, connect, embedded_server
from interlock.pipeline import disk_space, progress
from interlock.pipeline.runs import SAID_LENGTH, Outcome, Phase, Run, Session, said_but_not_raised, what_was_said
from interlock.settings import settings

# The claims of a run in one process fall free with that process, so their lease has only to outlast it.
ONE_PROCESS_LEASE = timedelta(hours=6)


@contextmanager
def admitted(run: Run, *, is_one_process: bool, require: Callable[[], object] = lambda: None) -> Iterator[Session]:
    """Admit a run and hold its partitions. Raises TransientFailure where another run holds one of them.

    `require` is what has to hold before. Whatever it raises, or the admission itself, is recorded as a refused run.
    """
    with Session(run, lease=ONE_PROCESS_LEASE if is_one_process else None) as session:
        with logs.bound(**run.ids, phase=Phase.ADMIT.value):
            seconds = progress.began(Phase.ADMIT)
            try:
                require()
                session.admit(is_one_process=is_one_process, preparing=timedelta(seconds=seconds()))
            except BaseException as error:
                progress.broke(Phase.ADMIT, error, what_was_said(error), seconds())
                _record(run, error, seconds())
                raise
        with logs.bound(**session.run.ids):
            with logs.bound(phase=Phase.ADMIT.value):
                progress.ended(Phase.ADMIT, Outcome(), seconds())
            yield session


def _record(run: Run, error: BaseException, seconds: float) -> None:
    """Leave a record of a refusal where the database can be reached; what keeps it from being left is logged."""
    if isinstance(error, disk_space.TooLittleSpace) and settings().is_embedded and not embedded_server().running_port:
        return  # to start a server on a disk that is full would make it worse
    with said_but_not_raised(), connect(Role.OPERATOR, autocommit=True) as connection:
        connection.execute(
            "select interlock.refuse_run(%s, %s, %s, %s, %s, %s, %s, %s)",
            [
                run.run_key, run.domain, list(run.partitions), run.trigger, run.actor, timedelta(seconds=seconds),
                type(error).__name__, what_was_said(error)[:SAID_LENGTH],
            ],
        )  # fmt: skip
