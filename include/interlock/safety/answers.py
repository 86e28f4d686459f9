"""Asking: is this dataset, or this partition of it, safe to act on?

The database derives the answer and this module carries it, in one shape, to whoever asks. It asks with
the rights of a consumer, so nothing can be said here that a consumer could not find out alone. An answer
that cannot be had, or that cannot be understood, is an error and never a "safe": a script that acts on
data must be able to tell *no* from *nobody could say*.
"""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from interlock.db.connection import Role, connect
from interlock.db.failures import failure_of
from interlock.errors import CouldNotAsk, Unknown, UsageError
from interlock.safety.answer import Answer

if TYPE_CHECKING:
    import psycopg

ALL = "all"


def ask(dataset: str, partition: str | None = None) -> Answer:
    """Ask as a consumer.

    Raises UsageError for a dataset that does not exist and a partition that cannot, CouldNotAsk where there
    is no answer.
    """
    return _asked(b"select interlock.ask(%s, %s)", dataset, partition)


def check(dataset: str, partition: str | None = None, consumer: str | None = None) -> Answer:
    """Ask, to act on the answer: the same, and the database notes under which login, and for which registered consumer.

    Raises UsageError for a consumer that is not registered, too.
    """
    # Nobody waits for the disk: a note that a crash took back is worth less than everybody's time.
    query = b"select interlock.check(%s, %s, %s, 'cli'), set_config('synchronous_commit', 'off', true)"
    return _asked(query, dataset, partition, consumer)


def _asked(query: bytes, dataset: str, partition: str | None, *more: str | None) -> Answer:
    import psycopg

    if partition is not None:
        require_partition(partition)
    try:
        with connect(Role.CONSUMER, autocommit=True) as connection:
            try:
                row = connection.execute(query, [dataset, partition, *more]).fetchone()
            except psycopg.errors.DatabaseError as error:
                failure = failure_of(error)
                if isinstance(failure, Unknown):
                    raise _unknown(connection, dataset) from error
                if isinstance(failure, UsageError):
                    raise failure from error
                raise
    except psycopg.Error as error:
        raise unanswered(error) from error
    return answer_from(row[0] if row else None)


def unanswered(error: psycopg.Error) -> CouldNotAsk:
    """What an asker is told where the database gave no answer, in our words and not in SQL's."""
    import psycopg

    if isinstance(error, psycopg.errors.InvalidSchemaName | psycopg.errors.UndefinedFunction):
        return CouldNotAsk(
            "There is nothing to ask in this database yet: Interlock was never run on it.",
            fix="Read this as *not safe*. `interlock migrate` sets it up, `interlock run` brings data in; or correct "
            "the address of the database (INTERLOCK_DATABASE_URL, INTERLOCK_CONSUMER_URL).",
        )
    return CouldNotAsk(
        f"The database did not answer: {error.diag.message_primary or str(error).strip()}",
        fix="Read this as *not safe*. `interlock doctor` checks the database.",
    )


def answer_from(document: Any) -> Answer:
    """The answer that the database gave; CouldNotAsk where it is none that this code understands."""
    try:
        return Answer.model_validate(document)
    except ValidationError as error:
        raise CouldNotAsk(
            f"The database's answer is not of a shape that this code knows ({error.error_count()} differences).",
            fix="Read this as *not safe*; bring checkout and database to the same version (`interlock migrate`).",
        ) from error


def require_partition(partition: str) -> None:
    """UsageError unless the partition is `all` or a day written as YYYY-MM-DD."""
    if partition == ALL:
        return
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", partition) is None:
            raise ValueError
        date.fromisoformat(partition)
    except ValueError:
        raise UsageError(
            f"{partition!r} is no partition.", fix="Give a day as YYYY-MM-DD, or `all` for a dataset without days."
        ) from None


def _unknown(connection: Any, dataset: str) -> UsageError:
    """The error for a name that does not exist, with those that are near."""
    import difflib

    names = [row[0] for row in connection.execute("select distinct dataset from interlock.safety order by 1")]
    near = difflib.get_close_matches(dataset, names, n=3, cutoff=0.5) or [name for name in names if dataset in name][:3]
    fix = f"Did you mean {' or '.join(near)}?" if near else "`interlock status` lists the datasets."
    return Unknown(f"There is no dataset {dataset!r}.", fix=fix)
