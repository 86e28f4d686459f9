"""Beside the versions: runs that never ended, workspaces, what was set aside, records and logs."""

from __future__ import annotations

import os

import psycopg
import pytest

from interlock.db.connection import Role
from interlock.pipeline import history
from interlock.pipeline.history import RunState
from interlock.recovery import maintenance
from interlock.settings import settings

DAY, NEXT = "2013-01-05", "2013-01-06"


def maintained(*, dry_run: bool = False) -> dict[str, int]:
    """What a maintenance prunes."""
    return {item.what: item.count for item in maintenance.maintain("tester", dry_run=dry_run).pruned}


def lapsed(owner, run):
    """The lease of a run ran out more than a day ago."""
    owner.execute("update interlock.claim set expires_at = now() - interval '25 hours' where run_id = %s", [run.run_id])


def test_a_run_that_never_ended_is_ended_once_nobody_can_come_back_to_it_and_keeps_nothing(filled, owner, age):
    lost, alive, recent = (filled.admit(*of) for of in (("shop", DAY), ("weather", DAY), ("shop", NEXT)))
    filled.workspace(lost)
    candidate = filled.build(lost, "fct_orders", DAY, amounts=(666,))
    filled.call(Role.OPERATOR, "start_phase", lost.run_id, "build", "30 min")
    age(filled)
    lapsed(owner, lost)
    owner.execute(
        "update interlock.claim set expires_at = now() - interval '1 hour' where run_id = %s", [recent.run_id]
    )
    said = maintenance.maintain("tester", dry_run=True)
    assert said.ended_runs == 1
    assert history.run(lost.run_id).state is RunState.NEVER_ENDED
    done = maintenance.maintain("tester")
    assert (done.ended_runs, done.pruned) == (1, said.pruned)
    ended = history.run(lost.run_id)
    assert (ended.state, ended.phases[-1].state) == (RunState.FAILED, "never_ended")
    assert ended.message.startswith("never ended; its lease ran out at ")
    assert [history.run(run.run_id).state for run in (alive, recent)] == [RunState.RUNNING, RunState.NEVER_ENDED]
    gone = "select pruned_at is not null from interlock.version where version = %s"
    assert owner.execute(gone, [candidate]).fetchone() == (True,)
    assert maintenance.maintain("tester").ended_runs == 0


def test_a_worker_who_wakes_up_in_a_run_that_was_ended_is_refused_and_a_retry_of_its_key_goes_on(filled, owner, age):
    late = filled.admit("shop", DAY, key="airflow:1")
    filled.workspace(late)
    age(filled)
    lapsed(owner, late)
    maintenance.maintain("tester")
    for call in (lambda: filled.load(late, "orders", DAY), lambda: filled.workspace(late)):
        with pytest.raises(psycopg.Error, match="no longer holds") as refused:
            call()
        assert refused.value.sqlstate == "IL005"
    _, late.token = filled.call(Role.OPERATOR, "start_phase", late.run_id, "load", "30 min")  # its next attempt
    found = history.run(late.run_id)
    assert (found.state, found.message) == (RunState.RUNNING, None)
    retried = filled.admit("shop", DAY, key="airflow:1")  # or the whole run once more
    filled.deliver(retried, "orders", DAY, (7,))
    filled.finish(retried)
    assert history.run(late.run_id).message == f"taken over by run {retried.run_id}"


def test_rows_that_were_set_aside_are_forgotten_with_their_load_and_never_before(filled, owner, age):
    run = filled.admit("shop", DAY)
    loads = []
    for amounts in ((1, 2, 3), (4, 5, 6)):
        loads.append(filled.load(run, "orders", DAY, amounts))
        filled.judge(run, loads[-1], DAY, quarantined=[{"row": row, "reasons": ["keys"]} for row in (1, 2)])
        filled.publish(run, DAY, loads[-1])
        assert filled.call(Role.OPERATOR, "discard_rows", "orders", DAY, [1], "no use", "tester") == 1
    filled.finish(run)
    age(filled)
    entries = "select load_id, count(*) from interlock.quarantined_row group by 1 order by 1"
    shown = "select count(*) from raw_shop.orders_accepted where _partition = %s"
    before = filled.rows(Role.DEVELOPER, shown, DAY)
    filled.call(Role.OPERATOR, "prune_row_quarantine", "90 days")
    assert owner.execute(entries).fetchall() == [
        (load, 2) for load in loads
    ]  # their rows are there and could be served
    owner.execute("update interlock.version set condemned_at = now(), pruned_at = now() where version = %s", loads[:1])
    assert maintained()["quarantined rows whose load is gone"] == 2
    assert owner.execute(entries).fetchall() == [(loads[1], 2)]
    assert owner.execute("select load_id, row_number from interlock.discarded_row").fetchall() == [(loads[1], 1)]
    assert filled.rows(Role.DEVELOPER, shown, DAY) == before


def test_records_of_refused_runs_go_like_those_of_finished_ones(filled, owner, age):
    said = ["key", "shop", [DAY], "schedule", "tester", "1 s", "RefusedForNow", "partition is held"]
    filled.call(Role.OPERATOR, "refuse_run", *said)
    maintenance.maintain("tester")
    assert [run.state for run in history.runs(last=1)] == [RunState.REFUSED]
    age(filled)
    assert maintained()["records of refused runs"] == 1
    assert RunState.REFUSED not in {run.state for run in history.runs()}


def test_workspaces_of_dead_runs_go_and_those_that_may_be_come_back_to_stay(filled, owner, age):
    dead, alive = filled.admit("shop", DAY, lease="1 ms"), filled.admit("shop", NEXT, lease="900 days")
    filled.as_(Role.ADMIN).execute("select interlock.open_workspace(%s, %s)", [alive.run_id, alive.token])
    filled.as_(Role.ADMIN).execute(f"create schema run_{dead.run_id} authorization interlock_owner".encode())
    age(filled, 2)
    paused = filled.admit("weather", DAY)
    filled.workspace(paused)
    filled.call(Role.OPERATOR, "finish_run", paused.run_id, "failed", "waits")
    assert maintained()["workspaces of dead runs"] >= 1
    names = {name for (name,) in owner.execute(r"select nspname from pg_namespace where nspname like 'run\_%'")}
    assert f"run_{dead.run_id}" not in names
    assert {f"run_{alive.run_id}", f"run_{paused.run_id}"} <= names
    with pytest.raises(psycopg.Error, match="may still come back"):
        filled.call(Role.OPERATOR, "prune_workspace", alive.run_id)


def test_quarantined_deliveries_go_when_nothing_is_open_on_their_partition(filled, owner, age):
    run = filled.admit("shop", DAY)
    loader = filled.as_(Role.LOADER)
    for day in (DAY, NEXT):
        filled.as_(Role.OPERATOR)
        with loader.transaction():
            loader.execute("create temp sequence if not exists interlock_row_number")
            claimed = run if day == DAY else filled.admit("shop", NEXT)
            arguments = [claimed.run_id, claimed.token, "orders", day, "orders.csv", "hash"]
            kept, _ = loader.execute(
                "select * from interlock.open_quarantine(%s, %s, %s, %s, %s, %s)", arguments
            ).fetchone()
            loader.execute("insert into raw_shop.quarantined_line (line) values ('a'), ('b')")
            loader.execute("select interlock.close_quarantine(%s, 2)", [kept])
        if day == NEXT:
            loader.execute(
                "select interlock.refuse_delivery("
                "%s, %s, 'orders', %s, 'orders.csv', 'hash', 'quarantined', 'Drift', 'm', 'c', '{}')",
                [claimed.run_id, claimed.token, day],
            )
        filled.finish(claimed)
    age(filled)
    report = maintained()
    assert (report["quarantined deliveries"], report["lines of those"]) == (1, 2)
    assert owner.execute("select count(*) from raw_shop.quarantined_line").fetchone() == (2,)
    assert owner.execute("select partition from interlock.quarantined_delivery").fetchall() == [(NEXT,)]


def test_phases_and_notices_go_and_those_of_open_causes_stay(filled, owner, age):
    held = filled.admit("shop", NEXT)
    for run in (filled.admit("shop", DAY), held):
        phase, _ = filled.call(Role.OPERATOR, "start_phase", run.run_id, "build", "30 min")
        filled.call(Role.OPERATOR, "end_phase", phase, "completed", 1)
    [(version, token)] = [
        (
            filled.rows(
                Role.OPERATOR,
                "select version from interlock.safety where dataset = 'fct_orders' and partition = %s",
                NEXT,
            )[0][0],
            filled.rows(Role.OPERATOR, "select token from interlock.run where run_id = %s", held.run_id)[0][0],
        )
    ]
    held.token = token
    filled.fail(held, version, NEXT)
    owner.execute("update interlock.run set state = 'failed', finished_at = now()")
    owner.execute("delete from interlock.claim")
    owner.execute("update interlock.notice set sent_at = now()")
    age(filled)
    report = maintained()
    assert owner.execute("select distinct run_id from interlock.phase").fetchall() == [(held.run_id,)]
    assert report["phases of finished runs"] == 1
    last = "select count(distinct (dataset_id, partition)), count(*) from interlock.notice where kind = 'unsafe'"
    kept = owner.execute(last).fetchone()
    assert kept[0] == kept[1] > 0  # the newest about each partition


def test_records_stay_unless_a_retention_is_set_for_them(filled, owner, replaced, monkeypatch):
    counts = "select (select count(*) from interlock.verdict), (select count(*) from interlock.delivery)"
    before = owner.execute(counts).fetchone()
    maintenance.maintain("tester")
    assert owner.execute(counts).fetchone() == before
    monkeypatch.setenv("INTERLOCK_KEEP_RECORDS_DAYS", "30")
    settings.cache_clear()
    said = maintained()
    assert {"verdicts", "records of deliveries", "accounts"} <= said.keys()
    verdicts, _ = owner.execute(counts).fetchone()
    assert verdicts == before[0] - said["verdicts"]
    served = (
        "select count(*) from interlock.partition p left join interlock.verdict v using (verdict_id)"
        " where p.version is not null and v.verdict_id is null"
    )
    assert owner.execute(served).fetchone() == (0,)
    assert filled.amounts("fct_orders", DAY) == [40]
    filled.rows(Role.CONSUMER, "select interlock.ask('fct_orders', %s)", DAY)


def test_task_logs_go_by_age_and_nothing_else_does(filled):
    logs = settings().state / "logs"
    old, young, other = (
        logs / name
        for name in ("dag_id=a/run_id=1/task_id=t/attempt=1.log", "dag_id=a/run_id=2/attempt=1.log", "postgres.log")
    )
    for file in (old, young, other):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("said")
    for file in (old, other):
        os.utime(file, (0, 0))
    assert maintained(dry_run=True) == {"files of task logs": 1}
    assert old.exists()
    maintenance.maintain("tester")
    assert not old.exists()
    assert not (logs / "dag_id=a" / "run_id=1").exists()
    assert young.exists()
    assert other.exists()
