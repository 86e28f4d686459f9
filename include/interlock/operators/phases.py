"""One task, one phase: the operator adds what Airflow must know (red or retry), and nothing else.

Gates fail and never skip: a skipped gate once left a run green while its rows were wrong.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from interlock.errors import PermanentFailure, TransientFailure
from interlock.pipeline import chain
from interlock.pipeline.runs import Phase

if TYPE_CHECKING:
    from airflow.sdk import Context


class PhaseOperator(BaseOperator):
    """Runs one phase of a domain's pipeline for the partition of its DAG run.

    A permanent failure (a blocked gate, a refused file, an unsafe input) fails the task at once; a
    transient one (a file not there yet, a partition that another run holds) is retried by Airflow.
    """

    def __init__(self, *, domain: str, phase: Phase, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.domain = domain
        self.phase = phase

    def execute(self, context: Context) -> dict[str, Any]:
        """Carry out the phase; what it did goes to the task's log and return value, never its verdicts."""
        run = context["dag_run"]
        key = f"airflow:{run.dag_id}:{run.run_id}"
        try:
            if self.phase is Phase.ADMIT:
                partition = partition_of(
                    context["params"].get("partition"), run.run_type, run.data_interval_start, run.logical_date
                )
                by = f"airflow:{getattr(run, 'triggering_user_name', None) or run.run_type}"
                return {
                    "run_id": chain.admit(
                        self.domain, [partition], run_key=key, trigger=f"airflow {run.run_type}", by=by
                    )
                }
            outcome = chain.run_phase(self.phase, key)
        except TransientFailure as failure:
            raise AirflowException(str(failure)) from failure
        except PermanentFailure as failure:
            raise AirflowFailException(str(failure)) from failure
        return {"rows": outcome.rows, "done": [" ".join(item) for item in outcome.done]}


def partition_of(
    asked: str | None, run_type: str, interval_start: datetime | None, logical_date: datetime | None
) -> str:
    """The partition of a DAG run, by the first rule that applies.

    1. The run's `partition` parameter, where somebody gave one.
    2. A scheduled run, or one of a backfill: the day on which its data interval begins.
    3. A manual run with a logical date: that date. (Airflow infers the interval *before* it, which is
       not the day that the person picked.)
    Anything else is refused: a run that does not know its partition must not guess one.
    """
    if asked:
        try:
            return "all" if asked == "all" else date.fromisoformat(asked).isoformat()
        except ValueError:
            raise PermanentFailure(
                f"partition {asked!r} is no day", fix="Give it as YYYY-MM-DD, for example 2013-01-05."
            ) from None
    if str(run_type) in ("scheduled", "backfill") and interval_start is not None:
        return interval_start.date().isoformat()
    if logical_date is not None:
        return logical_date.date().isoformat()
    raise PermanentFailure(
        "this run has neither a partition nor a date",
        fix="Trigger it again with a logical date or the parameter `partition`.",
    )
