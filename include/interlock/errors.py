"""Failures, sorted by the one question that matters to whoever is woken: does running it again help?

Every error that reaches a person says what was found, where, and what to do next. An error that
is neither permanent nor transient is a fault of the platform and is shown as one.
"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes that scripts may rely on."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNSAFE = 3
    UNKNOWN = 4
    COULD_NOT_ASK = 5


class InterlockError(Exception):
    """A failure that says what was found (`message`) and what to do (`fix`)."""

    retry_helps = False
    exit_code = Exit.FAILED

    def __init__(self, message: str, *, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message}\n  What to do: {self.fix}" if self.fix else self.message


class PermanentFailure(InterlockError):
    """A rerun changes nothing until somebody changes the data, the contract or the code."""


class TransientFailure(InterlockError):
    """The same run may well succeed later: a file not there yet, a server restarting."""

    retry_helps = True


class CouldNotAsk(TransientFailure):
    """The platform could not be asked; the asker must read that as *not safe*."""

    exit_code = Exit.COULD_NOT_ASK


class UsageError(PermanentFailure):
    """The words of the call are off: an unknown dataset, a partition that is no date."""

    exit_code = Exit.USAGE


class Unknown(UsageError):
    """The call names what does not exist: a dataset, a run, an action."""
