"""What dbt's property files say about models and sources, read as plain YAML.

Lint runs before every commit and must not pay for dbt's import; and a project that dbt cannot even parse is
exactly where a list of what is wrong is wanted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interlock.contracts.documents import read_yaml
from interlock.contracts.problems import ContractProblem, Findings

# The layers whose models readers or other teams rely on; steps between them may do without a contract.
GOVERNED = ("staging", "marts")
_EPHEMERAL = re.compile(r"materialized\s*=\s*['\"]ephemeral['\"]")


@dataclass(frozen=True)
class Described:
    """A model or a source table in a property file: where it stands, and its columns with their types."""

    file: Path
    where: str
    columns: Mapping[str, str | None]
    given: Mapping[str, Any] = field(repr=False)


@dataclass
class DbtProject:
    """Models and source tables by name, the files of governed models, and the property files' own problems."""

    models: dict[str, Described] = field(default_factory=dict)
    sources: dict[str, Described] = field(default_factory=dict)
    model_files: dict[str, Path] = field(default_factory=dict)
    problems: list[ContractProblem] = field(default_factory=list)


def read_dbt_project(root: Path) -> DbtProject:
    """Everything that `<root>/dbt_project/models` says about columns."""
    project, models = DbtProject(), root / "dbt_project" / "models"
    for file in sorted((*models.rglob("*.yml"), *models.rglob("*.yaml"))):
        findings = Findings(file)
        try:
            _read_properties(project, file, findings)
        except ValueError as error:
            findings.add("-", f"the file is no YAML that can be read: {error}", "Mend the syntax.")
        project.problems += findings.problems
    for folder in GOVERNED:
        for file in sorted((models / folder).rglob("*.sql")):
            if not _is_ephemeral(file, project.models.get(file.stem)):
                project.model_files[file.stem] = file
    return project


def _read_properties(project: DbtProject, file: Path, findings: Findings) -> None:
    held = read_yaml(file)
    if held is None:
        return
    if not isinstance(held, dict):
        findings.add("-", "the file holds no mapping", "Write `version: 2`, `models:`, `sources:`.")
        return
    for where, item in _mappings(held.get("models"), "models"):
        _describe(project.models, file, where, item, findings)
    for where, source in _mappings(held.get("sources"), "sources"):
        for place, table in _mappings(source.get("tables"), f"{where}.tables"):
            merged = {"schema": source.get("schema") or source.get("name"), **table}
            _describe(project.sources, file, place, merged, findings)


def _mappings(listed: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, item in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(item, dict):
            yield f"{where}[{number}]", item


def _describe(known: dict[str, Described], file: Path, where: str, item: Mapping[str, Any], findings: Findings) -> None:
    name = str(item.get("name") or "")
    if name in known:
        findings.add(where, f"{name} is described in {known[name].file} as well", "Keep one of the two descriptions.")
        return
    columns = {
        str(column.get("name")): str(column["data_type"]) if column.get("data_type") else None
        for _, column in _mappings(item.get("columns"), where)
    }
    known[name] = Described(file, where, columns, item)


def _is_ephemeral(file: Path, described: Described | None) -> bool:
    config = described.given.get("config") if described else None
    if isinstance(config, dict) and config.get("materialized") == "ephemeral":
        return True
    return bool(_EPHEMERAL.search(file.read_text(encoding="utf-8", errors="replace")))
