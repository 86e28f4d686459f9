"""
# What a team does that acts on data

`report` waits for a day, and acts on it; `reaction` acts upon what was published. Both ask before they do.
"""

from datetime import UTC, datetime, timedelta

from airflow.sdk import Asset, Param, dag, task

from interlock.operators.consuming import SafeDataSensor, require_safe

SOON = {"retries": 30, "retry_delay": timedelta(seconds=1)}
COMMON = {"start_date": datetime(2013, 1, 1, tzinfo=UTC), "catchup": False}


@dag(dag_id="report", schedule=None, params={"partition": Param(None, type=["null", "string"])}, **COMMON)
def report() -> None:
    @task(**SOON)
    def act() -> list[str]:
        return require_safe("agg_carrier_daily")["partitions"]

    wait = SafeDataSensor(task_id="wait", dataset="fct_flights", poke_interval=1, **SOON)
    wait >> require_safe("fct_flights", task_id="require", **SOON) >> act()


@dag(dag_id="reaction", schedule=[Asset(name="fct_flights", uri="interlock://flight_operations/fct_flights")], **COMMON)
def reaction() -> None:
    require_safe("fct_flights", task_id="require", **SOON)


report()
reaction()
