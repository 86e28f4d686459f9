"""One typed settings object, read from the environment (`INTERLOCK_*`) and an optional `.env`.

Nothing here touches the disk or the network at import; `settings()` reads once and is cached.
"""

from __future__ import annotations

import os
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


def project_root() -> Path:
    """The checkout that the commands act on: `INTERLOCK_ROOT`, or the nearest folder upwards with contracts in it."""
    named = os.environ.get("INTERLOCK_ROOT")
    if named:
        return Path(named).resolve()
    here = Path.cwd().resolve()
    for folder in (here, *here.parents):
        if (folder / "include" / "contracts").is_dir():
            return folder
    return Path(__file__).resolve().parents[2]


class LogFormat(StrEnum):
    """How records of the log are written."""

    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    """From which level on records are logged: by the commands, and by Airflow."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


class Settings(BaseSettings):
    """What a deployment may change. Paths are absolute once read."""

    model_config = SettingsConfigDict(env_prefix="INTERLOCK_", env_ignore_empty=True, extra="ignore", frozen=True)

    root: Path = Field(default_factory=project_root, description="The checkout with contracts, models and DAGs.")
    state_dir: Path | None = Field(default=None, description="State and secrets; default `<root>/.interlock`.")
    database_url: SecretStr | None = Field(
        default=None, description="Administrator's URL of a PostgreSQL 16 to 18; empty means embedded."
    )
    secret_key: SecretStr | None = Field(
        default=None, description="Derives the passwords of the roles; generated in embedded mode."
    )
    landing_url: str | None = Field(
        default=None, description="fsspec URL of the landing root; default `<root>/landing`."
    )
    postgres_port: int = Field(
        default=0, description="Port of the embedded server; 0 picks a free one once and keeps it."
    )
    postgres_durable: bool = Field(
        default=True, description="For tests alone: false trades the embedded server's safety for speed."
    )
    airflow_port: int = Field(
        default=8080, description="Port of the Airflow UI; the next free one is taken if it is busy."
    )
    airflow_url: str | None = Field(
        default=None, description="Where Airflow's API is called; empty means the one that runs on this machine."
    )
    airflow_public_url: str | None = Field(
        default=None, description="Where a browser opens Airflow's UI; empty means where its API is called."
    )
    airflow_user: str = Field(default="interlock", description="Airflow's login of the platform itself.")
    airflow_password: SecretStr | None = Field(
        default=None, description="Its password; empty means the one derived from the secret."
    )
    airflow_database: str = Field(
        default="airflow", description="Airflow's metadata database, on the warehouse's server."
    )
    notify_urls: dict[str, list[str]] = Field(
        default_factory=dict, description="Apprise URLs by owner of contracts or exposures."
    )
    lease_minutes: int = Field(default=30, description="How long a run owns its partitions without a sign of life.")
    log_level: Annotated[LogLevel, BeforeValidator(lambda name: str(name).upper())] = Field(
        default=LogLevel.INFO, description="Least level that is logged; at a terminal WARNING unless this is set."
    )
    log_format: LogFormat | None = Field(
        default=None, description="`text` or `json`; default text at a terminal and JSON elsewhere."
    )
    largest_delivery_mb: int = Field(
        default=8192, ge=1, description="A file with more content than this, decompressed, is refused."
    )
    keep_good_versions: int = Field(
        default=2, ge=1, description="Earlier good versions of each partition that are kept to roll back to."
    )
    keep_replaced_days: int = Field(default=30, ge=1, description="Days that a replaced version is kept.")
    keep_held_days: int = Field(default=30, ge=1, description="Days that a candidate is kept which was never served.")
    keep_raw_days: int = Field(default=90, ge=1, description="Days that a load is kept which nothing served stands on.")
    keep_quarantine_days: int = Field(default=90, ge=1, description="Days that what was set aside is kept.")
    keep_runs_days: int = Field(
        default=90, ge=1, description="Days that the phases of finished runs and sent notices are kept."
    )
    keep_records_days: int | None = Field(
        default=None, ge=1, description="Days that verdicts and accounts of what is gone are kept; empty: ever."
    )
    keep_reliances_days: int = Field(
        default=365, ge=1, description="Days that is kept who relied on what; a recall reaches back as far."
    )
    keep_logs_days: int = Field(default=30, ge=1, description="Days that task logs below the state folder are kept.")
    minimum_free_mb: int = Field(
        default=1024, ge=0, description="A run is refused where the disk of the data or the landing folder has less."
    )
    environment: str = Field(
        default="local", description="Where this is: the policy is told, and may decide by it (`production`, ...)."
    )
    api_host: str = Field(default="127.0.0.1", description="Where `interlock serve` listens.")
    api_port: int = Field(
        default=8090, ge=0, le=65535, description="Port of `interlock serve`; the next free one is taken if it is busy."
    )
    api_connections: int = Field(
        default=8, ge=1, description="Connections to the database that one API process keeps and uses for each role."
    )
    api_reads_per_second: int = Field(
        default=5000, ge=1, description="Requests that one credential may make of one API process, on average."
    )
    api_writes_per_minute: int = Field(
        default=120, ge=1, description="Changes that one credential may ask of one API process, on average."
    )
    api_failed_logins_per_minute: int = Field(
        default=30, ge=1, description="Credentials that are none, from one address, before it has to wait."
    )
    token: SecretStr | None = Field(default=None, description="Who acts at this command line, from `token create`.")
    audit_anchor_url: str | None = Field(
        default=None, description="fsspec URL where heads of the audit's chain are kept; default `<state>/audit`."
    )
    opa_url: str | None = Field(
        default=None, description="An OPA server that decides about actions; empty means in-process Rego."
    )
    policy_seconds: float = Field(default=2.0, gt=0, description="Deadline of one policy decision; past it: refused.")
    policy_memory_mb: int = Field(default=512, ge=128, description="Most memory of the in-process policy engine.")

    @property
    def state(self) -> Path:
        """The folder of everything generated on this machine; git ignores it."""
        return self.state_dir or self.root / ".interlock"

    @property
    def landing(self) -> str:
        """The landing root as an fsspec URL or an absolute path, without a trailing slash."""
        return (self.landing_url or str(self.root / "landing")).rstrip("/")

    @property
    def audit_anchors(self) -> str:
        """Where the heads of the audit's chain are kept, as an fsspec URL or an absolute path."""
        return self.audit_anchor_url or str(self.state / "audit")

    @property
    def is_embedded(self) -> bool:
        """True where the platform runs its own PostgreSQL."""
        return self.database_url is None


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings(_env_file=project_root() / ".env")
