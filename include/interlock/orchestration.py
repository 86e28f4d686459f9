"""How Airflow is set up here: one environment for every process of it, on a laptop and in a test alike.

Everything is said by environment variables, so that no `airflow.cfg` can say otherwise, and nothing is
taken from the home folder of whoever runs it. Airflow gets a database and a login of its own: a DAG that
is handed Airflow's connection cannot touch the warehouse with it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sys
from importlib import resources
from importlib.metadata import version
from pathlib import Path

from interlock.errors import PermanentFailure
from interlock.settings import settings

# Each is forked at start and holds Airflow in memory; more of them than cores only wait for each other.
PARALLELISM = 4
LOGIN_ROLE = "airflow"
USERS = {"admin": "admin", "interlock": "admin"}  # a person, and the platform itself when it calls the REST API
A_DAY = 86_400
OF_ASKERS = ("INTERLOCK_TOKEN", "INTERLOCK_URL", "INTERLOCK_CONSUMER")


def home() -> Path:
    """Airflow's home: generated, and for its owner's eyes only."""
    return settings().state / "airflow"


def logs() -> Path:
    """Where Airflow's processes and tasks write."""
    return settings().state / "logs"


def airflow_environment(port: int, *, with_overrides: bool = False) -> dict[str, str]:
    """The environment of every Airflow process; `port` is the API server's. Starts the embedded server if need be.

    On a laptop the machine's own `AIRFLOW__*` variables belong to some other Airflow and are dropped; a
    deployment says with them what is different there (the executor, the auth manager), and they win.
    """
    from interlock.db.connection import secret_key

    configured = settings()
    address = f"http://127.0.0.1:{port}"
    said = {
        "CORE__DAGS_FOLDER": configured.root / "dags",
        "CORE__PLUGINS_FOLDER": configured.root / "plugins",
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": PARALLELISM,
        "CORE__LOAD_EXAMPLES": False,
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": False,
        # Every file in `dags/` is one; Airflow would pass over those that do not spell both of two words.
        "CORE__DAG_DISCOVERY_SAFE_MODE": False,
        "CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "CORE__FERNET_KEY": _fernet_key(secret_key()),
        "CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in USERS.items()),
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": passwords_file(),
        "DATABASE__SQL_ALCHEMY_CONN": metadata_url("postgresql+psycopg2"),
        "DATABASE__SQL_ALCHEMY_CONN_ASYNC": metadata_url("postgresql+psycopg"),
        "DATABASE__LOAD_DEFAULT_CONNECTIONS": False,
        "API__HOST": "127.0.0.1",
        "API__PORT": port,
        "API__BASE_URL": address,
        "API__WORKERS": 1,
        "API__SECRET_KEY": _derived("airflow api"),
        "API__INSTANCE_NAME": "Interlock",
        "API_AUTH__JWT_SECRET": _derived("airflow jwt"),
        "API_AUTH__JWT_EXPIRATION_TIME": A_DAY,
        # A task that outlives its token cannot report its end (apache/airflow#67939).
        "EXECUTION_API__JWT_EXPIRATION_TIME": A_DAY,
        # Soon enough for whoever edits a DAG; reading the contracts anew costs half a second of a core each time.
        "DAG_PROCESSOR__REFRESH_INTERVAL": 30,
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": 30,
        "DAG_PROCESSOR__PARSING_PROCESSES": 1,
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": 0.5,
        "SCHEDULER__ENABLE_HEALTH_CHECK": False,
        # What a scheduler that died was at is taken up soon after it is held for dead (30 s), and not 5 min later.
        "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": 15,
        "LOGGING__BASE_LOG_FOLDER": logs(),
        "LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": logs() / "dag_processor",
        "LOGGING__COLORED_CONSOLE_LOG": False,
        "LOGGING__LOGGING_LEVEL": configured.log_level,
        "USAGE_DATA_COLLECTION__ENABLED": False,
    }
    environment = base_environment() | {f"AIRFLOW__{name}": str(value) for name, value in said.items()}
    if with_overrides:
        environment |= {name: value for name, value in os.environ.items() if name.startswith("AIRFLOW__")}
    return environment


def base_environment() -> dict[str, str]:
    """What this process was given, less any Airflow settings of the machine's, plus where the platform is."""
    configured = settings()
    # Nor what says how whoever starts it asks, and as whom: a run must not be taken for a person.
    kept = {n: value for n, value in os.environ.items() if not n.startswith("AIRFLOW__") and n not in OF_ASKERS}
    local = "127.0.0.1,localhost"
    return kept | {
        "AIRFLOW_HOME": str(home()),
        "INTERLOCK_ROOT": str(configured.root),
        "INTERLOCK_STATE_DIR": str(configured.state),
        # Tasks start dbt and the like by name.
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))),
        # Tasks talk to the API server; behind a proxy that is another machine.
        "NO_PROXY": ",".join(filter(None, (os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), local))),
        "no_proxy": ",".join(filter(None, (os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), local))),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "GX_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PYTHONUNBUFFERED": "1",
    }


def passwords_file() -> Path:
    """Airflow's own file of logins, written here first, so that it neither invents nor prints any."""
    return home() / "passwords.json"


def login(user: str = "admin") -> tuple[str, str]:
    """A user's name and password for the UI and `POST /auth/token`."""
    return user, _derived(f"airflow user {user}")[:20]


def prepare() -> None:
    """Make Airflow's home: its logins and the hook that warms the scheduler."""
    if not settings().state.exists():  # else its rights were set with the embedded server
        settings().state.mkdir(mode=0o700, parents=True)
    home().mkdir(mode=0o700, exist_ok=True)
    written = os.open(passwords_file(), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(written, "w") as file:
        file.write(json.dumps({user: login(user)[1] for user in USERS}) + "\n")
    (home() / "config").mkdir(exist_ok=True)
    hook = resources.files("interlock").joinpath("operators/airflow_local_settings.py").read_text()
    (home() / "config" / "airflow_local_settings.py").write_text(hook)


def metadata_url(driver: str = "postgresql") -> str:
    """Airflow's metadata database, on the warehouse's server, with a login that reaches nothing else."""
    from interlock.db.connection import database_url, password

    return database_url(settings().airflow_database, driver, user=LOGIN_ROLE, password=password(LOGIN_ROLE))


def make_metadata_database() -> None:
    """Create Airflow's login and database where they are missing; its password follows the secret."""
    import psycopg

    try:
        _make_metadata_database()
    except psycopg.errors.InsufficientPrivilege as error:
        raise PermanentFailure(
            f"Airflow's login and metadata database could not be made: {str(error).strip()}",
            fix=f"Give the administrator CREATEROLE and CREATEDB, or create a role {LOGIN_ROLE} that it administers "
            f"and a database {settings().airflow_database} which that role owns.",
        ) from error


def _make_metadata_database() -> None:
    from psycopg import sql

    from interlock.db.connection import Role, administrator_url, dial, password

    name = settings().airflow_database
    owner, database = sql.Identifier(LOGIN_ROLE), sql.Identifier(name)
    with dial(administrator_url(), Role.ADMIN, autocommit=True) as connection:
        if connection.execute("select from pg_roles where rolname = %s", [LOGIN_ROLE]).fetchone() is None:
            connection.execute(sql.SQL("create role {} login").format(owner))
        hashed = connection.pgconn.encrypt_password(
            password(LOGIN_ROLE).encode(), LOGIN_ROLE.encode(), b"scram-sha-256"
        )
        connection.execute(sql.SQL("alter role {} password {}").format(owner, sql.Literal(hashed.decode())))
        if connection.execute("select from pg_database where datname = %s", [name]).fetchone() is None:
            connection.execute(sql.SQL("grant {} to current_user").format(owner))
            connection.execute(sql.SQL("create database {} owner {}").format(database, owner))
            connection.execute(sql.SQL("revoke all on database {} from public").format(database))


def metadata_is_current() -> bool:
    """Whether Airflow's tables suit the installed Airflow; asking `airflow db migrate` costs 8 s."""
    return _stamp().exists() and _stamp().read_text() == _metadata_version()


def stamp_metadata() -> None:
    """Remember that Airflow's tables were just migrated."""
    _stamp().write_text(_metadata_version())


def _metadata_version() -> str:
    import psycopg

    try:
        with psycopg.connect(metadata_url()) as connection:
            found = connection.execute("select version_num from alembic_version").fetchone()
    except psycopg.errors.UndefinedTable:
        found = None
    return f"airflow {version('apache-airflow')}, tables {found[0] if found else 'missing'}"


def _stamp() -> Path:
    return home() / "migrated"


def _derived(purpose: str) -> str:
    from interlock.db.connection import password

    return password(purpose)


def _fernet_key(secret: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(f"airflow fernet {secret}".encode()).digest()).decode()
