"""Every kind of action is carried out and taken back on real partitions, and everything is as it was before."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from interlock.cli import app
from interlock.control import actions, drilling, drills, scratch
from interlock.control.fingerprints import fingerprint
from interlock.control.kinds import KINDS, kind_of
from interlock.control.questions import ActionState
from interlock.control.records import Action
from interlock.db.connection import Role
from interlock.errors import Exit, PermanentFailure

DAY, NEXT = "2013-01-05", "2013-01-06"


def on_server(platform: Any) -> tuple[list[str], list[str]]:
    """Scratch databases and the consumers of drills that are on the server."""
    databases = "select datname from pg_database where position('_drill_' in datname) > 0"
    roles = "select rolname from pg_roles where starts_with(rolname, 'drill_')"
    return tuple([name for (name,) in platform.rows(Role.ADMIN, query)] for query in (databases, roles))


def republished(platform: Any) -> None:
    """A second version of the newest day of one dataset; nothing else was built from the first."""
    run = platform.admit("shop", NEXT)
    platform.renew(run, "price_list", NEXT, amounts=(5, 6, 7))
    platform.finish(run)


def test_every_kind_of_action_has_a_drill():
    assert {name for drill in drills.DRILLS for name in (drill.kind, kind_of(drill.kind).inverse)} >= set(KINDS)


@pytest.mark.parametrize("drill", drills.DRILLS, ids=lambda drill: drill.__name__)
def test_an_action_and_its_inverse_leave_everything_as_it_was(filled, drill):
    republished(filled)
    before = fingerprint()
    result = drilling.run(drill())
    assert (result.problem, result.needs) == (None, None)
    assert result.has_passed
    assert actions.find(kind=drill.kind)[-1].state is ActionState.ROLLED_BACK
    assert fingerprint() == before | {"the active policy": fingerprint()["the active policy"]}
    assert on_server(filled) == ([], [])


class Tampered(drills.Quarantine):
    """A drill in the middle of which somebody changes something that its inverse knows nothing of."""

    def __init__(self, platform: Any, *statements: str) -> None:
        self.platform = platform
        self.statements = statements

    def done(self, action: Action) -> str:
        told = super().done(action)
        for statement in self.statements:
            self.platform.session(Role.OWNER).execute(statement.encode())
        return told


def test_a_drill_notices_what_is_not_as_it_was(filled):
    tables = filled.rows(
        Role.AUDITOR,
        "select t.table_name from interlock.version_table t join interlock.partition p using (version)"
        " join interlock.dataset d using (dataset_id) where d.name = 'fct_orders' and p.partition = %s", DAY,
    )  # fmt: skip
    tampered = Tampered(
        filled,
        "grant insert on curated.fct_orders to interlock_developer",
        "grant execute on function interlock.serve_later to public",
        f"update versions.{tables[0][0]} set amount = amount + 1",
    )
    result = drilling.run(tampered)
    assert (result.is_identical, result.has_passed) == (False, False)
    for harm in ("rights on curated.fct_orders", "rights on function interlock.serve_later", "rows of safe.fct_orders"):
        assert harm in result.problem


def test_an_inverse_that_undoes_only_half_fails_its_drill(filled):
    result = drilling.run(
        Tampered(filled, "update interlock.partition set withdrawn_version = null, withdrawn_at = null")
    )
    assert (result.is_identical, result.undone) == (None, None)
    assert "is not quarantined" in (result.problem or "")


def test_a_drill_that_finds_nothing_to_act_on_says_what_it_needs_and_has_not_passed(filled):
    result = drilling.run(drills.Rollback())
    assert not result.has_passed
    assert "published twice" in (result.needs or "")


def test_no_drill_runs_in_a_database_that_is_no_copy(filled):
    before = filled.rows(Role.AUDITOR, "select count(*) from interlock.event")
    with pytest.raises(PermanentFailure, match="is no scratch copy"):
        drills.main([])
    assert filled.rows(Role.AUDITOR, "select count(*) from interlock.event") == before


def test_where_nothing_is_served_there_is_nothing_to_drill_on(platform):
    with pytest.raises(PermanentFailure, match="Nothing is served yet"):
        CliRunner().invoke(app, ["drill"], catch_exceptions=False)


def test_interlock_drill_passes_in_a_copy_and_leaves_the_live_database_alone(filled):
    republished(filled)
    stale = f"{filled.database.name}_drill_00000000"
    filled.as_(Role.ADMIN).execute(f"create database {stale}".encode())
    before = fingerprint(), filled.rows(Role.AUDITOR, "select count(*) from interlock.event")
    ended = CliRunner().invoke(app, ["drill", "--json"])
    assert ended.exit_code == Exit.OK, ended.output
    results = json.loads(ended.stdout)
    assert [result["kind"] for result in results] == [drill.kind for drill in drills.DRILLS]
    assert all(result["passed"] and result["is_identical"] for result in results)
    assert "a rule that might act waits for a person" in {result["done"] for result in results}
    assert (fingerprint(), filled.rows(Role.AUDITOR, "select count(*) from interlock.event")) == before
    assert on_server(filled) == ([], [])


def test_a_drill_that_is_interrupted_leaves_no_copy_behind(filled):
    acting = (
        "select from pg_stat_activity"
        " where position('_drill_' in datname) > 0 and application_name = 'interlock controller'"
    )
    command = [sys.executable, "-m", "interlock", "drill"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as drilling:
        deadline = time.monotonic() + 120
        while not filled.rows(Role.ADMIN, acting):
            assert time.monotonic() < deadline
            assert drilling.poll() is None
            time.sleep(0.005)
        drilling.send_signal(signal.SIGTERM)
    assert drilling.returncode == 143
    assert on_server(filled) == ([], [])


def test_a_copy_has_what_the_live_database_serves(filled):
    server = filled.database.url(Role.CONSUMER).rpartition("/")[0]
    with scratch.scratch_copy() as name, psycopg.connect(f"{server}/{name}") as copy:
        there = copy.execute("select amount from safe.fct_orders order by 1").fetchall()
        assert [amount for (amount,) in there] == filled.amounts("fct_orders")
        assert copy.execute("select interlock.is_safe('fct_orders', %s)", [DAY]).fetchone() == (True,)
