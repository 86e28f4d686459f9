"""The schema comes up by itself, once, for whoever connects first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path

import psycopg
import pytest

from interlock.db import consumers, migrations
from interlock.db.connection import LOGIN_ROLES, Role, connect
from interlock.errors import CouldNotAsk, PermanentFailure
from interlock.settings import settings


def test_the_first_connection_to_an_empty_database_migrates_it(empty_database):
    with connect(Role.OPERATOR) as connection:
        assert connection.execute("select current_user").fetchone() == ("interlock_operator",)
        assert migrations.is_current(connection)


def test_connections_that_come_at_once_migrate_only_once(empty_database):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: migrations.migrate(empty_database.administrator_url), range(4)))
    with connect(Role.ADMIN) as connection:
        assert connection.execute("select count(*) from interlock.schema_version").fetchone() == (1,)


def test_an_administrator_who_is_no_superuser_can_migrate(server, empty_database, monkeypatch):
    name = f"administrator_of_{empty_database.name}"
    server.run(
        "drop role if exists " + name,
        f"create role {name} login createrole password 'of their own'",
        f"alter database {empty_database.name} owner to {name}",
        # The session's roles were made by the superuser, who therefore hands on the right to manage them.
        f"grant {', '.join((*LOGIN_ROLES, Role.OWNER, 'interlock_reader', 'interlock_waived_reader'))} to {name}"
        " with admin true",
    )
    address = empty_database.administrator_url.partition("@")[2]
    monkeypatch.setenv("INTERLOCK_DATABASE_URL", f"postgresql://{name}:of%20their%20own@{address}")
    settings.cache_clear()
    for role in Role:
        with connect(role) as connection:
            assert connection.execute("select current_user").fetchone() is not None
    consumers.create(f"reader_of_{empty_database.name}", name)
    consumers.drop(f"reader_of_{empty_database.name}", name)


def test_every_session_is_in_utc_and_every_role_has_its_own_login(database):
    for role in LOGIN_ROLES:
        with database.connect(role) as connection:
            found = connection.execute("select session_user, current_setting('timezone')").fetchone()
            assert found == (role.value, "UTC")


def test_a_role_does_not_get_in_with_another_secret(database, monkeypatch):
    monkeypatch.setenv("INTERLOCK_SECRET_KEY", "another")
    settings.cache_clear()
    with pytest.raises(CouldNotAsk, match="password authentication failed"), connect(Role.CONSUMER):
        pass


def test_a_schema_from_the_future_is_refused(database):
    with database.connect(Role.ADMIN) as connection:
        connection.execute("update interlock.schema_version set version_num = '9999'")
    with connect_to(database) as connection, pytest.raises(PermanentFailure, match="9999"):
        migrations.is_current(connection)


def test_an_unreachable_database_is_could_not_ask_and_shows_no_password(monkeypatch):
    monkeypatch.setenv("INTERLOCK_DATABASE_URL", "postgresql://somebody:hidden@127.0.0.1:1/nowhere")
    monkeypatch.setenv("INTERLOCK_SECRET_KEY", "k")
    settings.cache_clear()
    with pytest.raises(CouldNotAsk) as raised, connect(Role.CONSUMER):
        pass
    assert "127.0.0.1:1/nowhere" in str(raised.value)
    assert "hidden" not in str(raised.value)


def test_every_sql_file_is_run_by_exactly_one_migration():
    folder = Path(str(resources.files(migrations)))
    code = "".join(file.read_text() for file in (folder / "versions").glob("*.py"))
    names = sorted(file.stem for file in (folder / "sql").glob("*.sql"))
    assert names[0] == "01_roles"  # run each time, before Alembic
    assert [name for name in names[1:] if code.count(f'"{name}"') != 1] == []


def connect_to(database) -> psycopg.Connection:
    return psycopg.connect(database.administrator_url)
