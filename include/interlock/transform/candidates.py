"""Building candidates: ordinary dbt models, run in a workspace that shows pinned inputs and nothing else.

`dbtRunner` takes the schema of every relation from the manifest, not from the target: a manifest
parsed for production once *replaced a published table* while it reported success. So every relation
of the copy that is run here is rewritten to the workspace, and the role that runs it can write
nowhere else.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import psycopg.conninfo
from pydantic import BaseModel, ConfigDict

from interlock.db.connection import Role, url
from interlock.errors import PermanentFailure, TransientFailure
from interlock.settings import settings
from interlock.transform.project import invoke, manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dbt.contracts.graph.manifest import Manifest

# dbt's own words for "the database went away", which a rerun may well mend.
TRANSIENT_MARKS = (
    "could not connect",
    "connection refused",
    "server closed the connection",
    "terminating connection",
    "starting up",
    "shutting down",
    "too many connections",
    "too many clients",
    "connection slots",
    "read-only transaction",
    "no space left on device",
    "disk full",
)


class Build(BaseModel):
    """What dbt made of one dataset: `error` is empty where its candidate stands in the workspace."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    error: str = ""

    @property
    def is_transient(self) -> bool:
        """Whether the database was away rather than the model wrong."""
        return _is_transient(self.error)


def in_workspace(workspace: str, database: str) -> Manifest:
    """A copy of the manifest in which every relation lies in the workspace."""
    copy = manifest().deepcopy()
    for node in (*copy.nodes.values(), *copy.sources.values()):
        if node.resource_type not in ("model", "seed", "snapshot", "source"):
            continue
        name = node.identifier if node.resource_type == "source" else node.alias
        node.database, node.schema = database, workspace
        if node.relation_name:
            node.relation_name = f'"{database}"."{workspace}"."{name}"'
    return copy


def build(
    workspace: str, datasets: Iterable[str], buckets: Mapping[str, Mapping[str, Any]], threads: int = 2
) -> list[Build]:
    """Run the models of `datasets` in the workspace, as the builder, and report each one.

    `buckets` names the models whose candidate spans several months, as
    `{model: {"column": partition column, "months": [first days]}}`.
    """
    wanted = list(datasets)
    server = psycopg.conninfo.conninfo_to_dict(url(Role.BUILDER))
    _log_in(server, workspace)
    result = invoke(
        [
            "run",
            "--no-write-json",
            "--threads",
            str(threads),
            "--select",
            *wanted,
            "--vars",
            json.dumps({"interlock_buckets": dict(buckets)}),
        ],
        in_workspace(workspace, str(server["dbname"])),
    )
    if result.exception is not None or result.result is None:
        kind = TransientFailure if _is_transient(str(result.exception)) else PermanentFailure
        raise kind(
            f"dbt ended without a result for {', '.join(wanted)}: {result.exception}",
            fix=f"Its log is in {settings().state / 'logs' / 'dbt'}.",
        )
    outcomes = {item.node.name: item for item in result.result}
    return [Build(dataset=name, error=_error(outcomes.get(name))) for name in wanted]


def warm() -> None:
    """Pay for what dbt's first command in a process costs beyond its imports; opens no connection."""
    _log_in(dict.fromkeys(("host", "user", "password", "dbname"), "unset"), "unset")
    invoke(["list", "--no-write-json", "--select", "nothing"], in_workspace("unset", "unset"))


def _log_in(server: Mapping[str, Any], schema: str) -> None:
    """Where dbt's profile finds the database: it reads nothing but the environment."""
    os.environ.update(
        INTERLOCK_DBT_HOST=str(server["host"]),
        INTERLOCK_DBT_PORT=str(server.get("port") or 5432),
        INTERLOCK_DBT_USER=str(server["user"]),
        INTERLOCK_DBT_PASSWORD=str(server.get("password") or ""),
        INTERLOCK_DBT_DBNAME=str(server["dbname"]),
        INTERLOCK_DBT_SCHEMA=schema,
    )


def _error(outcome: Any) -> str:
    if outcome is None:
        return "dbt did not run the model"
    return "" if outcome.status == "success" else str(outcome.message or outcome.status)


def _is_transient(said: str) -> bool:
    return any(mark in said.lower() for mark in TRANSIENT_MARKS)
