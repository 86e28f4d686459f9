"""The dbt project in this process: parsed once, kept on disk by content, handed out as copies.

Starting dbt costs seconds and parsing costs more; a task that does either for one day's rows spends
its time on neither the data nor the verdict. The manifest is therefore cached under a hash of every
file that it was parsed from. A manifest that outlived an edit of its model once built yesterday's
SQL under today's name, so the hash is checked on every use and nothing else is trusted.
"""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.errors import PermanentFailure
from interlock.settings import settings

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

PARSED_SUFFIXES = {".sql", ".yml", ".yaml", ".csv", ".md", ".py"}
GENERATED = {"target", "logs", "dbt_packages"}
LOG_OF_DBT = "file_log"
logger = logging.getLogger(__name__)

_held: dict[str, Manifest] = {}


def project_dir() -> Path:
    """The dbt project of this checkout."""
    return settings().root / "dbt_project"


def project_digest() -> str:
    """SHA-256 over the version of dbt, and the names and contents of every file that it parses."""
    from importlib.metadata import version

    root = project_dir()
    digest = hashlib.sha256(version("dbt-core").encode())  # another dbt reads another manifest
    for file in sorted(root.rglob("*")):
        parts = file.relative_to(root).parts
        if file.suffix in PARSED_SUFFIXES and parts[0] not in GENERATED and file.is_file():
            digest.update("/".join(parts).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def manifest() -> Manifest:
    """The project's manifest; parsed only when no cached one was parsed from exactly these files.

    Treat it as read-only: `interlock.transform.candidates` makes its own copy.
    """
    digest = project_digest()
    if digest in _held:
        return _held[digest]
    from dbt.contracts.graph.manifest import Manifest
    from dbt.parser.manifest import extended_mashumaro_encoder, extended_mashumuro_decoder

    kept = settings().state / "dbt" / f"manifest-{digest[:16]}.msgpack"
    parsed = None
    try:
        parsed = Manifest.from_msgpack(kept.read_bytes(), decoder=extended_mashumuro_decoder)
    except FileNotFoundError:
        pass  # parsed below, and kept
    except Exception as error:
        logger.warning("the manifest kept in %s cannot be read (%s) and is parsed anew", kept, error)
    if parsed is None:
        parsed = _parse()
        kept.parent.mkdir(parents=True, exist_ok=True)
        written = kept.with_suffix(f".{os.getpid()}")
        written.write_bytes(parsed.to_msgpack(extended_mashumaro_encoder))
        written.replace(kept)
    _held.clear()
    _held[digest] = parsed
    return parsed


def invoke(arguments: list[str], manifest: Manifest | None = None) -> Any:
    """Run one dbt command in this process and return dbt's own result object.

    State and logs go below the state folder, so that a read-only checkout works.
    """
    from dbt.cli.main import dbtRunner

    os.environ.setdefault("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")
    state = settings().state
    try:
        return dbtRunner(manifest=manifest).invoke(
            [
                "--quiet",
                "--no-use-colors",
                "--log-level", "none",
                "--log-level-file", "info",
                "--log-path", str(state / "logs" / "dbt"),
                *arguments,
                "--project-dir", str(project_dir()),
                "--profiles-dir", str(project_dir()),
                "--target-path", str(state / "dbt" / "target"),
                "--target", "candidate",
            ]
        )  # fmt: skip
    finally:
        _close_log()


def _close_log() -> None:
    """Close the file that dbt logs to: it opens one for each command and leaves them all open."""
    log = logging.getLogger(LOG_OF_DBT)
    for handler in log.handlers[:]:
        log.removeHandler(handler)
        handler.close()


def _parse() -> Manifest:
    # Parsing opens no connection; the profile only has to render.
    for name in ("HOST", "USER", "PASSWORD", "DBNAME", "SCHEMA"):
        os.environ.setdefault(f"INTERLOCK_DBT_{name}", "unset")
    os.environ.setdefault("INTERLOCK_DBT_PORT", "5432")
    result = invoke(["parse"])
    if not result.success:
        raise PermanentFailure(
            f"dbt could not parse the project in {project_dir()}: {result.exception}",
            fix="Run `dbt parse` in dbt_project/ and mend what it names.",
        )
    parsed: Manifest = result.result
    return parsed
