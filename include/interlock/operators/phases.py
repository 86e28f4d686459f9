"""One task, one phase: the operator adds what Airflow must know (red or retry), and nothing else.

Gates fail and never skip: a skipped gate once left a run green while its rows were wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from interlock.errors import InterlockError, PermanentFailure, TransientFailure
from interlock.operators import mirrors
from interlock.operators.links import DomainLink
from interlock.pipeline import chain
from interlock.pipeline.runs import Phase

if TYPE_CHECKING:
    from airflow.sdk import Context

AUTOMATIC = ("scheduled", "backfill")


class PhaseOperator(BaseOperator):
    """Runs one phase of a domain's pipeline for the partition of its DAG run.

    A permanent failure (a blocked gate, a refused file, an unsafe input) fails the task at once; a
    transient one (a file not there yet, a partition that another run holds) is retried by Airflow.
    """

    operator_extra_links = (DomainLink(),)

    def __init__(self, *, domain: str, phase: Phase, days: tuple[date, date | None], **keywords: Any) -> None:
        super().__init__(**keywords)
        self.domain = domain
        self.phase = phase
        self.days = days

    def execute(self, context: Context) -> dict[str, Any]:
        """Carry out the phase; what it did goes to the task's log and return value, never its verdicts."""
        try:
            if self.phase is Phase.ADMIT:
                return {"run_id": self._admit(context)}
            outcome = chain.run_phase(self.phase, _key(context))
        except TransientFailure as failure:
            raise AirflowException(str(failure)) from None
        except PermanentFailure as failure:
            raise AirflowFailException(str(failure)) from None
        self.log.info("through: %s", ", ".join(map(" ".join, outcome.done)) or "nothing to do")
        if self.outlets:
            mirrors.write(context, self.outlets, _partition(context))
        return {"rows": outcome.rows, "done": [" ".join(item) for item in outcome.done]}

    def _admit(self, context: Context) -> int:
        run = context["dag_run"]
        kind = run.run_type.value
        asked = context["params"].get("partition")
        admit = partial(
            chain.admit,
            self.domain,
            run_key=_key(context),
            trigger=f"airflow {kind}",
            by=f"airflow:{getattr(run, 'triggering_user_name', None) or kind}",
        )
        try:
            partition = _partition(context)
        except PermanentFailure as failure:
            return admit([asked] if asked else [], require=partial(_refuse, failure))
        self.log.info("This run is for partition %s.", partition)
        return admit([partition], require=partial(_require_one_of, self.days, partition))

    def on_kill(self) -> None:
        """Give the partition free when somebody stops the task; else the next run would wait for the lease."""
        from airflow.sdk import get_current_context

        try:
            chain.abandon(_key(get_current_context()), "stopped by an operator")
        except InterlockError as failure:
            self.log.warning("The partition stays claimed until its lease runs out: %s", failure)


def _partition(context: Context) -> str:
    run = context["dag_run"]
    asked = context["params"].get("partition")
    return partition_of(asked, run.run_type.value, run.data_interval_start, run.logical_date)


def partition_of(
    asked: str | None, run_type: str, interval_start: datetime | None, logical_date: datetime | None
) -> str:
    """The partition of a DAG run, by the first rule of PRECEDENCE that gives one.

    Anything else is refused: a run that does not know its partition must not guess one.
    """
    for rule in PRECEDENCE:
        found = rule(asked, run_type, interval_start, logical_date)
        if found is not None:
            return found
    raise PermanentFailure(
        "this run has neither a partition nor a date",
        fix="Trigger it again with a logical date or the parameter `partition`.",
    )


def _asked_for(asked: str | None, *_: object) -> str | None:
    """The run's `partition` parameter, where somebody gave one."""
    if not asked:
        return None
    try:
        return "all" if asked == "all" else date.fromisoformat(asked).isoformat()
    except ValueError:
        raise PermanentFailure(
            f"partition {asked!r} is no day", fix="Give it as YYYY-MM-DD, for example 2013-01-05."
        ) from None


def _begin_of_interval(_: object, run_type: str, interval_start: datetime | None, __: object) -> str | None:
    """A scheduled run, or one of a backfill: the day on which its data interval begins."""
    is_automatic = run_type in AUTOMATIC and interval_start is not None
    return interval_start.date().isoformat() if is_automatic and interval_start else None


def _picked_date(_: object, __: str, ___: object, logical_date: datetime | None) -> str | None:
    """A run that a person started for a date: that date, and not the interval before it that Airflow infers."""
    return logical_date.date().isoformat() if logical_date else None


Rule = Callable[[str | None, str, datetime | None, datetime | None], str | None]
PRECEDENCE: tuple[Rule, ...] = (_asked_for, _begin_of_interval, _picked_date)


def _refuse(failure: PermanentFailure) -> None:
    raise failure


def _require_one_of(days: tuple[date, date | None], partition: str) -> None:
    """Refuse a day that the domain has no data of: the UI offers today, and 2013 was meant."""
    first, last = days
    if partition == "all" or (first <= date.fromisoformat(partition) <= (last or date.max)):
        return
    raise PermanentFailure(
        f"{partition} is not a day of this domain, which has data from {first} to {last or 'now'}",
        fix="Trigger it for one of its days: the logical date, or the parameter `partition`, says which.",
    )


def _key(context: Context) -> str:
    """What the platform knows this DAG run by; a cleared run is the same work, tried again."""
    run = context["dag_run"]
    return f"airflow:{run.dag_id}:{run.run_id}"
