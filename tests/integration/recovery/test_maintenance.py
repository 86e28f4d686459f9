"""What outlived its retention goes, what anything may still need stays, and no reader notices either."""

from __future__ import annotations

import os
import time

import psycopg
import pytest
from tests.integration.control.people import carried_out
from typer.testing import CliRunner

from interlock.cli import app
from interlock.db.connection import Role
from interlock.db.failures import Refused
from interlock.errors import TransientFailure
from interlock.recovery import maintenance

DAY, NEXT = "2013-01-05", "2013-01-06"
NEED = "a reader has been in the published table since before"


def pruned(report):
    return {item.what: item.count for item in report.pruned}


def left(report):
    return {(item.what, item.why): item.count for item in report.left}


def tables(owner, dataset="fct_orders"):
    """The versions of a dataset whose rows are still there."""
    found = owner.execute("select tablename from pg_tables where schemaname = 'versions'").fetchall()
    return sorted(int(name.split("__v")[1].split("__")[0]) for (name,) in found if name.startswith(f"{dataset}__v"))


def everything(owner):
    """All rows of all of the platform's tables, and the names of all tables."""
    names = owner.execute(
        "select format('%I.%I', schemaname, tablename) from pg_tables"
        " where schemaname not in ('pg_catalog', 'information_schema') order by 1"
    ).fetchall()
    return {
        name: owner.execute(f"select md5(string_agg(t::text, '|' order by t::text)) from {name} t").fetchone()
        for (name,) in names
    }


def test_replaced_versions_go_and_the_served_one_and_two_good_ones_before_it_stay(filled, owner, replaced):
    report = maintenance.maintain("tester")
    [(other_day,)] = filled.rows(
        Role.CONSUMER, "select version from interlock.safety where dataset = 'fct_orders' and partition = %s", NEXT
    )
    assert tables(owner) == sorted([other_day, *replaced[-3:]])
    assert pruned(report)["replaced versions"] > 0
    kept = 6 * 2  # of each dataset that was built again and again, the two before the last
    assert left(report)["replaced versions", "a rollback may serve it"] == kept
    assert filled.amounts("fct_orders", DAY) == [40]
    assert filled.state("fct_orders", DAY) == "safe"
    again = maintenance.maintain("tester")
    assert again.pruned == ()


def test_a_dry_run_says_the_same_and_changes_nothing(filled, owner, replaced):
    before = everything(owner)
    said = maintenance.maintain("tester", dry_run=True)
    assert everything(owner) == before
    done = maintenance.maintain("tester")
    assert pruned(said) == pruned(done)
    assert left(said) == left(done)


def test_what_is_young_stays(filled, owner, corrected):
    corrected(filled, 10, 20, 30, 40)
    before = tables(owner)
    assert maintenance.maintain("tester").pruned == ()
    assert tables(owner) == before


def _served(platform, versions):
    return versions[-1]


def _input_of_what_is_served(platform, versions):
    return platform.rows(
        Role.OPERATOR,
        "select i.input_version from interlock.input i join interlock.dataset d on d.dataset_id = i.input_id"
        " where i.version = %s and d.name = 'stg_orders'", versions[-1],
    )[0][0]  # fmt: skip


def _load_that_it_began_with(platform, versions):
    return platform.rows(
        Role.OPERATOR, "select version from interlock.safety where dataset = 'orders' and partition = %s", DAY
    )[0][0]


def _last_good(platform, versions):
    return versions[-2]


def _accepted_increment(platform, versions):
    return platform.rows(
        Role.OPERATOR,
        "select min(load_id) from interlock.load where delivered_on is null and state = 'accepted'"
        " and dataset_id = interlock.dataset_id_of('sizes')",
    )[0][0]


def _evidence_of_an_open_cause(platform, versions):
    run = platform.admit("shop", DAY)
    platform.workspace(run)
    version = platform.build(run, "fct_orders", DAY, amounts=(666,))
    platform.fail(run, version, DAY)
    platform.finish(run)
    return version


def _in_an_unfinished_run(platform, versions):
    run = platform.admit("shop", DAY)
    platform.workspace(run)
    return platform.build(run, "fct_orders", DAY, amounts=(666,))


@pytest.mark.parametrize(
    "needed",
    [_served, _input_of_what_is_served, _load_that_it_began_with, _last_good, _accepted_increment,
     _evidence_of_an_open_cause, _in_an_unfinished_run],
)  # fmt: skip
def test_what_is_needed_cannot_be_pruned_even_by_whoever_asks_for_it(filled, owner, age, replaced, needed):
    version = needed(filled, replaced)
    age(filled)
    before = everything(owner)
    with pytest.raises(psycopg.Error, match=f"version {version} may not be pruned") as refused:
        filled.call(Role.OPERATOR, "condemn", [replaced[0], version], 0, "tester")
    assert refused.value.sqlstate == "IL012"
    with pytest.raises(psycopg.Error, match="was not condemned"):
        filled.call(Role.OPERATOR, "prune_version", version)
    assert everything(owner) == before
    maintenance.maintain("tester")
    assert owner.execute("select condemned_at from interlock.version where version = %s", [version]).fetchone() == (
        None,
    )


def test_nothing_that_was_made_within_a_day_can_be_pruned(filled, corrected):
    versions = [version for _, version in corrected(filled, 10, 20, 30, 40)]
    with pytest.raises(psycopg.Error, match="made within the last day"):
        filled.call(Role.OPERATOR, "condemn", versions[:1], 1, "tester")


@pytest.mark.parametrize(
    "role", [Role.LOADER, Role.BUILDER, Role.GATE, Role.PUBLISHER, Role.CONSUMER, Role.DEVELOPER, Role.AUDITOR]
)
def test_only_the_operator_may_prune(platform, role):
    for call in (
        "condemn(array[1], 1, 'x')",
        "prune_version(1)",
        "prune_records('1 day')",
        "permit_pruning('interlock.event')",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            platform.as_(role).execute(f"select interlock.{call}".encode())
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        platform.as_(Role.OPERATOR).execute("select interlock.permit_pruning('interlock.event')")


def test_what_was_condemned_can_never_be_served_again(filled, replaced):
    [(load,)] = filled.rows(Role.OPERATOR, "select min(load_id) from interlock.load where partition = %s", DAY)
    filled.call(Role.OPERATOR, "condemn", [load], 2, "tester")
    for _ in range(2):
        with pytest.raises(Refused, match="was pruned and cannot be served"):
            carried_out("rollback_partition", "orders", DAY, version=load)
        assert filled.amounts("fct_orders", DAY) == [40]
        maintenance.maintain("tester")


def test_a_rollback_still_finds_the_last_good_version(filled, replaced):
    maintenance.maintain("tester")
    maintenance.maintain("tester")
    run = filled.admit("shop", DAY)
    load = filled.rows(
        Role.OPERATOR,
        "select max(load_id) from interlock.load where partition = %s and load_id <"
        " (select version from interlock.safety where dataset = 'orders' and partition = %s)",
        DAY,
        DAY,
    )[0][0]
    filled.finish(run)
    carried_out("rollback_partition", "orders", DAY, version=load)
    [(staged,)] = filled.rows(Role.OPERATOR, "select version from interlock.input where input_version = %s", load)
    carried_out("rollback_partition", "stg_orders", DAY, version=staged)
    carried_out("rollback_partition", "fct_orders", DAY, version=replaced[-2])
    assert filled.amounts("fct_orders", DAY) == [30]


def test_a_reader_who_is_idle_in_a_transaction_neither_waits_nor_holds_it_up(
    filled, owner, replaced, monkeypatch, corrected
):
    monkeypatch.setattr(maintenance, "DETACH_SECONDS", 0.2)
    monkeypatch.setattr(maintenance, "PATIENCE_SECONDS", 0.2)
    idle = filled.session(Role.CONSUMER, autocommit=False)
    filled.call(
        Role.OPERATOR, "condemn", replaced[:1], 2, "tester"
    )  # before the reader began, so that its detach is tried
    assert idle.execute("select amount from safe.fct_orders where day = %s", [DAY]).fetchall() == [(40,)]
    before = tables(owner)

    report = maintenance.maintain("tester")
    assert ("condemned versions", NEED) in left(report)
    assert tables(owner) == before
    idle.execute("set local lock_timeout = '1ms'")
    other = filled.session(Role.CONSUMER)
    for reader in (idle, other):
        assert reader.execute("select amount from safe.fct_orders where day = %s", [DAY]).fetchall() == [(40,)]
    assert owner.execute("select count(*) from pg_inherits where inhdetachpending").fetchone() == (1,)
    corrected(filled, 50)  # a publish goes on beside a detach that was interrupted
    assert filled.amounts("fct_orders", DAY) == [50]

    idle.commit()
    report = maintenance.maintain("tester")
    assert report.left == () or not any(item.is_for_next_time for item in report.left)
    assert owner.execute("select count(*) from pg_inherits where inhdetachpending").fetchone() == (0,)
    assert not set(replaced[:2]) & set(tables(owner))
    assert filled.amounts("fct_orders", DAY) == [50]


def test_a_snapshot_in_which_the_version_is_still_served_keeps_seeing_it(filled, owner, age, monkeypatch, corrected):
    monkeypatch.setattr(maintenance, "PATIENCE_SECONDS", 0.2)
    corrected(filled, 10)
    snapshot = filled.session(Role.CONSUMER, autocommit=False)
    snapshot.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    assert snapshot.execute("select 1").fetchone() == (1,)  # it has its snapshot, and no lock on any table
    corrected(filled, 20, 30, 40)
    age(filled)
    report = maintenance.maintain("tester")
    assert ("condemned versions", "a transaction is open that began before it was condemned") in left(report)
    assert snapshot.execute("select amount from safe.fct_orders where day = %s", [DAY]).fetchall() == [(10,)]
    snapshot.commit()
    before = len(tables(owner))
    assert pruned(maintenance.maintain("tester"))["versions that were condemned earlier"] > 0
    assert len(tables(owner)) < before


def test_a_maintenance_that_dies_anywhere_is_ended_by_the_next_one(filled, owner, replaced):
    """Killed by the database's side, at one statement after the other, until one maintenance gets through."""
    for at in range(1, 200):
        if _dies_at(filled, at):
            assert filled.amounts("fct_orders", DAY) == [40]
            assert filled.state("fct_orders", DAY) == "safe"
            continue
        break
    assert at > 8
    assert maintenance.maintain("tester").pruned == ()
    assert owner.execute(
        "select count(*) from interlock.version where condemned_at is not null and pruned_at is null"
    ).fetchone() == (0,)
    assert owner.execute("select count(*) from pg_inherits where inhdetachpending").fetchone() == (0,)
    assert owner.execute("select count(*) from interlock.pruning").fetchone() == (0,)
    assert replaced[0] not in tables(owner)


def _dies_at(platform, at):
    """Whether a maintenance in a process of its own was killed at its statement of that number."""
    child = os.fork()
    if child == 0:
        statements = 0
        execute = psycopg.Connection.execute

        def fatal(*arguments, **keywords):
            nonlocal statements
            statements += 1
            if statements == at:
                os.kill(os.getpid(), 9)
            return execute(*arguments, **keywords)

        psycopg.Connection.execute = fatal
        try:
            maintenance.maintain("killed")
            os._exit(0)
        except BaseException:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -9)
    deadline = time.monotonic() + 10
    while platform.rows(
        Role.OPERATOR, "select 1 from pg_locks where locktype = 'advisory' and objid = %s", maintenance.MAINTENANCE_LOCK
    ):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return status == -9


def test_only_one_maintenance_is_at_work(filled):
    held = filled.session(Role.OPERATOR)
    held.execute("select pg_advisory_lock(%s)", [maintenance.MAINTENANCE_LOCK])
    with pytest.raises(TransientFailure, match="Another maintenance"):
        maintenance.maintain("tester")


def test_raw_loads_that_nothing_stands_on_go_and_raw_stays_append_only(filled, owner, replaced):
    loads = "select count(distinct _load_id) from raw_shop.orders where day = %s"
    assert owner.execute(loads, [DAY]).fetchone() == (5,)
    assert pruned(maintenance.maintain("tester"))["raw loads"] == 2
    assert owner.execute(loads, [DAY]).fetchone() == (3,)
    for table in ("raw_shop.orders", "interlock.event", "interlock.verdict", "interlock.delivery"):
        with pytest.raises(psycopg.Error, match="append-only: delete is refused"):
            owner.execute(f"delete from {table}".encode())


def test_a_refused_candidate_goes_once_nothing_is_open_on_it_any_more(filled, owner, age, corrected):
    held = _evidence_of_an_open_cause(filled, [])
    age(filled)
    maintenance.maintain("tester")
    assert held in tables(owner)
    corrected(filled, 10)
    age(filled)
    assert pruned(maintenance.maintain("tester"))["held candidates"] == 1
    assert held not in tables(owner)


def test_a_candidate_over_several_months_goes_with_all_its_tables(filled, owner, age):
    days = ("2013-01-30", "2013-02-02")
    filled.fill(*days, weather=False)
    run = filled.admit("shop", *days)
    filled.workspace(run)
    held = filled.build(run, "fct_orders", *days)
    filled.finish(run)
    age(filled)
    maintenance.maintain("tester")
    named = "select count(*) from pg_class where relname like %s"
    assert owner.execute(named, [f"fct\\_orders\\_\\_v{held}%"]).fetchone() == (0,)


def test_a_maintenance_is_due_once_a_day(filled, age):
    assert maintenance.is_due()
    maintenance.maintain("tester")
    assert not maintenance.is_due()
    age(filled, 1)
    assert maintenance.is_due()


def test_the_command_says_what_it_did_and_what_it_left(filled, replaced):
    said = CliRunner().invoke(app, ["maintain", "--dry-run"])
    assert said.exit_code == 0
    assert "Would prune" in said.output
    assert "Left 12 replaced versions: a rollback may serve it." in said.output
    report = maintenance.Report.model_validate_json(CliRunner().invoke(app, ["maintain", "--json"]).output)
    assert not report.dry_run
    assert pruned(report)["replaced versions"] > 0
