"""The platform's own schema, brought from any earlier state to the present one.

Alembic keeps the order; what a migration does is SQL in a file. Before it, and each time, `sql/01_roles.sql`
makes the roles and the schema that Alembic's own table lives in, and the roles' passwords are set, hashed
on this side so that no server log ever holds one. The administrator may be a superuser or a role with
CREATEROLE that may create in the database.

Whether the schema is current is asked by every command, so that costs one SELECT: the newest version is
known from the files' names, and Alembic (half a second of imports) is loaded only when there is work.
"""

from __future__ import annotations

import time
from importlib import resources
from typing import TYPE_CHECKING

from interlock.db.connection import LOGIN_ROLES, Role, administrator_url, dial, password, statement
from interlock.errors import PermanentFailure

if TYPE_CHECKING:
    from sqlalchemy import Connection as SqlConnection

    from interlock.db.connection import Connection

VERSION_TABLE = "schema_version"
# One number for "the schema of Interlock is being migrated"; advisory locks are of one database.
MIGRATION_LOCK = 4_738_120
ATTEMPTS = 5


def versions() -> tuple[str, ...]:
    """The versions that this code knows, oldest first: `0001_spine.py` is `0001`."""
    files = resources.files(__name__).joinpath("versions").iterdir()
    return tuple(sorted(file.name.partition("_")[0] for file in files if file.name[:4].isdigit()))


def is_current(connection: Connection) -> bool:
    """Whether the schema is at the newest known version. A version that this code does not know is refused."""
    exists = connection.execute("select to_regclass(%s) is not null", [f"interlock.{VERSION_TABLE}"]).fetchone()
    if exists != (True,):
        return False
    found = connection.execute("select version_num from interlock.schema_version").fetchone()
    known = versions()
    if found is not None and found[0] not in known:
        raise PermanentFailure(
            f"The database's schema is at version {found[0]}, which this code (newest: {known[-1]}) does not know.",
            fix="Update the checkout to the version of Interlock that migrated this database.",
        )
    return found is not None and found[0] == known[-1]


def migrate(target: str | None = None) -> None:
    """Bring the schema up to date, in one transaction; whoever comes at the same time waits and finds it done."""
    import psycopg

    address = target or administrator_url()
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _migrate_once(address)
            return
        except psycopg.errors.InternalError_ as error:
            # Roles belong to the server: two databases migrated at once can collide on the same grant.
            if "concurrently updated" not in str(error) or attempt == ATTEMPTS:
                raise
            time.sleep(0.2 * attempt)
        except psycopg.errors.InsufficientPrivilege as error:
            raise PermanentFailure(
                f"The administrator's login may not set up the schema: {str(error).strip()}",
                fix="Give it CREATEROLE and CREATE on the database (and, where another administrator made the roles, "
                "ADMIN OPTION on them), or use the login that migrated first.",
            ) from error


def _migrate_once(address: str) -> None:
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    engine = create_engine("postgresql+psycopg://", creator=lambda: dial(address, Role.ADMIN), poolclass=NullPool)
    with engine.begin() as wrapped:
        connection: Connection = wrapped.connection.driver_connection  # type: ignore[assignment]
        connection.execute("select pg_advisory_xact_lock(%s)", [MIGRATION_LOCK])
        connection.execute(statement("db/migrations/sql/01_roles.sql").encode())
        set_passwords(connection)
        connection.execute("set local role interlock_owner")
        _upgrade(wrapped)


def set_passwords(connection: Connection) -> None:
    """Give every login role the password that the present secret derives."""
    from psycopg import sql

    for role in LOGIN_ROLES:
        name = role.value.encode()
        hashed = connection.pgconn.encrypt_password(password(role.value).encode(), name, b"scram-sha-256")
        connection.execute(
            sql.SQL("alter role {} password {}").format(sql.Identifier(role.value), sql.Literal(hashed.decode()))
        )


def _upgrade(connection: SqlConnection) -> None:
    """Let Alembic run what is missing, inside the transaction that is open."""
    import logging

    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    logging.getLogger("alembic").setLevel(logging.WARNING)
    with resources.as_file(resources.files(__name__)) as folder:
        script = ScriptDirectory(str(folder), version_locations=[str(folder / "versions")])
        newest = versions()[-1]
        with EnvironmentContext(Config(), script, fn=lambda found, _: script._upgrade_revs(newest, found)) as context:
            context.configure(connection=connection, version_table=VERSION_TABLE, version_table_schema="interlock")
            context.run_migrations()
