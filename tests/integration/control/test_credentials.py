"""Who acts: what a credential allows, when it no longer does, and who may know of it."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import psycopg
import pytest
from typer.testing import CliRunner

from interlock import logs, orchestration
from interlock.cli import app
from interlock.control import audit, credentials
from interlock.control.credentials import Grant, State
from interlock.control.questions import Actor, ActorKind, Right
from interlock.db.connection import LOGIN_ROLES, Role
from interlock.db.failures import Refusal, Refused
from interlock.errors import UsageError
from interlock.settings import settings

EVENTS = ("credential_created", "credential_revoked")


@pytest.fixture
def as_owner(database):
    """Change what only time or a fault could."""

    def change(statement, *values):
        with database.connect(Role.OWNER, autocommit=True) as connection:
            connection.execute(statement, values)

    return change


def grant(**changes):
    usual = {
        "person": "ada",
        "scopes": (Right.PROPOSE, Right.APPROVE),
        "domains": ("shop",),
        "lasts": timedelta(days=30),
    }
    return Grant(**usual | changes)


def given(**changes):
    return credentials.create(grant(**changes), "admin@host")


def expire(as_owner):
    as_owner(
        "update interlock.credential set created_at = created_at - interval '40 days',"
        " expires_at = created_at - interval '1 second'"
    )


def test_a_token_acts_as_its_person_with_its_scopes_in_its_domains_and_nowhere_is_its_secret(database, monkeypatch):
    made, token = given(person=" Ada@Example.com", domains=("weather", "shop", "shop"))
    ada = Actor(
        kind=ActorKind.PERSON, name="ada@example.com", on_behalf_of=None,
        domains=("shop", "weather"), rights=(Right.PROPOSE, Right.APPROVE),
    )  # fmt: skip
    assert credentials.authenticate(f" {token}\n") == made.actor == ada
    monkeypatch.setenv("INTERLOCK_TOKEN", token)
    settings.cache_clear()
    assert credentials.from_environment() == ada
    secret = token.split("_")[2]
    with database.connect(Role.OWNER) as connection:
        rows = connection.execute("select c::text from interlock.credential c").fetchall()
        rows += connection.execute("select e::text from interlock.event e").fetchall()
    assert [row for row in rows if secret in row[0]] == []


def test_what_is_no_token_unknown_expired_or_revoked_is_told_apart_and_never_repeated(database, as_owner):
    _, token = given()
    number, secret = token.split("_")[1:]
    with pytest.raises(UsageError, match="INTERLOCK_TOKEN is not set"):
        credentials.from_environment()

    def refusal(shown):
        with pytest.raises((UsageError, Refused)) as raised:
            credentials.authenticate(shown)
        told = f"{raised.value} {raised.value.__cause__}"
        assert secret[:20] not in told
        return told

    assert "no token" in refusal(token[:-1])
    assert "number is not that" in refusal(f"ilk_{int(number) + 1}_{secret}")
    assert "not known" in refusal(f"ilk_{number}_{secret[::-1]}")
    expire(as_owner)
    assert f"the token {number} of ada expired on" in refusal(token)
    assert "interlock token create --for ada --scope propose --scope approve --domain shop" in refusal(token)
    _, token = given()
    number, secret = token.split("_")[1:]
    credentials.revoke(int(number), "it was seen in a chat", "admin@host")
    assert f"the token {number} of ada was revoked on" in refusal(token)
    assert "chat" not in refusal(token)


def test_a_set_clock_gives_an_expired_token_no_life(database, as_owner):
    _, token = given()
    expire(as_owner)
    as_owner("select interlock.set_clock('2013-01-05T00:00:00Z', 'tester')")
    with pytest.raises(Refused, match="expired"):
        credentials.authenticate(token)


def test_one_person_is_one_actor_by_whatever_door(database):
    _, token = given(person="Ada")
    given(person="ada", airflow_login="Ada.L", scopes=(Right.APPROVE,))
    assert credentials.of_airflow("Ada.L").name == credentials.authenticate(token).name == "ada"
    for login in ("ada.l", "ada", ""):
        with pytest.raises(Refused, match="nobody's") as raised:
            credentials.of_airflow(login)
        assert f"interlock token create --for NAME --airflow-login '{login}'" in raised.value.fix


def test_a_login_in_airflow_is_one_persons_at_a_time(database, as_owner):
    first, token = given(airflow_login="shared")
    assert token is None
    with pytest.raises(Refused, match=f"that of ada \\(credential {first.credential_id}\\)") as raised:
        given(person="bob", airflow_login="shared")
    assert raised.value.refusal is Refusal.NOT_ENTITLED
    expire(as_owner)
    with pytest.raises(Refused, match="expired"):
        credentials.of_airflow("shared")
    second, _ = given(person="bob", airflow_login="shared")
    assert credentials.of_airflow("shared").name == "bob"
    assert [c.state for c in credentials.listed(is_all=True)] == [State.REVOKED, State.LIVE]
    credentials.revoke(second.credential_id, "left", "admin@host")
    with pytest.raises(Refused, match="revoked"):
        credentials.of_airflow("shared")
    given(person="eve", airflow_login="shared")
    assert credentials.of_airflow("shared").name == "eve"


def test_giving_and_taking_are_on_record_once_and_without_the_secret(database):
    made, _ = given(note="for the night shift")
    taken = credentials.revoke(made.credential_id, "left", "bob@host")
    assert credentials.revoke(made.credential_id, "again", "eve@host") == taken
    assert (taken.state, taken.revoked_by, taken.revoked_because) == (State.REVOKED, "bob@host", "left")
    created, revoked = (link for link in audit.trail() if link.kind in EVENTS)
    about = {"credential": made.credential_id, "person": "ada", "form": "token", "domains": ["shop"]}
    assert about | {"scopes": ["propose", "approve"], "note": "for the night shift"} == {
        key: value for key, value in json.loads(created.payload).items() if key != "expires_at"
    }
    assert (revoked.actor, json.loads(revoked.payload)["reason"]) == ("bob@host", "left")
    assert audit.verify().is_whole
    with pytest.raises(Refused, match="no credential 77"):
        credentials.revoke(77, "x", "y")


def test_nobody_reads_a_hash_and_each_function_is_for_the_role_whose_work_it_is(database):
    functions = {
        "create_credential": Role.OPERATOR,
        "revoke_credential": Role.OPERATOR,
        "authenticate_token": Role.CONTROLLER,
        "authenticate_airflow": Role.CONTROLLER,
        "live_credential": None,
    }
    with database.connect(Role.OWNER) as connection:

        def may(question, *values):
            return connection.execute(f"select {question}", values).fetchone()[0]

        for role in LOGIN_ROLES:
            assert not may("has_any_column_privilege(%s, 'interlock.credential', 'select, insert, update')", role)
            assert may("has_table_privilege(%s, 'interlock.credentials', 'select')", role) == (
                role in (Role.OPERATOR, Role.AUDITOR)
            )
            for function, whose in functions.items():
                allowed = may("has_function_privilege(%s, %s::regproc::oid, 'execute')", role, f"interlock.{function}")
                assert allowed == (role is whose), (role, function)
        columns = connection.execute("select * from interlock.credentials limit 0").description
    assert "hash" not in {column.name for column in columns}


def test_use_is_noted_not_more_than_once_a_minute(database, as_owner):
    made, token = given()

    def last_used():
        return credentials.listed()[0].last_used_at

    assert last_used() is None
    credentials.authenticate(token)
    first = last_used()
    credentials.authenticate(token)
    assert last_used() == first >= made.created_at
    as_owner("update interlock.credential set last_used_at = last_used_at - interval '2 minutes'")
    credentials.authenticate(token)
    assert last_used() > first


def test_a_grant_that_makes_no_sense_is_refused_with_all_that_is_wrong(database):
    with pytest.raises(UsageError) as raised:
        given(person="Анна", scopes=(), domains=(), lasts=timedelta(days=367), airflow_login="a\nb")
    assert len(raised.value.message.splitlines()) == 5
    with pytest.raises(UsageError, match="a run would pass for a person"):
        given(airflow_login=settings().airflow_user)


def test_a_token_is_in_no_log_and_is_not_handed_to_what_runs_without_its_holder(monkeypatch):
    token = f"ilk_7_{'0a' * 32}"
    monkeypatch.setenv("INTERLOCK_TOKEN", "mistyped-but-a-secret")
    settings.cache_clear()
    assert logs.hiding()(f"refused: {token}, mistyped-but-a-secret") == "refused: ***, ***"
    assert "INTERLOCK_TOKEN" not in orchestration.base_environment()


@pytest.mark.parametrize(
    "changes",
    [
        {"person": "Ada"},
        {"hash": b"short"},
        {"hash": None},
        {"airflow_login": "ada"},
        {"scopes": []},
        {"scopes": ["administer"]},
        {"scopes": ["read", None]},
        {"domains": []},
        {"domains": ["*", "shop"]},
        {"domains": ["shop,weather"]},
        {"domains": [None]},
        {"lasts": timedelta(days=367)},
        {"lasts": timedelta(0)},
        {"actor": ""},
    ],
    ids=str,
)
def test_the_database_itself_holds_no_nonsense(database, changes):
    usual = {
        "person": "ada", "hash": bytes(32), "airflow_login": None, "scopes": ["read"], "domains": ["shop"],
        "note": None, "lasts": timedelta(days=1), "actor": "me",
    }  # fmt: skip
    query = "select interlock.create_credential(%s, %s, %s, %s, %s, %s, %s, %s)"
    with database.connect(Role.OPERATOR, autocommit=True) as connection, connection.transaction(force_rollback=True):
        connection.execute(query, list(usual.values()))
    with database.connect(Role.OPERATOR) as connection, pytest.raises(psycopg.errors.CheckViolation):
        connection.execute(query, list((usual | changes).values()))


def test_the_laptops_owner_is_enrolled_once_under_their_own_name_and_never_again_when_revoked(
    database, as_owner, monkeypatch
):
    monkeypatch.setenv("LOGNAME", "CORP\\Ada Lovelace")
    made = credentials.enrol_laptop("admin")
    assert (made.person, made.domains, made.scopes) == ("corp-ada-lovelace", ("*",), tuple(Right))
    assert credentials.of_airflow("admin") == made.actor
    assert credentials.enrol_laptop("admin") is None
    expire(as_owner)
    again = credentials.enrol_laptop("admin")
    assert again.credential_id != made.credential_id
    credentials.revoke(again.credential_id, "nobody approves here", "ada@host")
    assert credentials.enrol_laptop("admin") is None


def test_the_command_gives_lists_and_revokes_and_prints_the_token_alone(database):
    def interlock(*words):
        return CliRunner().invoke(app, ["token", *words])

    created = interlock(
        "create", "--for", "Ada", "--scope", "propose", "--domain", "flight_operations", "--expires-in", "2w"
    )
    assert created.exit_code == 0
    token = created.stdout.strip()
    assert credentials.authenticate(token).rights == (Right.PROPOSE,)
    assert "ada, by a token: propose in flight_operations, until" in created.stderr
    assert "not shown again" in created.stderr
    assert token not in created.stderr
    by_login = interlock(
        "create", "--for", "ada", "--scope", "approve", "--domain", "*", "--airflow-login", "ada", "--json"
    )
    assert (json.loads(by_login.stdout)["airflow_login"], "token" in json.loads(by_login.stdout)) == ("ada", False)
    shown = json.loads(interlock("list", "--json").stdout)
    assert [(item["person"], item["form"]) for item in shown] == [("ada", "token"), ("ada", "airflow")]
    number = token.split("_")[1]
    assert "revoked" in interlock("revoke", number, "--reason", "lost").stdout
    listed = interlock("list").stdout
    assert ("approve in every domain" in listed, "by a token" in listed) == (True, False)
    assert "lost" in interlock("list", "--all").stdout


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--domain", "shop"], "read.*propose.*approve.*execute"),
        (["--scope", "approve", "--domain", "flight_operation"], "flight_operations"),
        (["--scope", "approve", "--domain", "*", "--expires-in", "soon"], "30d"),
        (["--scope", "approve", "--domain", "*", "--expires-in", "53w"], "at most a year"),
    ],
    ids=["no scope", "no such domain", "no span", "too long"],
)
def test_the_command_says_what_is_wrong_with_a_grant(database, options, told):
    ended = CliRunner().invoke(app, ["token", "create", "--for", "ada", *options])
    said = ended.output + str(ended.exception)
    assert ended.exit_code != 0
    assert re.search(told, said, re.DOTALL), said
    assert credentials.listed(is_all=True) == []
