"""A scratch copy of the live database, on the same server, gone afterwards: where drills may do what they like.

The copy is what `pg_dump` reads in one snapshot. It waits for nobody who works meanwhile, nor anybody for it, because
what it would lock and others want alone (workspaces of runs, candidates that are not published yet) is left out.

Whoever makes a copy stays connected to it. One that nobody is connected to was left by a process that was killed; the
next copy begins by dropping it. Roles belong to the server and not to a database, so the name of the one that a drill
makes is derived from the copy's, and goes with it.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from interlock.db.connection import Role, connect, database_url, dial, libpq_environment, secret_key, statement, url
from interlock.db.failures import translated
from interlock.errors import PermanentFailure, TransientFailure

if TYPE_CHECKING:
    from pathlib import Path

    from interlock.db.connection import Connection

MARK = "_drill_"
IS_SCRATCH = re.compile(rf".+{MARK}[0-9a-f]{{8}}")
LONGEST_NAME = 63
# A dump that waits for a lock makes those wait who come after it.
LOCK_SECONDS = 10
SHOWN_COMPLAINT = 800
PATIENCE_MILLISECONDS = 30_000


@contextmanager
def scratch_copy() -> Iterator[str]:
    """Copy the live database for the length of a block; yields the copy's name.

    Raises TransientFailure where the disk has no room for it, PermanentFailure where the administrator may make none.
    """
    with translated(), connect(Role.ADMIN, autocommit=True) as live:
        of = live.info.dbname
        _drop_stale(live, of)
        _require_room(live)
        suffix = f"{MARK}{secrets.token_hex(4)}"
        name = of[: LONGEST_NAME - len(suffix)] + suffix
        try:
            _create(name)
            with dial(database_url(name), Role.ADMIN, autocommit=True) as copy:
                _fill(live, name)
                copy.execute(statement("db/migrations/sql/01_roles.sql").encode())
                # No run goes on in a copy.
                copy.execute("update interlock.claim set expires_at = clock_timestamp()")
                yield name
        finally:
            with connect(Role.ADMIN, autocommit=True) as administrator:  # whatever interrupted the other connections
                _execute(administrator, "drop database if exists {} with (force)", name)
            drop_consumer(consumer_of(name))


def environment_of(name: str, state: Path) -> dict[str, str]:
    """The environment of a process whose database is a copy, and whose state is a folder of its own.

    It knows the live database by no name, and tells nobody of what it does.
    """
    roles = {f"INTERLOCK_{role.value.removeprefix('interlock_').upper()}_URL": role for role in Role}
    kept = {key: value for key, value in os.environ.items() if key not in roles}
    logins = {key: _moved(url(role), name) for key, role in roles.items() if os.environ.get(key)}
    return {
        **kept,
        **logins,
        "INTERLOCK_DATABASE_URL": database_url(name),
        "INTERLOCK_SECRET_KEY": secret_key(),
        "INTERLOCK_STATE_DIR": str(state),
        "INTERLOCK_AUDIT_ANCHOR_URL": str(state / "audit"),
        "INTERLOCK_NOTIFY_URLS": "{}",
    }


def require_scratch() -> None:
    """Raise PermanentFailure where the database of the settings is no scratch copy."""
    with translated(), connect(Role.CONSUMER) as connection:
        name = connection.info.dbname
    if IS_SCRATCH.fullmatch(name) is None:
        raise PermanentFailure(
            f"The database {name} is no scratch copy: what a drill does is done.",
            fix="Run `interlock drill`, which makes a copy first.",
        )


def consumer_of(name: str) -> str:
    """The consumer that a drill makes in a database of that name."""
    return f"drill_{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def drop_consumer(role: str) -> None:
    """Drop a drill's consumer, if it is there."""
    with translated(), connect(Role.ADMIN, autocommit=True) as connection:
        _execute(connection, "drop role if exists {}", role)


def _fill(live: Connection, name: str) -> None:
    """Pour one snapshot of the live database into the copy."""
    from interlock.db.embedded import programs

    dump = [str(programs() / "pg_dump"), "--no-publications", "--no-subscriptions"]
    dump += [f"--lock-wait-timeout={LOCK_SECONDS}s"]
    dump += [f"--exclude-schema={schema}" for schema in _schemas_left_out(live)]
    dump += [f"--exclude-table=versions.{table}" for table in _candidates(live)]
    fill = [str(programs() / "psql"), "--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1"]
    with tempfile.TemporaryFile() as said:
        out_of = os.environ | libpq_environment(url(Role.ADMIN))
        into = os.environ | libpq_environment(database_url(name))
        reader = subprocess.Popen(dump, env=out_of, stdout=subprocess.PIPE, stderr=said)  # noqa: S603
        try:
            writer = subprocess.Popen(  # noqa: S603
                fill, env=into, stdin=reader.stdout, stdout=subprocess.DEVNULL, stderr=said
            )
            if reader.stdout is not None:
                reader.stdout.close()  # or the reader would not notice that the writer has ended
            try:
                is_whole = (writer.wait(), reader.wait()) == (0, 0)
            finally:
                _end(writer)
        finally:
            _end(reader)
        said.seek(0)
        complaint = said.read().decode(errors="replace").strip()[-SHOWN_COMPLAINT:]
    if not is_whole:
        raise TransientFailure(
            f"The database could not be copied: {complaint}",
            fix="Nothing was changed. Run it again when nobody changes the tables themselves.",
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _schemas_left_out(live: Connection) -> list[str]:
    """Workspaces of runs, and what the administrator may not read."""
    rows = live.execute(
        "select quote_ident(n.nspname) from pg_namespace n"
        " where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'"
        r" and (n.nspname ~ '^run_\d+$' or not has_schema_privilege(n.oid, 'usage'))"
    )
    return [name for (name,) in rows]


def _candidates(live: Connection) -> list[str]:
    """Tables of versions that nothing is attached of yet: publishing needs them for itself."""
    rows = live.execute("select quote_ident(t.table_name) from interlock.version_table t where t.attached_at is null")
    return [name for (name,) in rows]


def _require_room(live: Connection) -> None:
    """Raise TransientFailure where a copy would leave less than the least; known of a server of our own alone."""
    from interlock.pipeline.disk_space import MEBIBYTE, rooms
    from interlock.settings import settings

    configured = settings()
    row = live.execute("select pg_database_size(current_database())").fetchone()
    size = int(row[0]) if row else 0
    for room in rooms(configured):
        if room.what == "the database" and room.free - size < configured.minimum_free_mb * MEBIBYTE:
            raise TransientFailure(
                f"There is no room for a copy of {size / MEBIBYTE:,.0f} MiB: {room.told}, of which"
                f" {configured.minimum_free_mb:,} MiB are to stay free.",
                fix="`interlock maintain` prunes what outlived its retention; or free space. The least is"
                " INTERLOCK_MINIMUM_FREE_MB.",
            )


def _create(name: str) -> None:
    import psycopg

    with connect(Role.ADMIN, autocommit=True) as maker:
        try:
            _execute(maker, "create database {} template template0", name)
        except psycopg.errors.InsufficientPrivilege as error:
            raise PermanentFailure(
                "The administrator's login may not create a database for the copy.",
                fix="Give it CREATEDB (`alter role ... createdb`).",
            ) from error
        except BaseException:
            # The server would go on, and finish it after we have dropped what is not there yet.
            with connect(Role.ADMIN, autocommit=True) as other:
                other.execute("select pg_terminate_backend(%s, %s)", [maker.info.backend_pid, PATIENCE_MILLISECONDS])
            raise


def _drop_stale(live: Connection, of: str) -> None:
    """Drop the copies that nobody is connected to."""
    import psycopg

    begins = of[: LONGEST_NAME - len(MARK) - 8] + MARK
    for (name,) in live.execute("select datname from pg_database where starts_with(datname, %s)", [begins]).fetchall():
        if IS_SCRATCH.fullmatch(name):
            with suppress(psycopg.errors.ObjectInUse, psycopg.errors.InvalidCatalogName):
                _execute(live, "drop database {}", name)
                drop_consumer(consumer_of(name))


def _moved(address: str, database: str) -> str:
    """The same login, to another database."""
    from urllib.parse import urlsplit

    return urlsplit(address)._replace(path=f"/{database}").geturl()


def _execute(connection: Connection, text: str, name: str) -> None:
    from psycopg import sql

    connection.execute(sql.SQL(text).format(sql.Identifier(name)))
