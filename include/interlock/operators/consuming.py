"""The question before a task of any team's DAG acts: is it safe?

    SafeDataSensor(task_id="wait", dataset="fct_flights") >> send_report()    # waits until it is
    require_safe("fct_flights") >> send_report()                              # fails where it is not

    @task
    def send_report():
        require_safe("fct_flights", "2013-01-05")                             # in a task: asks there and then

Without `partition` the run says which one is meant: see `interlock.operators.occasions`. A task goes on only upon a
*yes* that it got itself, at that moment, for every one of them. *No* fails at once and is not retried, or is waited
for; where nobody could say, the task is up for retry. Neither ever skips: some tasks run after what was skipped.

The sensor waits in the triggerer, without a process of its own. Where none runs, say `deferrable=False`: it then looks
again each time by itself.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import BaseOperator, BaseSensorOperator, get_current_context
from airflow.sdk.bases.sensor import PokeReturnValue
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSensorTimeout
from airflow.triggers.base import BaseTrigger, TriggerEvent

from interlock.errors import PermanentFailure, TransientFailure
from interlock.operators.asking import Question, answers, answers_meanwhile, relied
from interlock.operators.links import PartitionLink
from interlock.operators.occasions import occasion_of, partitions_of

if TYPE_CHECKING:
    from airflow.sdk import Context

    from interlock.safety.answer import Answer

logger = logging.getLogger(__name__)

FIELDS = ("dataset", "partition", "url", "consumer")
LOOKS_AGAIN = timedelta(seconds=30)
LEAST_SECONDS = 1.0
RETRIES, RETRY_DELAY = 3, timedelta(seconds=30)  # for who could not ask
PATIENCE = 5  # times that nobody could say, one after the other, before a wait becomes a retry
LATE = timedelta(minutes=2)  # a triggerer that has not said by then that the time is up is gone

Templates = str | Sequence[str] | None


@dataclass
class _Asking:
    """What a task asks, as its arguments were rendered; `question` is what its run made of that."""

    dataset: str
    partition: Templates
    url: str | None
    consumer: str | None
    question: Question | None = None

    def asked(self, context: Context) -> list[Answer]:
        """The answers. Failures come as those that Airflow knows to retry, or not to."""
        with _told_to_airflow():
            partitions = partitions_of(occasion_of(context, self.dataset, self.partition))
            self.question = Question(self.dataset, partitions, self.url or None, self.consumer or None).where
            given = answers(self.question)
        for answer in given:
            logger.info("%s %s is %s.", answer.dataset, answer.partition, answer.state.value)
        return given

    def required(self, context: Context) -> dict[str, Any]:
        """What was relied on. Fails, without retries, where something is not safe."""
        given = self.asked(context)
        if not is_safe(given):
            raise AirflowFailException(_refusal(given))
        return self.passed(context, given)

    def passed(self, context: Context, given: Sequence[Answer]) -> dict[str, Any]:
        """What was relied on, for the tasks after this one to read the same; it is on record from here on."""
        if self.question is not None:
            relied(self.question, given, f"airflow:{context['dag_run'].dag_id}")
        return in_short(given)


class RequireSafe(BaseOperator):
    """Fails where the partitions are not all safe, at once and without retries; returns what it relied on."""

    template_fields: Sequence[str] = FIELDS
    operator_extra_links = (PartitionLink(),)
    ui_color = "#d7ecdb"

    def __init__(
        self, *, dataset: str, partition: Templates = None, url: str | None = None, consumer: str | None = None,
        retries: int = RETRIES, retry_delay: timedelta | float = RETRY_DELAY, **keywords: Any,
    ) -> None:  # fmt: skip
        super().__init__(retries=retries, retry_delay=retry_delay, **keywords)
        self.dataset = dataset
        self.partition = partition
        self.url = url
        self.consumer = consumer

    def execute(self, context: Context) -> dict[str, Any]:
        """Ask once."""
        self.asking = _Asking(self.dataset, self.partition, self.url, self.consumer)
        return self.asking.required(context)


class SafeDataSensor(BaseSensorOperator):
    """Waits until the partitions are all safe, looking every `poke_interval`; fails when `timeout` is over."""

    template_fields: Sequence[str] = FIELDS
    operator_extra_links = (PartitionLink(),)
    ui_color = "#d7ecdb"

    def __init__(  # noqa: PLR0913  (a DAG's `default_args` reach what is named here, and no more)
        self, *, dataset: str, partition: Templates = None, url: str | None = None, consumer: str | None = None,
        deferrable: bool = True, mode: str = "reschedule", poke_interval: timedelta | float = LOOKS_AGAIN,
        retries: int = RETRIES, retry_delay: timedelta | float = RETRY_DELAY, **keywords: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            mode=mode, poke_interval=poke_interval, retries=retries, retry_delay=retry_delay, **keywords
        )  # fmt: skip
        if self.soft_fail or self.never_fail:
            raise ValueError(
                "A sensor with `soft_fail` or `never_fail` skips, and some tasks run after what was skipped: "
                "they would act on what is not safe. Leave them out."
            )
        self.dataset = dataset
        self.partition = partition
        self.url = url
        self.consumer = consumer
        self.deferrable = deferrable

    def execute(self, context: Context) -> Any:
        """Ask, and have the triggerer wait where the answer is no; by itself where it was told to."""
        if not self.deferrable:
            return super().execute(context)
        return self.look(context, None, time.time() + self.timeout)

    def poke(self, context: Context) -> PokeReturnValue:
        """One look; what was relied on, once all is safe."""
        self.asking = _Asking(self.dataset, self.partition, self.url, self.consumer)
        given = self.asking.asked(context)
        if not is_safe(given):
            self.log.info("It is waited for. %s", _refusal(given))
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=self.asking.passed(context, given))

    def look(self, context: Context, event: object, deadline: float) -> Any:  # noqa: ARG002
        """Ask, at first and whenever the triggerer wakes the task: its event is no answer that one may act on."""
        found = self.poke(context)
        if found.is_done:
            return found.xcom_value
        left = deadline - time.time()
        if left <= 0:
            raise AirflowSensorTimeout(f"It was not safe within {self.timeout:.0f} s; see above for the reasons.")
        question = cast("Question", self.asking.question)  # `poke` has asked it
        trigger = SafeDataTrigger(
            dataset=question.dataset, partitions=list(question.partitions), url=question.url,
            consumer=question.consumer, every=self.poke_interval, deadline=deadline,
        )  # fmt: skip
        backstop = timedelta(seconds=left) + LATE
        return self.defer(trigger=trigger, method_name="look", kwargs={"deadline": deadline}, timeout=backstop)


class SafeDataTrigger(BaseTrigger):
    """Wakes the task when all is safe, when the time is up, or when there is something that only it can say."""

    def __init__(
        self, *, dataset: str, partitions: list[str], url: str | None, consumer: str | None, every: float,
        deadline: float,
    ) -> None:  # fmt: skip
        super().__init__()  # type: ignore[no-untyped-call]
        self.question = Question(dataset, tuple(partitions), url, consumer)
        self.every = every
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """What another triggerer makes it from."""
        said = asdict(self.question) | {"partitions": list(self.question.partitions)}
        return f"{__name__}.{type(self).__name__}", said | {"every": self.every, "deadline": self.deadline}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Ask, sleep, ask again. Whatever ends it, the task asks anew."""
        unanswered = 0
        while (left := self.deadline - time.time()) > 0 and unanswered < PATIENCE:
            try:
                if is_safe(await answers_meanwhile(self.question)):
                    break
                unanswered = 0
            except TransientFailure as failure:
                unanswered += 1
                self.log.warning("It is waited on: %s", failure)
            except PermanentFailure as failure:
                self.log.warning("The task is to say so itself: %s", failure)
                break
            await asyncio.sleep(min(max(self.every, LEAST_SECONDS), left))
        yield TriggerEvent("look")  # type: ignore[no-untyped-call]


def require_safe(
    dataset: str, partition: Templates = None, *, url: str | None = None, consumer: str | None = None, **keywords: Any
) -> Any:
    """Where a DAG is written: a `RequireSafe` task, named `require_safe_<dataset>` unless `task_id` is given.

    In a running task: ask there and then, and return what it relied on. It raises as the task of its own does:
    AirflowFailException (no retries) where something is not safe, AirflowException where nobody could say.
    """
    asking = {"dataset": dataset, "partition": partition, "url": url, "consumer": consumer}
    try:
        context = get_current_context()
    except RuntimeError:
        return RequireSafe(**{"task_id": f"require_safe_{dataset}", **asking, **keywords})
    return _Asking(**asking).required(context)  # type: ignore[arg-type]  # each as it was given


def is_safe(given: Sequence[Answer]) -> bool:
    """Whether every one of them is a yes, and there is one."""
    return bool(given) and all(answer.safe for answer in given)


def in_short(given: Sequence[Answer]) -> dict[str, Any]:
    """What was relied on, as an XCom may carry it: `{dataset, partitions, versions, as_of, valid_until}`."""
    ends = [answer.valid_until for answer in given if answer.valid_until is not None]
    return {
        "dataset": given[0].dataset,
        "partitions": [answer.partition for answer in given],
        "versions": [answer.version for answer in given],
        "as_of": max(answer.as_of for answer in given).isoformat(),
        "valid_until": min(ends).isoformat() if ends else None,
    }


def _refusal(given: Sequence[Answer]) -> str:
    from interlock.client.refusals import NotSafe

    return str(NotSafe.by(given))  # type: ignore[arg-type]  # it reads what both kinds of answers have


@contextmanager
def _told_to_airflow() -> Iterator[None]:
    """Failures as Airflow's own: it must not retry what no repetition mends."""
    try:
        yield
    except TransientFailure as failure:
        raise AirflowException(str(failure)) from None
    except PermanentFailure as failure:
        raise AirflowFailException(str(failure)) from None
