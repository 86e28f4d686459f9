"""A refusal of the database becomes a failure that says whether a rerun helps, in one place."""

from __future__ import annotations

import psycopg
import pytest

from interlock.db.failures import Refusal, Refused, RefusedForNow, failure_of, translated
from interlock.errors import CouldNotAsk, Exit, PermanentFailure, TransientFailure, UsageError


class Diagnostic:
    """What the server says about an error."""

    def __init__(self, primary: str, hint: str | None = None) -> None:
        self.message_primary, self.message_hint = primary, hint


def error(state: str | None, message: str = "said", hint: str | None = None, kind: type[psycopg.Error] = psycopg.Error):
    """A database error with a SQLSTATE."""
    made = type("Raised", (kind,), {"sqlstate": state, "diag": Diagnostic(message, hint)})
    return made(message)


@pytest.mark.parametrize("refusal", list(Refusal))
def test_every_refusal_of_the_platform_is_one_of_its_failures(refusal):
    failure = failure_of(error(refusal, "what was found", "what to do"))
    assert failure is not None
    assert (failure.message, failure.fix) == ("what was found", "what to do")
    helps = refusal in {Refusal.PARTITION_HELD, Refusal.CLAIM_LOST, Refusal.INPUT_REPLACED}
    assert failure.retry_helps is helps
    if refusal in {Refusal.UNKNOWN_DATASET, Refusal.UNKNOWN_CONSUMER}:
        assert isinstance(failure, UsageError)
        assert failure.exit_code is Exit.USAGE
    else:
        assert isinstance(failure, RefusedForNow if helps else Refused)
        assert failure.refusal is refusal


@pytest.mark.parametrize("state", ["08006", "40P01", "40001", "53100", "53300", "57P01", "57014", "55P03"])
def test_what_time_mends_is_transient(state):
    assert isinstance(failure_of(error(state)), TransientFailure)


@pytest.mark.parametrize("state", ["42501", "23514", "22P02", "XX000"])
def test_what_nobody_foresaw_is_left_as_it_is(state):
    raised = error(state)
    assert failure_of(raised) is None
    with pytest.raises(psycopg.Error) as caught, translated():
        raise raised
    assert caught.value is raised


def test_a_lost_connection_could_not_ask():
    assert isinstance(failure_of(error(None, kind=psycopg.OperationalError)), CouldNotAsk)


def test_the_database_error_stays_behind_the_failure():
    raised = error("IL008")
    with pytest.raises(PermanentFailure) as caught, translated():
        raise raised
    assert caught.value.__cause__ is raised
