"""What a team's DAG asks before it acts: for which partition, and what becomes of the answer."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from interlock.errors import UsageError
from interlock.operators.occasions import PRECEDENCE, Occasion, Publication, partitions_of

ROOT = Path(__file__).parents[2]
FIFTH, SIXTH = datetime(2013, 1, 5, tzinfo=UTC), datetime(2013, 1, 6, 13, 45, tzinfo=UTC)
FLIGHTS, CARRIERS = "interlock://flight_operations/fct_flights", "interlock://flight_operations/dim_carriers"


def published(partition, uri=FLIGHTS, name="fct_flights"):
    return Publication(name, uri, {"interlock_mirror": True, "partition": partition})


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"argument": "2013-02-03", "parameter": "2013-02-04", "run_type": "scheduled", "interval_start": FIFTH}, "03"),
        ({"argument": "20130203"}, "03"),
        ({"argument": ["2013-02-03", "2013-02-04", "2013-02-03"]}, "03 04"),
        ({"argument": "all"}, "all"),
        ({"argument": "None", "parameter": "2013-02-04"}, "04"),
        ({"parameter": "2013-02-04", "publications": (published("2013-02-07"),)}, "04"),
        ({"key": "2013-02-06T00:00:00", "run_type": "scheduled", "interval_start": FIFTH}, "06"),
        ({"key": "2013-02-06"}, "06"),
        ({"run_type": "asset_triggered", "publications": (published("2013-02-07"), published("2013-02-08"))}, "07 08"),
        (
            {
                "run_type": "asset_triggered",
                "publications": (Publication("fct_flights", "s3://x", {"partition": "all"}),),
            },
            "all",
        ),
        (
            {
                "run_type": "asset_triggered",
                "publications": (
                    published("2013-02-09", "interlock://d/agg", "agg"),
                    published("all", CARRIERS, "dim"),
                ),
            },
            "09",
        ),
        ({"run_type": "scheduled", "interval_start": FIFTH, "logical_date": SIXTH}, "2013-01-05"),
        ({"run_type": "backfill", "interval_start": FIFTH, "logical_date": SIXTH}, "2013-01-05"),
        ({"run_type": "manual", "interval_start": FIFTH, "logical_date": SIXTH}, "2013-01-06"),
        ({"run_type": "operator_triggered", "logical_date": SIXTH}, "2013-01-06"),
        ({"run_type": "asset_materialization", "logical_date": SIXTH}, "2013-01-06"),
    ],
)
def test_the_partition_is_what_was_asked_for_then_what_was_published_then_the_runs_own_date(told, expected):
    found = partitions_of(Occasion(dataset="fct_flights", **told))
    assert [day.removeprefix("2013-02-") for day in found] == expected.split()


def test_the_order_of_these_rules_is_said_in_one_place():
    assert [rule.__name__ for rule in PRECEDENCE] == [
        "_argument", "_parameter", "_key", "_published", "_published_beside", "_begin_of_interval", "_picked_date",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({}, "does not say which partition of fct_flights"),
        ({"run_type": "scheduled", "logical_date": SIXTH}, "does not say"),
        ({"run_type": "asset_triggered", "logical_date": SIXTH, "interval_start": FIFTH}, "does not say"),
        (
            {"run_type": "asset_triggered", "publications": (published("all", CARRIERS, "dim_carriers"),)},
            "does not say",
        ),
        ({"run_type": "asset_triggered", "publications": (published("2013-02-07"), published(None))}, "names no part"),
        ({"run_type": "asset_triggered", "publications": (published(20130207),)}, "names no partition"),
        ({"run_type": "asset_triggered", "publications": (published("last night"),)}, "which is no partition"),
        ({"argument": "2013-02-30"}, "which is no partition"),
        ({"argument": "yesterday", "logical_date": SIXTH}, "which is no partition"),
        ({"argument": ["2013-02-03", "{{ ds }}"]}, "which is no partition"),
        ({"key": "2013-W05", "logical_date": SIXTH}, "The run's partition key is '2013-W05'"),
    ],
)
def test_a_run_that_has_nothing_to_go_by_is_refused_and_told_what_to_pass(told, said):
    with pytest.raises(UsageError, match=said) as refused:
        partitions_of(Occasion(dataset="fct_flights", **told))
    assert 'partition="{{ ds }}"' in refused.value.fix


def test_the_rules_know_every_kind_of_run_that_there_is(dag_bag):
    from airflow.utils.types import DagRunType

    assert {kind.value for kind in DagRunType} == {
        "backfill", "scheduled", "manual", "operator_triggered", "asset_triggered", "asset_materialization",
    }  # fmt: skip


def test_a_teams_dags_parse_and_ask_without_saying_which_partition(dag_bag):
    from airflow.dag_processing.dagbag import DagBag

    found = DagBag(dag_folder=str(ROOT / "tests" / "integration" / "dags"), safe_mode=False)
    assert (found.import_errors, found.captured_warnings) == ({}, {})
    wait, require = (found.dags["report"].get_task(name) for name in ("wait", "require"))
    assert (wait.partition, require.partition, wait.deferrable, wait.mode) == (None, None, True, "reschedule")
    assert (wait.downstream_task_ids, require.downstream_task_ids) == ({"require"}, {"act"})


def test_what_asks_is_named_after_what_it_asks_for_and_tried_again_where_nobody_could_say(dag_bag):
    from airflow.sdk import DAG

    from interlock.operators.consuming import SafeDataSensor, require_safe

    with DAG("team", schedule=None):
        task = require_safe("fct_flights", partition="{{ ds }}")
    with DAG("another", schedule=None, default_args={"retries": 7, "poke_interval": 5}):
        wait = SafeDataSensor(task_id="wait", dataset="fct_flights")
        once = require_safe("fct_flights", retries=0)
    assert (task.task_id, task.retries, once.retries) == ("require_safe_fct_flights", 3, 0)
    assert (wait.retries, wait.poke_interval) == (7, 5)
    assert set(task.template_fields) == {"dataset", "partition", "url", "consumer"}


@pytest.mark.parametrize("way_out", ["soft_fail", "never_fail"])
def test_a_sensor_that_would_skip_is_refused_because_some_tasks_run_after_what_was_skipped(dag_bag, way_out):
    from airflow.sdk import DAG

    from interlock.operators.consuming import SafeDataSensor

    with pytest.raises(ValueError, match="act on what is not safe"):
        SafeDataSensor(task_id="wait", dataset="fct_flights", **{way_out: True})
    with DAG("team", schedule=None, default_args={way_out: True}), pytest.raises(ValueError, match=way_out):
        SafeDataSensor(task_id="wait", dataset="fct_flights")


def test_a_wait_is_what_it_was_once_another_triggerer_takes_it_over(dag_bag):
    from airflow.sdk.module_loading import import_string

    from interlock.operators.consuming import SafeDataTrigger

    said = {
        "dataset": "d",
        "partitions": ["2013-01-05"],
        "url": None,
        "consumer": "board",
        "every": 5.0,
        "deadline": 9.5,
    }
    path, kept = SafeDataTrigger(**said).serialize()
    assert kept == said
    assert import_string(path)(**kept).serialize() == (path, said)


NOWHERE = "http://127.0.0.1:9"


def test_a_wait_that_nobody_answers_wakes_its_task_which_is_to_say_so(dag_bag, monkeypatch):
    from interlock.operators import consuming

    monkeypatch.setenv("INTERLOCK_TOKEN", "ilk_1_0")
    monkeypatch.setattr(consuming, "PATIENCE", 1)
    said = {"dataset": "fct_flights", "partitions": ["2013-01-05"], "url": NOWHERE, "consumer": None, "every": 1.0}
    waiting = consuming.SafeDataTrigger(**said, deadline=time.time() + 3600).run()
    assert asyncio.run(anext(waiting)).payload == "look"


@pytest.fixture
def running():
    """What a task of a run of 5 January is given."""
    run = SimpleNamespace(
        dag_id="team", run_type="scheduled", data_interval_start=FIFTH, logical_date=FIFTH, consumed_asset_events=[]
    )
    return {"dag_run": run, "params": {}}


@pytest.mark.parametrize("deferrable", [True, False])
def test_nobody_could_say_is_tried_again_and_an_unknown_dataset_is_not(
    dag_bag, database, running, monkeypatch, deferrable
):
    from airflow.sdk.exceptions import AirflowException, AirflowFailException

    from interlock.operators.consuming import RequireSafe, SafeDataSensor

    asking = [
        lambda **more: RequireSafe(task_id="require", dataset="fct_flihgts", **more),
        lambda **more: SafeDataSensor(
            task_id="wait", dataset="fct_flihgts", deferrable=deferrable, mode="poke", **more
        ),
    ]
    monkeypatch.setenv("INTERLOCK_TOKEN", "ilk_1_0")
    for task in asking:
        with pytest.raises(AirflowFailException, match="There is no dataset 'fct_flihgts'"):
            task().execute(running)
        with pytest.raises(AirflowException, match="not safe") as nobody:
            task(url=NOWHERE).execute(running)
        assert not isinstance(nobody.value, AirflowFailException)


def test_no_process_of_airflows_pays_for_the_plugin_nor_a_teams_airflow_for_the_platform(dag_bag):
    heavy = (
        "psycopg",
        "pydantic_settings",
        "uvicorn",
        "interlock.settings",
        "interlock.api",
        "interlock.client",
        "dbt",
    )
    script = (
        "import sys; import airflow.plugins_manager, airflow.sdk, airflow.timetables.interval\n"
        f"before = set(sys.modules); sys.path.insert(0, {str(ROOT / 'plugins')!r})\n"
        "import interlock_plugin, interlock.operators.consuming\n"
        f"print([name for name in {heavy} if name in set(sys.modules) - before])"
    )
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True, capture_output=True, text=True)
    assert ran.stdout.splitlines()[-1] == "[]"


def test_the_plugin_shows_the_page_and_mounts_the_api_that_is_behind_it(dag_bag):
    from airflow.plugins_manager import get_plugin_info

    plugin = next(found for found in get_plugin_info() if found["name"] == "interlock")
    assert [app["url_prefix"] for app in plugin["fastapi_apps"]] == ["/interlock"]
    assert [(view["url_route"], view["href"]) for view in plugin["external_views"]] == [("interlock", "/interlock/")]


def test_a_link_opens_the_page_inside_of_airflow_or_where_the_platform_is(dag_bag):
    from interlock.operators.mounting import page_address

    inside = page_address("dataset", "fct_flights", "2013-01-05")
    assert inside.endswith("/plugin/interlock/interlock/dataset/fct_flights/2013-01-05")
    assert page_address("a/b", served_at="http://there:8090/") == "http://there:8090/a%2Fb"
    assert page_address(domain="shop").endswith("/interlock/?domain=shop")


@pytest.mark.parametrize("given", [[], ["None"], ["2013-01-05", "None"], ["2013-01-05", ""]])
def test_nothing_in_a_list_of_partitions_is_left_out(given):
    with pytest.raises(UsageError):
        partitions_of(
            Occasion(
                "fct_flights", argument=given, run_type="scheduled", interval_start=datetime(2013, 1, 7, tzinfo=UTC)
            )
        )
