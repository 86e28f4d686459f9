"""Rights, not manners: what each login role may do is refused by the database, statement by statement."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.types.json import Jsonb

from interlock.db.connection import LOGIN_ROLES, Role

DAY = "2013-01-05"
DENIED = ("42501", "IL010", "55000")

STATE_TABLES = (
    "partition",
    "verdict",
    "cause",
    "version",
    "load",
    "event",
    "claim",
    "run",
    "dataset",
    "clock",
    "notice",
    "rebuild",
    "input",
    "pin",
    "waiver",
    "action_notice",
)


def is_denied(platform, role, statement):
    """Whether the database refuses a statement for want of rights (or because the table is append-only)."""
    connection = platform.session(role)
    with pytest.raises(psycopg.Error) as caught:
        connection.execute(statement.encode())
    state = caught.value.sqlstate
    assert state in DENIED, f"{role}: {statement}: {state}"
    return True


@pytest.mark.parametrize("role", LOGIN_ROLES)
def test_no_role_writes_the_platforms_state_by_hand(filled, role):
    for table in STATE_TABLES:
        assert is_denied(filled, role, f"delete from interlock.{table}")
        assert is_denied(
            filled, role, f"insert into interlock.{table} overriding system value select * from interlock.{table}"
        )
        assert is_denied(filled, role, f"truncate interlock.{table}")
    assert is_denied(filled, role, "update interlock.partition set version = version")
    assert is_denied(filled, role, "update interlock.verdict set outcome = 'passed'")
    assert is_denied(filled, role, "update interlock.cause set cleared_at = now()")
    assert is_denied(filled, role, "update interlock.event set actor = 'nobody'")
    assert is_denied(filled, role, "alter table interlock.cause disable trigger all")
    assert is_denied(filled, role, "set role interlock_owner")


@pytest.mark.parametrize("role", LOGIN_ROLES)
def test_no_role_writes_to_what_is_published_or_sealed(filled, role):
    (child,), *_ = filled.rows(
        Role.OPERATOR,
        "select t.table_name from interlock.version_table t join interlock.version v using (version)"
        " join interlock.dataset d using (dataset_id) where d.name = 'fct_orders'",
    )
    for table in ("curated.fct_orders", "staged.stg_orders", f"versions.{child}", "safe.fct_orders"):
        assert is_denied(filled, role, f"insert into {table} select * from {table}")
        assert is_denied(filled, role, f"update {table} set amount = 0")
        assert is_denied(filled, role, f"delete from {table}")
        assert is_denied(filled, role, f"drop {'view' if table.startswith('safe') else 'table'} {table}")
    assert is_denied(filled, role, "create table safe.mine (id integer)")


@pytest.mark.parametrize("role", [r for r in LOGIN_ROLES if r is not Role.LOADER])
def test_only_the_loader_adds_to_raw(filled, role):
    assert is_denied(filled, role, "insert into raw_shop.orders (id) values ('1')")


@pytest.mark.parametrize(
    ("function", "arguments", "allowed"),
    [
        ("publish", "1, 1, 'x', '{}'", Role.PUBLISHER),
        ("record_verdicts", "1, 1, 1, '[]'", Role.GATE),
        ("seal", "1, 1, 'x', '{}', 'x'", Role.BUILDER),
        ("begin_load", "1, 1, 'x', 'x', null, 'x', 'x'", Role.LOADER),
        ("begin_execution", "1, 'x'", Role.CONTROLLER),
        ("move_action", "1, 'x', 'x', 'x'", Role.CONTROLLER),
        ("withdraw_version", "1", Role.CONTROLLER),
        ("serve_earlier", "1", Role.CONTROLLER),
        ("set_clock", "now(), 'x'", Role.OPERATOR),
        ("register_dataset", "'{}', 'x'", Role.OPERATOR),
        ("mark_notices_sent", "'{}'", Role.OPERATOR),
        ("mark_action_notices_sent", "'{}'", Role.OPERATOR),
    ],
)
def test_each_function_that_changes_something_is_one_roles(platform, function, arguments, allowed):
    for role in LOGIN_ROLES:
        if role is not allowed:
            assert is_denied(platform, role, f"select interlock.{function}({arguments})")


def test_what_only_the_database_itself_may_call_is_closed_to_everybody(platform):
    for call in (
        "open_cause(1, 1, 'x', 'x', 'x', 'x', '{}')",
        "attach('x', 'x', 1, 'x', null)",
        "decide_alone()",
        "settle(1, 1, 'x')",
        "is_partition_safe(1, 'x')",
        "dependants(1, 'x')",
    ):
        for role in (Role.CONSUMER, Role.BUILDER, Role.LOADER, Role.GATE, Role.PUBLISHER, Role.OPERATOR):
            assert is_denied(platform, role, f"select interlock.{call}")


def test_a_consumer_reads_safe_and_the_answers_and_nothing_else(filled):
    assert filled.amounts("fct_orders", DAY) == [1, 2]
    tables = filled.rows(
        Role.AUDITOR,
        "select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where c.relkind in ('r', 'v', 'p')"
        " and n.nspname not in ('safe', 'waived', 'pg_catalog', 'information_schema')"
        " and n.nspname !~ '^pg_t'"
        " and n.nspname || '.' || c.relname not in ('interlock.safety', 'interlock.standstill')",
    )
    assert len(tables) > 40
    for (table,) in tables:
        assert is_denied(filled, Role.CONSUMER, f"select from {table}")
    assert filled.rows(Role.CONSUMER, "select from waived.fct_orders") == []
    assert is_denied(filled, Role.CONSUMER, "create temp table mine (id integer)")


def test_a_role_of_ones_own_that_is_a_member_of_consumer_reads_the_same(filled):
    connection = filled.stack.enter_context(filled.database.connect(Role.ADMIN, autocommit=True))
    connection.execute("create role a_dashboard in role interlock_consumer")
    try:
        connection.execute("set role a_dashboard")
        assert connection.execute("select interlock.is_safe('fct_orders', %s)", [DAY]).fetchone() == (True,)
        assert connection.execute("select count(*) from safe.fct_orders").fetchone() == (4,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select from curated.fct_orders")
    finally:
        connection.execute("reset role")
        connection.execute("drop role a_dashboard")


def test_a_loader_cannot_say_which_load_a_row_belongs_to(filled):
    assert is_denied(filled, Role.LOADER, "insert into raw_shop.orders (id, _load_id) values ('1', 1)")
    assert is_denied(filled, Role.LOADER, "update raw_shop.orders set id = '1'")
    assert is_denied(filled, Role.LOADER, "delete from raw_shop.orders")
    assert is_denied(filled, Role.LOADER, "select nextval('interlock.version_id')")


def test_no_row_is_added_to_a_load_that_is_closed(filled):
    run = filled.admit("shop", DAY)
    filled.load(run, "orders", DAY)
    loader = filled.as_(Role.LOADER)
    loader.execute("set interlock.load_id = 1")
    with pytest.raises(psycopg.Error, check=lambda error: error.sqlstate == "IL010"):
        loader.execute("insert into raw_shop.orders (id) values ('1')")


def test_a_row_cannot_be_slipped_into_another_load_in_the_middle_of_a_statement(filled):
    """A setting could be changed between two rows of one INSERT; the session's own sequence value cannot."""
    before = filled.call(Role.CONSUMER, "ask", "orders", DAY)["version"]
    run = filled.admit("shop", DAY)
    loader = filled.as_(Role.LOADER)
    with loader.transaction():
        loader.execute("create temp sequence interlock_row_number")
        load = loader.execute(
            "select interlock.begin_load(%s, %s, 'orders', %s, null, 'f', 'h')", [run.run_id, run.token, DAY]
        ).fetchone()[0]
        loader.execute(
            "insert into raw_shop.orders (id, day)"
            f" select set_config('interlock.load_id', '{before}', true),"
            f" set_config('interlock.version_id', '{before}', true)"
        )
        loader.execute("select interlock.finish_load(%s, 1, 1, 'h')", [load])
    assert filled.rows(Role.GATE, f"select count(*) from raw_shop.orders where _load_id = {before}") == [(2,)]
    assert filled.rows(Role.GATE, f"select count(*) from raw_shop.orders where _load_id = {load}") == [(1,)]


@pytest.fixture
def workspace(filled):
    """A run with an open workspace and its inputs pinned."""
    run = filled.admit("shop", DAY)
    filled.workspace(run)
    filled.pin(run, "fct_orders")
    return run


def test_a_builder_writes_only_in_its_own_runs_workspace(filled, workspace):
    for schema in ("staged", "curated", "versions", "safe", "interlock", "raw_shop", "public"):
        assert is_denied(filled, Role.BUILDER, f"create table {schema}.mine (id integer)")
    assert is_denied(filled, Role.BUILDER, "create schema mine")


def test_a_sealed_candidate_is_out_of_its_builders_hands(filled, workspace):
    filled.make(workspace, "fct_orders", DAY)
    builder = filled.as_(Role.BUILDER)
    table = f"run_{workspace.run_id}.fct_orders"
    builder.execute(f"grant all on {table} to public, interlock_loader".encode())
    builder.execute(f"grant update (amount) on {table} to interlock_gate".encode())
    version = filled.seal(workspace, "fct_orders", DAY)
    for role in (Role.BUILDER, Role.LOADER, Role.GATE, Role.CONSUMER):
        for statement in (
            "insert into {} values (1)",
            "update {} set amount = 1",
            "delete from {}",
            "truncate {}",
            "drop table {}",
            "alter table {} owner to interlock_builder",
        ):
            assert is_denied(filled, role, statement.format(f"versions.fct_orders__v{version}"))
    assert is_denied(filled, Role.LOADER, f"select from versions.fct_orders__v{version}")
    assert is_denied(filled, Role.BUILDER, f"select from versions.fct_orders__v{version}")


def test_another_session_of_the_builder_cannot_write_after_the_seal_either(filled, workspace):
    filled.make(workspace, "fct_orders", DAY)
    other = filled.session(Role.BUILDER)
    other.execute("prepare late as " + f"insert into run_{workspace.run_id}.fct_orders values (9, '{DAY}', 9)")
    other.execute("execute late")
    version = filled.seal(workspace, "fct_orders", DAY)
    with pytest.raises(psycopg.Error):
        other.execute("execute late")
    assert filled.rows(Role.GATE, f"select count(*) from versions.fct_orders__v{version}") == [(3,)]


@pytest.mark.parametrize(
    "hidden",
    [
        "create index on {table} ({schema}.evil(amount))",
        "create index on {table} (amount) where {schema}.evil(amount) > 0",
        "alter table {table} add constraint c check ({schema}.evil(amount) > 0)",
        "alter table {table} alter column amount set default {schema}.evil(1)",
        "create trigger t before insert on {table} execute function {schema}.trick()",
        "create policy p on {table} using ({schema}.evil(amount) > 0)",
        "create statistics {schema}.s on ({schema}.evil(amount)), id from {table}",
    ],
)
def test_a_candidate_with_code_hung_on_it_is_not_sealed(filled, workspace, hidden):
    filled.make(workspace, "fct_orders", DAY)
    schema = f"run_{workspace.run_id}"
    builder = filled.as_(Role.BUILDER)
    builder.execute(f"create function {schema}.evil(integer) returns integer language sql immutable return 1".encode())
    builder.execute(
        f"create function {schema}.trick() returns trigger language plpgsql as 'begin return new; end'".encode()
    )
    builder.execute(hidden.format(table=f"{schema}.fct_orders", schema=schema).encode())
    with pytest.raises(psycopg.Error, check=lambda error: error.sqlstate == "IL007"):
        filled.seal(workspace, "fct_orders", DAY)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("alter table {} add column extra integer", "extra"),
        ("alter table {} drop column amount", "amount"),
        ("alter table {} alter column amount type text", "amount"),
        ("insert into {} values (1, '2013-01-06', 1)", "outside"),
        ("insert into {} values (1, null, 1)", "outside"),
        ("insert into {} values (1, '2013-02-05', 1)", "outside"),
        ("alter table {} rename to other", "no table"),
    ],
)
def test_a_candidate_that_is_not_what_its_contract_says_is_not_sealed(filled, workspace, change, told):
    filled.make(workspace, "fct_orders", DAY)
    filled.as_(Role.BUILDER).execute(change.format(f"run_{workspace.run_id}.fct_orders").encode())
    with pytest.raises(psycopg.Error, match=told, check=lambda error: error.sqlstate == "IL007"):
        filled.seal(workspace, "fct_orders", DAY)


def test_a_publisher_publishes_and_can_do_nothing_else_to_the_data(filled):
    for statement in ("select from curated.fct_orders", "select from raw_shop.orders", "create schema mine"):
        assert is_denied(filled, Role.PUBLISHER, statement)


def test_a_gate_reads_candidates_and_changes_none(filled, workspace):
    filled.make(workspace, "fct_orders", DAY)
    version = filled.seal(workspace, "fct_orders", DAY)
    assert filled.rows(Role.GATE, f"select amount from versions.fct_orders__v{version} order by 1") == [(1,), (2,)]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        filled.call(Role.GATE, "publish", workspace.run_id, workspace.token, DAY, [version])
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        filled.call(Role.BUILDER, "record_verdicts", workspace.run_id, workspace.token, version, Jsonb([]))
