"""However a phase ends, its record says how: the class of the failure, its message, and that the run is over."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from interlock import logs
from interlock.db.connection import Role
from interlock.errors import CouldNotAsk, InterlockError, PermanentFailure, TransientFailure
from interlock.pipeline.admission import admitted
from interlock.pipeline.hindrances import Blocked
from interlock.pipeline.runs import Outcome, Phase, Run, Session, resumed

DAY = "2013-01-05"
LATE = Blocked(dataset="orders", partition=DAY, reason="nothing was delivered", retry_helps=True)
BAD = Blocked(dataset="orders", partition=DAY, reason="2 keys are doubled")


def admitted_run(key: str = "the run") -> Any:
    """A run of one process."""
    asked = Run(run_key=key, domain="shop", partitions=(DAY,), trigger="test", actor="tester")
    return admitted(asked, is_one_process=True)


def raising(error: BaseException) -> Callable[[Session], Outcome]:
    def work(_: Session) -> Outcome:
        raise error

    return work


def phases(platform: Any) -> list[tuple[Any, ...]]:
    """What is recorded of every phase after the admission, and whether it has an end."""
    return platform.rows(
        Role.AUDITOR,
        "select phase, state, rows, failure_class, message, finished_at is not null from interlock.phase"
        " where phase <> 'admit' order by phase_id",
    )


@pytest.mark.parametrize(
    ("error", "recorded"),
    [
        (PermanentFailure("the model is wrong", fix="Mend it."), ("PermanentFailure", "the model is wrong")),
        (TransientFailure("a file is not there yet"), ("TransientFailure", "a file is not there yet")),
        (psycopg.errors.DeadlockDetected("deadlock detected"), ("TransientFailure", "deadlock detected")),
        (ValueError("nobody foresaw this"), ("ValueError", "nobody foresaw this")),
        (KeyError(), ("KeyError", "KeyError")),
        (KeyboardInterrupt(), ("KeyboardInterrupt", "interrupted from the keyboard")),
        (SystemExit(143), ("SystemExit", "ended by SIGTERM")),
        (SystemExit(7), ("SystemExit", "ended with exit code 7")),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_a_phase_that_broke_leaves_the_class_and_the_words_of_its_failure(
    platform: Any, error: BaseException, recorded: tuple[str, str]
):
    with admitted_run() as session, pytest.raises((type(error), InterlockError)):
        session.perform(Phase.LOAD, raising(error))
    [(phase, state, rows, kind, message, has_end)] = phases(platform)
    assert (phase, state, rows, kind, has_end) == ("load", "failed", None, recorded[0], True)
    assert message.split("\n")[0] == recorded[1]


@pytest.mark.parametrize(
    ("blocked", "state", "kind"),
    [
        ((), "completed", None),
        ((BAD,), "failed", "Blocked"),
        ((LATE,), "failed", "BlockedForNow"),
        ((LATE, BAD), "failed", "Blocked"),
    ],
)
def test_a_phase_that_was_blocked_says_whether_a_rerun_alone_may_mend_it(
    platform: Any, blocked: tuple[Blocked, ...], state: str, kind: str | None
):
    with admitted_run() as session:
        session.perform(Phase.LOAD, lambda _: Outcome(rows=5, blocked=blocked))
    [(_, ended, rows, recorded, message, has_end)] = phases(platform)
    assert (ended, rows, recorded, has_end) == (state, 5, kind, True)
    assert (message is None) is (not blocked)


def test_the_admission_is_a_phase_with_the_time_that_it_took(platform: Any):
    with admitted_run():
        pass
    [(state, took, since)] = platform.rows(
        Role.AUDITOR,
        "select p.state, p.finished_at - p.started_at, r.started_at = p.started_at"
        " from interlock.phase p join interlock.run r using (run_id) where p.phase = 'admit'",
    )
    assert (state, took.total_seconds() > 0, since) == ("completed", True, True)


def test_a_phase_that_looks_at_no_rows_records_none_rather_than_zero(platform: Any):
    with admitted_run() as session:
        session.perform(Phase.STAGE, lambda _: Outcome(done=(("stg_orders", DAY),)))
    assert phases(platform)[0][1:3] == ("completed", None)


def test_a_phase_that_lost_its_connection_is_recorded_over_a_new_one(platform: Any):
    def work(session: Session) -> Outcome:
        broken(platform, session, Role.OPERATOR)
        session.rows("published.sql")
        return Outcome()

    with admitted_run() as session:
        with pytest.raises(TransientFailure):
            session.perform(Phase.LOAD, work)
        session.finish("failed", "the server went away")
    [(_, state, _, kind, _, has_end)] = phases(platform)
    assert (state, has_end) == ("failed", True)
    assert kind in {"TransientFailure", "CouldNotAsk"}
    assert runs(platform) == [("failed", "the server went away")]


def test_a_phase_whose_end_was_lost_is_never_called_completed_over_a_new_connection(platform: Any):
    """The loader's last commits may be lost with a server that crashed; only the phase's own end waits for them."""

    def work(session: Session) -> Outcome:
        broken(platform, session, Role.OPERATOR)
        return Outcome(rows=1)

    with admitted_run() as session, pytest.raises((TransientFailure, CouldNotAsk)):
        session.perform(Phase.LOAD, work)
    assert phases(platform)[0][1] == "failed"


def test_a_run_ends_although_its_workspace_cannot_be_cleared_away_now(platform: Any):
    with admitted_run() as session:
        session.call(Role.BUILDER, "open_workspace", session.run.run_id, session.token)
        broken(platform, session, Role.BUILDER)
        session.finish("succeeded")
        left = f"run_{session.run.run_id}"
    assert runs(platform) == [("succeeded", None)]
    assert platform.rows(Role.AUDITOR, "select count(*) from interlock.claim") == [(0,)]
    exists = "select to_regnamespace(%s) is not null"
    assert platform.rows(Role.AUDITOR, exists, left) == [(True,)]
    with admitted_run("the next") as following:
        following.finish("succeeded")
    assert platform.rows(Role.AUDITOR, exists, left) == [(False,)]


def test_a_run_that_is_stopped_from_outside_ends_the_phase_that_was_under_way(platform: Any):
    session_id, _ = platform.call(Role.OPERATOR, "admit_run", "orchestrated", "shop", [DAY], "test", "tester", "30 min")
    lost, _ = platform.call(Role.OPERATOR, "start_phase", session_id, "load", "30 min")
    open_, _ = platform.call(Role.OPERATOR, "start_phase", session_id, "load", "30 min")
    with resumed("orchestrated") as session:
        session.stop("stopped by an operator")
    assert lost < open_
    assert [row[1:] for row in phases(platform)] == [
        ("started", None, None, None, False),  # of an earlier attempt nobody knows when it ended
        ("failed", None, "Stopped", "stopped by an operator", True),
    ]
    assert runs(platform) == [("failed", "stopped by an operator")]
    # The process that was stopped may still say that it is done.
    platform.call(Role.OPERATOR, "end_phase", open_, "completed", 5, None, None)
    assert phases(platform)[1][1] == "failed"


def test_what_is_logged_in_a_phase_carries_the_ids_of_its_run(platform: Any, caplog: pytest.LogCaptureFixture):
    written: list[dict[str, Any]] = []

    def work(_: Session) -> Outcome:
        from structlog.contextvars import get_contextvars

        written.append(get_contextvars())
        return Outcome(rows=4, blocked=(BAD,))

    with caplog.at_level(logging.INFO, logger=logs.PROGRESS), admitted_run() as session:
        session.perform(Phase.LOAD, work)
        run = session.run.run_id
    assert written == [{"run": run, "domain": "shop", "partition": DAY, "phase": "load"}]
    said = [(record.levelname, record.getMessage().split(":")[0].split(" in ")[0]) for record in caplog.records]
    assert said == [
        ("INFO", "admit began"), ("INFO", "admit completed"),
        ("INFO", "load began"), ("WARNING", "load"), ("ERROR", "load failed"),
    ]  # fmt: skip
    assert (caplog.records[-1].rows, caplog.records[-1].blocked) == (4, 1)


def broken(platform: Any, session: Session, role: Role) -> None:
    """The server ends a session's connection."""
    pid = session.connection(role).info.backend_pid
    assert platform.rows(Role.ADMIN, "select pg_terminate_backend(%s, 5000)", pid) == [(True,)]


def runs(platform: Any) -> list[tuple[Any, ...]]:
    return platform.rows(Role.AUDITOR, "select state, message from interlock.run order by run_id")
