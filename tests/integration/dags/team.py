"""
# What a team does with its data

Tasks of a team's own DAG that act on the platform; a run is of the one that its parameter `task` names.
"""

from datetime import UTC, datetime

from airflow.sdk import Param, dag, task

from interlock.operators.actions import (
    PausePipelineOperator,
    ProposeActionOperator,
    QuarantinePartitionOperator,
    ReleasePartitionOperator,
)

DAY = "{{ params.day }}"
ABOUT = {"dataset": "fct_flights", "partitions": DAY}


@dag(
    dag_id="team",
    schedule=None,
    start_date=datetime(2013, 1, 1, tzinfo=UTC),
    params={
        "task": Param("none", type="string"),
        "day": Param(None, type=["null", "string"]),
        "version": Param(None, type=["null", "integer"]),
    },
)
def team() -> None:
    @task.branch
    def chosen(params=None) -> str:
        return params["task"]

    chosen() >> [
        QuarantinePartitionOperator(
            task_id="quarantine",
            **ABOUT,
            version="{{ params.version }}",
            evidence=[{"kind": "failed_check", "count": "{{ 1 + 2 }}"}],
            rationale="A later check of {{ params.day }} failed.",
        ),
        ReleasePartitionOperator(task_id="release", **ABOUT, rationale="It was the check that was wrong."),
        ProposeActionOperator(
            task_id="waive",
            kind="waive",
            dataset="agg_carrier_daily",
            partitions=DAY,
            parameters={"consumer": "board", "lasts_hours": 200},
            rationale="The board meets.\n\n**Answers so far:**\n- ben: approve",
            wait_for_approval=False,
        ),
        ProposeActionOperator(
            task_id="waive_for_ever",
            kind="waive",
            dataset="agg_carrier_daily",
            partitions=DAY,
            parameters={"consumer": "board", "lasts_hours": 10_000},
            rationale="The board meets often.",
        ),
        PausePipelineOperator(task_id="pause", domain="airport_weather", rationale="Their sensors are down."),
        ProposeActionOperator(task_id="nonsense", kind="make_it_good", domain="airport_weather", rationale="Please."),
    ]


team()
