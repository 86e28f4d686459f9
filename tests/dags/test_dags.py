"""What Airflow is given: the shape of every DAG, and the one rule that says which partition a run takes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest

from interlock.errors import PermanentFailure
from interlock.pipeline.runs import Phase

DOMAINS = ("airport_weather", "flight_operations")
FIFTH, SIXTH = datetime(2013, 1, 5, tzinfo=UTC), datetime(2013, 1, 6, tzinfo=UTC)


@pytest.fixture(params=DOMAINS)
def domain_dag(dag_bag, request):
    return dag_bag.dags[request.param]


def test_every_file_parses_without_errors_or_warnings(dag_bag):
    assert dag_bag.import_errors == {}
    assert dag_bag.captured_warnings == {}


def test_there_is_one_dag_for_each_domain_and_those_of_the_platform(dag_bag):
    assert sorted(dag_bag.dags) == [*DOMAINS, "interlock_approval", "interlock_control", "interlock_maintenance"]


def test_no_file_is_passed_over_by_an_airflow_that_looks_for_its_words(dag_bag):
    from airflow.dag_processing.dagbag import DagBag

    careful = DagBag(dag_folder=dag_bag.dag_folder, safe_mode=True)
    assert sorted(careful.dags) == sorted(dag_bag.dags)


def test_the_phases_are_nine_tasks_in_a_row(domain_dag):
    order = [phase.value for phase in Phase]
    assert len(order) == 9
    assert [task.task_id for task in domain_dag.topological_sort()] == order
    assert [task.downstream_task_ids for task in domain_dag.topological_sort()] == [
        *({name} for name in order[1:]),
        set(),
    ]


def test_nothing_runs_after_a_failed_task_whatever_becomes_of_it(domain_dag):
    assert {task.trigger_rule for task in domain_dag.tasks} == {"all_success"}
    assert {task.skip_on_exit_code for task in domain_dag.tasks if hasattr(task, "skip_on_exit_code")} == set()


def test_what_is_not_there_yet_is_waited_for(domain_dag):
    assert all(task.retries * task.retry_delay >= timedelta(minutes=5) for task in domain_dag.tasks)


def test_a_run_stands_for_the_day_of_its_data_interval(domain_dag):
    from airflow.timetables.base import TimeRestriction

    timetable = domain_dag.timetable
    restriction = TimeRestriction(earliest=domain_dag.start_date, latest=domain_dag.end_date, catchup=True)
    runs = []
    interval = None
    while (
        info := timetable.next_dagrun_info(last_automated_data_interval=interval, restriction=restriction)
    ) is not None:
        interval = info.data_interval
        runs.append(interval.start.date())
        assert interval.end - interval.start == timedelta(days=1)
    assert runs == [date(2013, 1, 1) + timedelta(days=number) for number in range(365)]


def test_todays_scheduler_does_not_chase_a_year_that_is_over(domain_dag):
    from airflow.timetables.base import TimeRestriction

    restriction = TimeRestriction(
        earliest=domain_dag.start_date, latest=domain_dag.end_date, catchup=domain_dag.catchup
    )
    assert domain_dag.catchup is False
    assert domain_dag.timetable.next_dagrun_info(last_automated_data_interval=None, restriction=restriction) is None


def test_a_run_with_todays_date_has_its_tasks_and_is_not_green_for_lack_of_them(domain_dag):
    # Airflow makes no task whose dates exclude the run's logical date, and calls a run without tasks a success.
    assert domain_dag.end_date is None
    assert all(task.end_date is None and task.start_date.year == 1970 for task in domain_dag.tasks)


def test_every_dag_and_every_phase_is_documented(dag_bag):
    for dag in dag_bag.dags.values():
        assert dag.doc_md.strip().startswith("# ")
        assert "What a rerun does." in dag.doc_md
        assert dag.description
    assert all(task.doc_md for name in DOMAINS for task in dag_bag.dags[name].tasks)
    assert '{"partition": "2013-01-05"}' in dag_bag.dags["flight_operations"].doc_md


def test_the_events_of_published_datasets_come_from_the_tasks_that_publish(domain_dag):
    announced = {task.task_id: {asset.name for asset in task.outlets} for task in domain_dag.tasks if task.outlets}
    assert sorted(announced) == ["publish_curated", "publish_staged"]
    assert all(name.startswith("stg_") for name in announced["publish_staged"])


def test_maintenance_shows_a_failed_rebuild_and_still_renews(dag_bag):
    dag = dag_bag.dags["interlock_maintenance"]
    assert {task.task_id for task in dag.tasks} == {"rebuild", "renew_and_tell", "prune", "mirror_pauses"}
    assert all(not task.downstream_task_ids and not task.upstream_task_ids for task in dag.tasks)
    assert dag.max_active_runs == 1
    assert dag.catchup is False


@pytest.mark.parametrize(
    ("asked", "run_type", "interval_start", "logical_date", "expected"),
    [
        ("2013-02-03", "manual", FIFTH, SIXTH, "2013-02-03"),
        ("2013-02-03", "backfill", FIFTH, FIFTH, "2013-02-03"),
        ("all", "manual", None, None, "all"),
        (None, "scheduled", FIFTH, FIFTH, "2013-01-05"),
        (None, "backfill", FIFTH, FIFTH, "2013-01-05"),
        (None, "manual", FIFTH, SIXTH, "2013-01-06"),
        ("", "manual", None, SIXTH, "2013-01-06"),
    ],
)
def test_the_partition_is_the_parameter_then_the_interval_then_the_picked_date(
    dag_bag, asked, run_type, interval_start, logical_date, expected
):
    from interlock.operators.phases import partition_of

    assert partition_of(asked, run_type, interval_start, logical_date) == expected


def test_the_order_of_these_rules_is_said_in_one_place(dag_bag):
    from interlock.operators.phases import PRECEDENCE

    assert [rule.__name__ for rule in PRECEDENCE] == ["_asked_for", "_begin_of_interval", "_picked_date"]


@pytest.mark.parametrize("asked", [None, "", "yesterday", "2013-02-30", "20130205x"])
def test_a_run_that_does_not_know_its_partition_guesses_none(dag_bag, asked):
    from interlock.operators.phases import partition_of

    with pytest.raises(PermanentFailure):
        partition_of(asked, "manual", None, None)


@pytest.mark.parametrize("day", ["2012-12-31", "2014-01-01", "2026-11-21"])
def test_a_day_that_the_domain_has_no_data_of_is_refused(dag_bag, day):
    from interlock.operators.phases import _require_one_of

    with pytest.raises(PermanentFailure, match="is not a day of this domain"):
        _require_one_of((date(2013, 1, 1), date(2013, 12, 31)), day)


@pytest.mark.parametrize("day", ["all", "2013-01-01", "2013-12-31"])
def test_the_first_and_the_last_day_are_days_of_the_domain(dag_bag, day):
    from interlock.operators.phases import _require_one_of

    _require_one_of((date(2013, 1, 1), date(2013, 12, 31)), day)


@pytest.mark.parametrize(("asked", "recorded"), [("2020-01-01", ["2020-01-01"]), ("someday", ["someday"]), (None, [])])
def test_a_run_that_airflow_may_not_begin_is_refused_where_it_leaves_a_record(dag_bag, monkeypatch, asked, recorded):
    from airflow.sdk.exceptions import AirflowFailException

    from interlock.operators import phases

    seen = []

    def admit(domain, partitions, *, require, **_):
        seen.append((domain, partitions))
        require()

    monkeypatch.setattr(phases.chain, "admit", admit)
    kind = SimpleNamespace(value="manual")
    run = SimpleNamespace(run_type=kind, data_interval_start=None, logical_date=None, dag_id="d", run_id="r")
    task = dag_bag.dags["airport_weather"].get_task("admit")
    with pytest.raises(AirflowFailException):
        task.execute({"dag_run": run, "params": {"partition": asked}})
    assert seen == [("airport_weather", recorded)]


@pytest.mark.parametrize("given", ["2013-1-5", "tomorrow", "2013-01-05T00:00:00Z"])
def test_airflow_refuses_a_parameter_that_is_no_partition_before_it_starts_a_run(domain_dag, given):
    from airflow.sdk.exceptions import ParamValidationError

    with pytest.raises(ParamValidationError):
        domain_dag.params.get_param("partition").resolve(given)
