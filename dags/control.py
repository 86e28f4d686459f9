"""
# Control

**What.** Every minute `interlock_control` takes every control action further that can go further: what nobody
answered in time expires, what was approved and not executed is carried out, recalls of what is served are looked for
beside the deliveries, and rules answer what was found meanwhile. It sets the pauses in Airflow that stand beside the
platform's own, and sees that for each action that waits for people one question is open here: a run of
`interlock_approval`, to be answered under *Required Actions*, with a reason. The same answer may be given at the
command line (`interlock action approve 17`); who is first has answered, and the other question is closed.

These DAGs are never paused: an approval that was given would not be carried out. A sweep, or maintenance, starts them
again.

**Who may answer.** Whose Airflow login was given the right: `interlock token create --airflow-login`. What somebody
else answers does not count: that run is red, and the question is asked again. By hand, for one action:

    {"action": 17}

**When it is red.** `take_further`: the database, or the landing folder of a feed, could not be asked; the log says
which. `tell_airflow`: Airflow's API could not be called as the platform's user (INTERLOCK_AIRFLOW_URL); approvals at
the command line go on. `record` of a question: the answer did not count.

**What a rerun does.** The same again; what was done stays done.
"""

from datetime import UTC, datetime, timedelta

from airflow.sdk import Param, dag, task

from interlock.control.pauses import APPROVAL, CONTROL
from interlock.operators.approvals import ASK, AskOperator

COMMON = {
    "doc_md": __doc__,
    "start_date": datetime(2013, 1, 1, tzinfo=UTC),
    "catchup": False,
    "is_paused_upon_creation": False,
    "tags": ["interlock"],
}


@dag(
    dag_id=CONTROL,
    description="Takes control actions further, mirrors pauses, asks people.",
    schedule="* * * * *",
    max_active_runs=1,
    default_args={"retries": 1, "retry_delay": timedelta(seconds=10)},
    **COMMON,
)
def control() -> None:
    @task(execution_timeout=timedelta(minutes=10))
    def take_further() -> list[str]:
        from interlock.operators import sweeping

        return sweeping.take_further()

    @task(execution_timeout=timedelta(minutes=10))
    def tell_airflow() -> list[str]:
        from interlock.operators import sweeping

        return sweeping.tell_airflow()

    # Leaves both of them: what Airflow cannot be told must not keep an action from being carried out.
    take_further()
    tell_airflow()


@dag(
    dag_id=APPROVAL,
    description="One question about one action, answered by a person.",
    schedule=None,
    # Each run waits for a person, and costs nothing while it does.
    max_active_runs=1_000,
    params={"action": Param(None, type=["null", "integer"], minimum=1, title="Action", description="Its number.")},
    **COMMON,
)
def approval() -> None:
    # However asking ended, an answer counts. One that comes in the second in which the question is put makes Airflow
    # fail the task that put it, and a retry would delete the answer and ask once more.
    @task(trigger_rule="all_done", retries=3, retry_delay=timedelta(seconds=20))
    def record(dag_run=None) -> dict:
        from interlock.operators import approvals, sweeping

        return approvals.record(sweeping.airflow(), dag_run.run_id, dag_run.conf)

    AskOperator(task_id=ASK, retries=0) >> record()


control()
approval()
