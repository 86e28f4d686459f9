"""Asking for a task of any team's DAG: over HTTP where the platform has an address, else from its database.

The Airflow that runs the platform asks the database, and answers still come with the API stopped. A team's own Airflow
has the client alone, an address (`url`, or INTERLOCK_URL) and a token (INTERLOCK_TOKEN). Nothing here imports more than
the way that is taken needs. Both give the same answers, and raise the same: UsageError and other permanent failures for
what no repetition mends, CouldNotAsk where nobody could say.
"""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from interlock.errors import CouldNotAsk, PermanentFailure, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interlock.safety.answer import Answer

ASK_SECONDS = 30.0
ASK = "select interlock.ask(%s, partition) from unnest(%s::text[]) with ordinality p (partition, n) order by n"
NOT_OF_THIS_DATASET = "no_such_partition"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Question:
    """Are all of these partitions safe? `consumer` is the registered one that it is asked for."""

    dataset: str
    partitions: tuple[str, ...]
    url: str | None = None
    consumer: str | None = None

    @property
    def where(self) -> Question:
        """The same question with the address that the environment has, where the task has none."""
        return replace(self, url=self.url or os.environ.get("INTERLOCK_URL") or None)


def answers(question: Question) -> list[Answer]:
    """An answer for each partition, in their order."""
    found = _of_api(question) if question.url else _of_database(question)
    for answer in found:
        for reason in answer.reasons:
            if reason.code == NOT_OF_THIS_DATASET:
                raise UsageError(f"{answer.dataset} has no partition {answer.partition}. {reason.message}", fix=FIX)
    return found


async def answers_meanwhile(question: Question) -> list[Answer]:
    """The same without holding up whoever else waits in this process. Raises CouldNotAsk after ASK_SECONDS, too."""
    try:
        async with asyncio.timeout(ASK_SECONDS):
            return await (_meanwhile_of_api(question) if question.url else _meanwhile_of_database(question))
    except TimeoutError:
        raise CouldNotAsk(
            f"There was no answer within {ASK_SECONDS:.0f} s.", fix="Read this as *not safe*, and ask again."
        ) from None


def relied(question: Question, given: Sequence[Answer], who: str) -> None:
    """Leave on record that a run goes on because of these answers. Over HTTP whoever answers has recorded it."""
    if question.url:
        return
    from interlock.safety.reliances import Asker, Recorder, Via

    asker, recorder = Asker(who, Via.AIRFLOW, question.consumer), Recorder()
    for answer in given:
        recorder.note(asker.checked(answer))
    recorder.close()


FIX = 'Pass the partition that is meant: `partition="{{ ds }}"`, or `partition="all"` for a dataset without days.'


def _of_api(question: Question) -> list[Answer]:
    from interlock.client import Client

    with Client(url=question.url, consumer=question.consumer) as client:
        asked = ((question.dataset, partition) for partition in question.partitions)
        return [answer.require_current() for answer in client.safety_of(asked)]


async def _meanwhile_of_api(question: Question) -> list[Answer]:
    from interlock.client import AsyncClient

    async with AsyncClient(url=question.url, consumer=question.consumer) as client:
        return list(await client.safety_of((question.dataset, partition) for partition in question.partitions))


def _of_database(question: Question) -> list[Answer]:
    ask = _platform().ask
    if question.consumer is not None:
        _require_registered(question.consumer)
    return [ask(question.dataset, partition) for partition in question.partitions]


def _require_registered(consumer: str) -> None:
    """As the API has it: what is recorded under a name that nobody registered could not be told to anybody."""
    from interlock.safety.recall import consumers

    names = [known.name for known in consumers()]
    if consumer not in names:
        listed = (
            f"They are dbt's exposures: {', '.join(names)}." if names else "dbt's exposures are, and there are none."
        )
        raise UsageError(f"No consumer is registered as {consumer!r}.", fix=listed)


async def _meanwhile_of_database(question: Question) -> list[Answer]:
    platform = _platform()

    import psycopg

    from interlock.db.connection import Role, session_options, url

    target = await asyncio.to_thread(url, Role.CONSUMER)
    try:
        options = session_options(Role.CONSUMER)
        async with await psycopg.AsyncConnection.connect(target, autocommit=True, **options) as connection:
            cursor = await connection.execute(ASK, [question.dataset, list(question.partitions)])
            return [platform.answer_from(row[0]) for row in await cursor.fetchall()]
    except psycopg.Error as error:
        raise platform.unanswered(error) from error


def _platform() -> Any:
    try:
        from interlock.safety import answers as platform
    except ModuleNotFoundError as error:
        raise PermanentFailure(
            f"The platform is not installed here ({error.name} is missing), and nobody said where it is.",
            fix="Set INTERLOCK_URL and INTERLOCK_TOKEN for the workers and the triggerer of this Airflow.",
        ) from error
    return platform
