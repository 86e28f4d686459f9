"""Connections to the warehouse, each as the one role that the work at hand needs.

`connect(Role.LOADER)` is all that a caller writes: it finds the server (embedded, or the one that
`INTERLOCK_DATABASE_URL` names), starts the embedded one if need be, makes sure that the schema is
current, and logs in with a password that is derived from one secret. Roles have no shared login, so
what a role may not do is refused by the database and not by manners.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from interlock.db.failures import translated
from interlock.errors import CouldNotAsk, PermanentFailure
from interlock.settings import settings

if TYPE_CHECKING:
    import psycopg

    from interlock.db.embedded import EmbeddedServer

    Connection = psycopg.Connection[Any]

CONNECT_SECONDS = 10
# A transaction whose process stands still may hold what every domain waits for. The longest pause of a living one is
# the opening of a delivery far away.
WRITER_IDLE_SECONDS = 60
# A machine that vanished says nothing. After so many seconds of silence either side begins to ask, this often, and
# gives up after so many questions.
SILENCE_SECONDS, QUESTION_SECONDS, QUESTIONS = 30, 10, 3


class Role(StrEnum):
    """Who may do what. Each but the first two has a login of its own, made by the migrations."""

    ADMIN = "admin"  # whoever the embedded server or INTERLOCK_DATABASE_URL names; migrations only
    OWNER = "interlock_owner"  # no login: the administrator acting as the owner
    LOADER = "interlock_loader"
    BUILDER = "interlock_builder"
    GATE = "interlock_gate"
    PUBLISHER = "interlock_publisher"
    OPERATOR = "interlock_operator"
    CONTROLLER = "interlock_controller"
    AUDITOR = "interlock_auditor"
    CONSUMER = "interlock_consumer"
    DEVELOPER = "interlock_developer"


WRITERS = (Role.LOADER, Role.BUILDER, Role.GATE, Role.PUBLISHER, Role.OPERATOR, Role.CONTROLLER)
LOGIN_ROLES = tuple(role for role in Role if role not in (Role.ADMIN, Role.OWNER))


@contextmanager
def connect(role: Role, *, autocommit: bool = False) -> Iterator[Connection]:
    """A connection as `role`, in UTC: committed at the end, rolled back on an error, closed either way.

    Raises CouldNotAsk where the database cannot be reached; asked for safety, that reads as *not safe*. While the API
    serves (db/pools.py) it is one that is kept, and goes back in place of being closed.
    """
    from interlock.db import pools

    kept = pools.installed()
    if kept is not None and role in LOGIN_ROLES:
        with kept.borrowed(role, autocommit=autocommit, dial=lambda: open_connection(role)) as connection:
            yield connection
        return
    with open_connection(role, autocommit=autocommit) as connection:
        yield connection


def open_connection(role: Role, *, autocommit: bool = False) -> Connection:
    """The same connection for callers whose own lifetime holds it; they must close it."""
    return dial(url(role), role, autocommit=autocommit)


def url(role: Role, driver: str = "postgresql") -> str:
    """The URL that logs `role` in, for example with driver `postgresql+psycopg`.

    Starts the embedded server and brings the schema up to date if need be. A role with a URL of its own
    (`INTERLOCK_CONSUMER_URL` and its like) leaves both to the administrator.
    """
    override = _override(role)
    if override:
        return _rebuilt(override, driver=driver)
    base = administrator_url()
    _bring_up_to_date(base)
    if role in (Role.ADMIN, Role.OWNER):
        return _rebuilt(base, driver=driver)
    return _rebuilt(base, driver=driver, user=role.value, password=password(role.value))


def database_url(
    database: str, driver: str = "postgresql", *, user: str | None = None, password: str | None = None
) -> str:
    """The URL of another database of the same server, for the administrator or for a login of its own."""
    return _rebuilt(administrator_url(), driver=driver, user=user, password=password, database=database)


def administrator_url() -> str:
    """Where the warehouse is, with the administrator's login; starts the embedded server if need be."""
    configured = settings()
    if configured.database_url is not None:
        return configured.database_url.get_secret_value()
    from interlock.db import embedded
    from interlock.db.server_settings import HOST

    server = embedded_server()
    port = server.acquire()
    admin_password = quote(password(embedded.SUPERUSER), safe="")
    server_url = f"postgresql://{embedded.SUPERUSER}:{admin_password}@{HOST}:{port}"
    _make_warehouse(server_url, embedded.WAREHOUSE)
    return f"{server_url}/{embedded.WAREHOUSE}"


def libpq_environment(address: str) -> dict[str, str]:
    """A URL as the variables that PostgreSQL's own programs read: arguments are for everybody on the machine to see."""
    from psycopg.conninfo import conninfo_to_dict

    names = {"dbname": "PGDATABASE", "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT"}
    parts = conninfo_to_dict(address)
    return {names.get(name, f"PG{name.upper()}"): str(value) for name, value in parts.items() if value is not None}


def password(name: str) -> str:
    """The password of a role: a keyed hash of its name, so that one secret serves them all."""
    return hmac.new(secret_key().encode(), name.encode(), hashlib.sha256).hexdigest()


def secret_key() -> str:
    """The secret that all passwords derive from; in embedded mode it is made on first use, for its owner alone."""
    configured = settings()
    if configured.secret_key is not None:
        return configured.secret_key.get_secret_value()
    if not configured.is_embedded:
        raise PermanentFailure(
            "INTERLOCK_DATABASE_URL is set, but INTERLOCK_SECRET_KEY is not: the roles' passwords derive from it.",
            fix="Set INTERLOCK_SECRET_KEY to the one that the database was migrated with, or to a new one and migrate.",
        )
    return _generated_secret(configured.state)


def embedded_server() -> EmbeddedServer:
    """The embedded server of the present settings (one object for each state folder, whether it runs or not)."""
    configured = settings()
    return _embedded_server(configured.state, configured.postgres_port, configured.postgres_durable)


def statement(file: str) -> str:
    """The text of a `.sql` file of the package, named from its root: `statement("safety/answers.sql")`."""
    return resources.files("interlock").joinpath(file).read_text(encoding="utf-8")


def dial(target: str, role: Role, *, autocommit: bool = False) -> Connection:
    """Open one connection to a URL, without a look at the schema; CouldNotAsk where that fails."""
    import psycopg

    try:
        return psycopg.connect(target, autocommit=autocommit, **session_options(role))
    except psycopg.OperationalError as error:
        raise _could_not_ask(target, role, error) from error


def session_options(role: Role) -> dict[str, Any]:
    """How every connection of a role is opened: in UTC, and with both ends noticing when the other is gone."""
    said = {
        "timezone": "UTC",
        "tcp_keepalives_idle": str(SILENCE_SECONDS),
        "tcp_keepalives_interval": str(QUESTION_SECONDS),
        "tcp_keepalives_count": str(QUESTIONS),
    }
    if role is Role.OWNER:
        said["role"] = role.value
    if role in WRITERS:
        said["idle_in_transaction_session_timeout"] = f"{WRITER_IDLE_SECONDS}s"
    return {
        "options": " ".join(f"-c {name}={value}" for name, value in said.items()),
        "application_name": f"interlock {role.value.removeprefix('interlock_')}",
        "connect_timeout": CONNECT_SECONDS,
        "keepalives_idle": SILENCE_SECONDS,
        "keepalives_interval": QUESTION_SECONDS,
        "keepalives_count": QUESTIONS,
    }


def forget() -> None:
    """Forget what this process learnt about servers and schemas: after the settings changed."""
    _ready.clear()
    _embedded_server.cache_clear()


_ready: set[str] = set()


def _bring_up_to_date(target: str) -> None:
    """Once in each process and database: one SELECT tells whether migrations are needed."""
    if target in _ready:
        return
    from interlock.db import migrations

    with translated(), dial(target, Role.ADMIN) as connection:
        current = migrations.is_current(connection)
    if not current:
        migrations.migrate()
    _ready.add(target)


def _make_warehouse(server_url: str, name: str) -> None:
    """Create the embedded server's warehouse database where it is missing."""
    import psycopg
    from psycopg import sql

    if server_url in _ready:
        return
    with translated(), dial(f"{server_url}/postgres", Role.ADMIN, autocommit=True) as connection:
        if connection.execute("select from pg_database where datname = %s", [name]).fetchone() is None:
            try:
                connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
            except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                pass  # another process made it at the same moment
    _ready.add(server_url)


@cache
def _embedded_server(state: Path, port: int, durable: bool) -> EmbeddedServer:
    from interlock.db import embedded

    return embedded.EmbeddedServer(state, _superuser_password, port=port, durable=durable)


def _superuser_password() -> str:
    from interlock.db import embedded

    return password(embedded.SUPERUSER)


@cache
def _generated_secret(state: Path) -> str:
    from interlock.db import unprivileged

    path = state / "secret.key"
    if not path.exists():
        unprivileged.open_state(state, unprivileged.runner(None))
        _write_secret_once(path)
    return path.read_text(encoding="ascii").strip()


def _write_secret_once(path: Path) -> None:
    """Write a new secret under another name and link it into place: whoever comes second keeps the first one's."""
    fresh = path.with_suffix(f".{secrets.token_hex(8)}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(secrets.token_urlsafe(32) + "\n")
    try:
        os.link(fresh, path)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()


def _override(role: Role) -> str | None:
    """`INTERLOCK_LOADER_URL` and its like: a login of one's own for one role."""
    return os.environ.get(f"INTERLOCK_{role.value.removeprefix('interlock_').upper()}_URL") or None


def _rebuilt(
    base: str, *, driver: str, user: str | None = None, password: str | None = None, database: str | None = None
) -> str:
    """A PostgreSQL URL with another driver, login or database; hosts, ports and options stay as they are."""
    parts = urlsplit(base)
    if parts.scheme.partition("+")[0] not in ("postgresql", "postgres") or not parts.netloc:
        raise PermanentFailure(
            "The database's address is not a URL of the form postgresql://user:password@host:5432/database.",
            fix="Correct INTERLOCK_DATABASE_URL (or the INTERLOCK_<ROLE>_URL that is set).",
        )
    login, _, hosts = parts.netloc.rpartition("@")
    if user is not None:
        login = f"{quote(user, safe='')}:{quote(password or '', safe='')}"
    path = f"/{database}" if database is not None else parts.path
    return f"{driver}://{f'{login}@' if login else ''}{hosts}{path}{f'?{parts.query}' if parts.query else ''}"


def _could_not_ask(target: str, role: Role, error: Exception) -> CouldNotAsk:
    parts = urlsplit(target)
    who = unquote(parts.netloc.rpartition("@")[0].partition(":")[0]) or role.value
    where = parts.netloc.rpartition("@")[2]
    said = " ".join(str(error).split())[:400] or type(error).__name__
    fix = f"See that PostgreSQL runs at {where} and is reachable; `interlock doctor` checks it."
    if "too many" in said or "connection slots" in said:
        fix = "All its connections are taken: run it again when others have ended, or allow it more."
    elif "password authentication" in said or "does not exist" in said:
        fix = "INTERLOCK_SECRET_KEY must be the one that the database was migrated with; or run `interlock migrate`."
    return CouldNotAsk(f"The database {where}{parts.path} could not be asked as {who}: {said}", fix=fix)
