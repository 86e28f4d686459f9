"""Contracts from YAML: through the standard's models and schema first, then through ours; every problem at once.

A contract that cannot be read stops everything that would act on it. There is no partial catalog:
a dataset whose contract vanished would otherwise simply not be checked any more.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from interlock.contracts.checks import Check, compile_checks
from interlock.contracts.model import Catalog, Column, Contract, Grain, Layer
from interlock.contracts.problems import ContractInvalid, ContractProblem
from interlock.settings import settings

PREFIX = "interlock."
PROPERTIES = {
    "layer", "partition", "delivery", "drift", "onGateFailure", "window", "lease", "inputs", "decisions",
}  # fmt: skip
VALUE_TYPES = {
    "string": "text", "integer": "bigint", "number": "double precision", "boolean": "boolean",
    "date": "date", "timestamp": "timestamptz", "time": "time",
}  # fmt: skip
UNITS = {"s": "seconds", "second": "seconds", "m": "minutes", "minute": "minutes", "h": "hours", "hour": "hours", "d": "days", "day": "days"}
DURATION = re.compile(r"^P(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)S)?)?$")


def contracts_dir() -> Path:
    """Where the contracts of this checkout lie, one folder a domain."""
    return settings().root / "include" / "contracts"


def load_contracts(root: Path | None = None) -> Catalog:
    """Every contract below `root`. Raises ContractInvalid with all problems of all files."""
    folder = root or contracts_dir()
    return _loaded(folder, _stamp(folder))


def checks_of(contract: Contract) -> tuple[Check, ...]:
    """The checks of a contract, with those of its `expectations/<domain>/<dataset>.yaml`."""
    return compile_checks(contract, expectations_of(contract))


def expectations_of(contract: Contract) -> list[dict[str, Any]]:
    """The dataset's expectations in Great Expectations' own words; none where it has no file."""
    file = settings().root / "expectations" / contract.domain / f"{contract.dataset}.yaml"
    if not file.exists():
        return []
    found = yaml.safe_load(file.read_text(encoding="utf-8"))
    if not isinstance(found, dict) or not isinstance(found.get("expectations"), list):
        problem = ContractProblem(file=file, where="expectations", found="there is no list of expectations", fix="Write `expectations:` with a list.")
        raise ContractInvalid([problem])
    listed: list[dict[str, Any]] = found["expectations"]
    return listed


def _stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """What tells whether a folder changed: names, sizes and times of its files."""
    files = sorted(folder.glob("*/*.yaml"))
    return tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files)


@cache
def _loaded(folder: Path, _stamp: tuple[tuple[str, int, int], ...]) -> Catalog:
    contracts: dict[str, Contract] = {}
    problems: list[ContractProblem] = []
    for file in sorted(folder.glob("*/*.yaml")):
        contract, found = read_contract(file)
        problems += found
        if contract is None:
            continue
        if contract.dataset in contracts:
            other = contracts[contract.dataset].path
            problems.append(
                ContractProblem(file=file, where="schema[0].name", found=f"{contract.dataset} is also the name in {other}", fix="Give each dataset a name of its own.")
            )
        contracts[contract.dataset] = contract
    if not contracts and not problems:
        problems.append(ContractProblem(file=folder, where="-", found="there is no contract", fix="Write include/contracts/<domain>/<dataset>.yaml."))
    if problems:
        raise ContractInvalid(problems)
    return Catalog(contracts)


def read_contract(file: Path) -> tuple[Contract | None, list[ContractProblem]]:
    """One file as a contract, with its problems; no contract where they leave none."""
    from open_data_contract_standard.model import OpenDataContractStandard

    def problem(where: str, found: str, fix: str) -> ContractProblem:
        return ContractProblem(file=file, where=where, found=found, fix=fix)

    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        return None, [problem("-", f"the file is no YAML: {str(error).splitlines()[0]}", "Mend the syntax.")]
    if not isinstance(document, dict):
        return None, [problem("-", "the file holds no mapping", "Start from `interlock contract init --from FILE`.")]
    # YAML reads dates as dates; the standard's schema wants text.
    document = json.loads(json.dumps(document, default=str))
    problems = [problem(where, found, "See the Open Data Contract Standard, v3.1.") for where, found in _schema_errors(document)]
    try:
        OpenDataContractStandard(**document)
    except ValidationError as error:
        problems += [problem(".".join(map(str, e["loc"])), e["msg"], "See the Open Data Contract Standard, v3.1.") for e in error.errors()]
    if problems:
        return None, problems
    try:
        contract = Contract.model_validate(_fields(document, file, problems, problem))
    except ValidationError as error:
        for item in error.errors():
            where = ".".join(map(str, item["loc"]))
            problems.append(problem(_document_path(where), f"{item['msg']} (found: {item['input']!r})", "docs/contracts.md lists what may stand here."))
        return None, problems
    return (None if problems else contract), problems


def _document_path(where: str) -> str:
    head, _, tail = where.partition(".")
    names = {"delivery": "delivery", "drift": "drift", "partition": "partition", "inputs": "inputs", "decisions": "decisions", "lease": "lease",
             "window": "window", "on_gate_failure": "onGateFailure", "layer": "layer"}  # fmt: skip
    if head in names:
        return f"customProperties[{PREFIX}{names[head]}]" + (f".{tail}" if tail else "")
    return where


@cache
def _validator() -> Any:
    import jsonschema
    from open_data_contract_standard.model import OpenDataContractStandard

    schema = json.loads(OpenDataContractStandard.json_schema())
    return jsonschema.validators.validator_for(schema)(schema)


def _schema_errors(document: dict[str, Any]) -> list[tuple[str, str]]:
    errors = [(e.json_path.removeprefix("$."), e.message[:300]) for e in _validator().iter_errors(document)]
    if document.get("apiVersion") not in ("v3.1.0", None):
        errors.append(("apiVersion", f"{document.get('apiVersion')!r} is not v3.1.0"))
    return errors


def _fields(document: dict[str, Any], file: Path, problems: list[ContractProblem], problem: Any) -> dict[str, Any]:
    """The document as the fields of a Contract; what the standard leaves open and we need is a problem."""
    custom: dict[str, Any] = {}
    for item in document.get("customProperties") or []:
        name = str(item.get("property", ""))
        if name.startswith(PREFIX):
            custom[name.removeprefix(PREFIX)] = item.get("value")
    for name in sorted(set(custom) - PROPERTIES):
        problems.append(problem(f"customProperties[{PREFIX}{name}]", "there is no such property", f"Use one of: {', '.join(sorted(PROPERTIES))}."))
    schemas = document.get("schema") or []
    if len(schemas) != 1:
        problems.append(problem("schema", f"{len(schemas)} objects", "One contract describes one dataset: give exactly one object."))
        schemas = schemas or [{}]
    table = schemas[0]
    layer = str(custom.get("layer", ""))
    if table.get("name") and file.stem != table["name"]:
        problems.append(problem("schema[0].name", f"{table['name']!r}, but the file is {file.name}", "Name the file after the dataset."))
    if document.get("domain") != file.parent.name:
        problems.append(problem("domain", f"{document.get('domain')!r}, but the folder is {file.parent.name}", "Move the file, or correct the domain."))
    if layer == Layer.RAW and "delivery" not in custom:
        problems.append(problem(f"customProperties[{PREFIX}delivery]", "missing", "Say how the feed is delivered: mode, landing, mark, empty, absent, null."))
    partition = custom.get("partition") or {"grain": Grain.ALL.value}
    team = document.get("team") or {}
    fields: dict[str, Any] = {
        "dataset": table.get("name"),
        "domain": document.get("domain"),
        "layer": layer or None,
        "version": document.get("version"),
        "owner": team.get("name") if isinstance(team, dict) else None,
        "description": str((document.get("description") or {}).get("purpose") or table.get("description") or "").strip(),
        "partition": partition,
        "columns": [_column(item, layer) for item in table.get("properties") or []],
        "freshness": _freshness(document, problems, problem),
        "content_digest": content_digest(document, file),
        "path": file,
        "document": document,
    }
    if layer != Layer.RAW and isinstance(partition, dict) and partition.get("grain") == Grain.DAY.value:
        names = {item.get("name") for item in table.get("properties") or []}
        if partition.get("column") not in names:
            problems.append(problem(f"customProperties[{PREFIX}partition].column", f"{partition.get('column')!r} is no column", "Name the date column that tells a row's day."))
    for name, field in (("delivery", "delivery"), ("drift", "drift"), ("onGateFailure", "on_gate_failure"), ("window", "window"), ("inputs", "inputs"), ("decisions", "decisions")):
        if custom.get(name) is not None:
            value = custom[name]
            fields[field] = value.get("partitions") if name == "window" and isinstance(value, dict) else value
    if custom.get("lease") is not None:
        lease = _duration(str(custom["lease"]))
        if lease is None:
            problems.append(problem(f"customProperties[{PREFIX}lease]", f"{custom['lease']!r} is no duration", "Write an ISO 8601 duration, for example P7D."))
        else:
            fields["lease"] = lease
    return fields


def _column(item: dict[str, Any], layer: str) -> dict[str, Any]:
    logical = str(item.get("logicalType") or "string")
    declared = item.get("physicalType")
    value_type = str(declared) if declared and declared != "text" else VALUE_TYPES.get(logical, "text")
    position = item.get("primaryKeyPosition") if item.get("primaryKey") else None
    return {
        "name": item.get("name"),
        "logical_type": logical,
        "physical_type": "text" if layer == Layer.RAW else str(declared or value_type),
        "value_type": value_type,
        "required": bool(item.get("required")),
        "unique": bool(item.get("unique")),
        "primary_key_position": (position or 1) if item.get("primaryKey") else None,
        "classification": item.get("classification"),
        "description": str(item.get("description") or "").strip(),
        "options": item.get("logicalTypeOptions") or {},
        "values": tuple(value.get("value") for value in item.get("enum") or []),
    }


def _freshness(document: dict[str, Any], problems: list[ContractProblem], problem: Any) -> timedelta | None:
    for number, item in enumerate(document.get("slaProperties") or []):
        if item.get("property") not in ("latency", "freshness"):
            continue
        unit = UNITS.get(str(item.get("unit") or "").rstrip("s") or "?")
        if unit is None or not isinstance(item.get("value"), int | float):
            problems.append(problem(f"slaProperties[{number}]", f"{item.get('value')!r} {item.get('unit')!r} is no span of time", "Give value as a number and unit as s, m, h or d."))
            continue
        return timedelta(**{unit: item["value"]})
    return None


def _duration(text: str) -> timedelta | None:
    found = DURATION.match(text)
    parts = {name: int(value) for name, value in found.groupdict().items() if value} if found else {}
    return timedelta(**parts) if parts else None


def content_digest(document: dict[str, Any], file: Path) -> str:
    """SHA-256 over what a contract says, whatever its comments, its order of keys and its layout; expectations count too."""
    meaning = {key: value for key, value in document.items() if key not in ("version", "contractCreatedTs")}
    expectations = file.parents[3] / "expectations" / file.parent.name / file.name if len(file.parents) > 3 else None
    beyond = yaml.safe_load(expectations.read_text(encoding="utf-8")) if expectations and expectations.exists() else None
    text = json.dumps([meaning, beyond], sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()
