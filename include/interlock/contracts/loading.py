"""Contracts from YAML: through the standard's models and schema first, then through ours; every problem at once.

A contract that cannot be read stops everything that would act on it, and so does one with a clause that nothing
checks. There is no partial catalog: a dataset whose contract vanished would otherwise simply not be checked any more.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from interlock.contracts.checks import Check, compile_checks, unchecked_clauses
from interlock.contracts.clauses import PREFIX
from interlock.contracts.documents import read_document, read_yaml
from interlock.contracts.model import Catalog, Contract, Grain, Layer
from interlock.contracts.problems import ContractInvalid, ContractProblem, Findings
from interlock.settings import settings

logger = logging.getLogger(__name__)

# The contract's own properties, by the field of the model that each fills.
PROPERTIES = {
    "layer": "layer",
    "partition": "partition",
    "delivery": "delivery",
    "drift": "drift",
    "quarantine": "quarantine",
    "onGateFailure": "on_gate_failure",
    "criticality": "criticality",
    "window": "window",
    "lease": "lease",
    "inputs": "inputs",
    "decisions": "decisions",
}
SLA_PROPERTIES = ("latency", "freshness")
VALUE_TYPES = {
    "string": "text",
    "integer": "bigint",
    "number": "double precision",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamptz",
    "time": "time",
}
UNITS = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days"} | {
    word: f"{word}s" for word in ("second", "minute", "hour", "day")
}
DURATION = re.compile(
    r"P(?:(?P<weeks>\d{1,6})W)?(?:(?P<days>\d{1,6})D)?"
    r"(?:T(?:(?P<hours>\d{1,6})H)?(?:(?P<minutes>\d{1,6})M)?(?:(?P<seconds>\d{1,6})S)?)?"
)
LONGEST_SPAN = timedelta(days=36_500)
CHECKED_INSTEAD = "Write it as a clause that a gate can run (docs/contracts.md), or remove the promise."
_OF_THE_VERSION = ("version", "contractCreatedTs")


def contracts_dir() -> Path:
    """Where the contracts of this checkout lie, one folder a domain."""
    return settings().root / "include" / "contracts"


def load_contracts(root: Path | None = None) -> Catalog:
    """Every contract below `root`. Raises ContractInvalid with all problems of all files."""
    folder = root or contracts_dir()
    return _loaded(folder, _stamp(folder))


def readable_contracts() -> Catalog:
    """Every contract, for whoever only shows what it says: none at all where they cannot be read, which is logged.

    While somebody edits a contract, what is known of its dataset is shown all the same, and read as if it had none.
    """
    try:
        return load_contracts()
    except ContractInvalid as invalid:
        logger.warning("datasets are shown without their contracts: %s", invalid)
        return Catalog({})


def checks_of(contract: Contract) -> tuple[Check, ...]:
    """The checks of a contract, with those of its `expectations/<domain>/<dataset>.yaml`."""
    return compile_checks(contract, expectations_of(contract))


def expectations_of(contract: Contract) -> list[dict[str, Any]]:
    """The dataset's expectations in Great Expectations' own words; none where it has no file."""
    return expectations_in(expectations_file(contract.path))


def expectations_file(contract_file: Path) -> Path:
    """Where the expectations beyond a contract would lie: in the same project, under the same domain and name."""
    project = contract_file.parents[3] if len(contract_file.parents) > 3 else settings().root
    return project / "expectations" / contract_file.parent.name / contract_file.name


def expectations_in(file: Path) -> list[dict[str, Any]]:
    """The entries of an expectations file, none where it does not exist. Raises ContractInvalid for any other file."""
    if not file.exists():
        return []
    findings = Findings(file)
    try:
        held = read_yaml(file)
    except ValueError as error:
        findings.add("-", f"the file is no YAML that can be read: {error}", "Mend the syntax.")
        raise ContractInvalid(findings.problems) from error
    listed = held.get("expectations") if isinstance(held, dict) else None
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        findings.add("expectations", "there is no list of mappings", "Write `expectations:` with a list of mappings.")
        raise ContractInvalid(findings.problems)
    return listed


def _stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """What tells whether contracts or their expectations changed: names, sizes and times of the files."""
    beyond = folder.parents[1].glob("expectations/*/*.yaml") if len(folder.parents) > 1 else ()
    files = [*sorted(folder.glob("*/*.yaml")), *sorted(beyond)]
    return tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files)


@cache
def _loaded(folder: Path, _stamp: tuple[tuple[str, int, int], ...]) -> Catalog:
    contracts, problems = read_contracts(folder)
    if problems:
        raise ContractInvalid(problems)
    return Catalog(contracts)


def read_contracts(folder: Path) -> tuple[dict[str, Contract], list[ContractProblem]]:
    """Every contract that can be read, by dataset, and the problems of all that cannot."""
    contracts: dict[str, Contract] = {}
    problems: list[ContractProblem] = []
    for file in sorted(folder.glob("*/*.yaml")):
        contract, found = read_contract(file)
        problems += found
        if contract is None:
            continue
        if contract.dataset in contracts:
            twice = Findings(file)
            other = contracts[contract.dataset].path
            twice.add(
                "schema[0].name", f"{contract.dataset} is also the name in {other}", "Give each a name of its own."
            )
            problems += twice.problems
        contracts[contract.dataset] = contract
    if not contracts and not problems:
        nothing = Findings(folder)
        nothing.add("-", "there is no contract", "Write include/contracts/<domain>/<dataset>.yaml.")
        problems = nothing.problems
    return contracts, problems


def read_contract(file: Path) -> tuple[Contract | None, list[ContractProblem]]:
    """One file as a contract, with its problems; no contract where there are any."""
    findings = Findings(file)
    document = read_document(file, findings)
    if document is None:
        return None, findings.problems
    fields = _fields(document, findings)
    try:
        contract = Contract.model_validate(fields)
        expectations = expectations_of(contract)
    except ValidationError as error:
        for item in error.errors():
            told = f"{item['msg']} (found: {item['input']!r})" if item["type"] != "missing" else item["msg"]
            findings.add(_document_path(item["loc"]), told, "docs/contracts.md lists what may stand here.")
    except ContractInvalid as invalid:
        findings.problems += invalid.problems
    else:
        for where, why in unchecked_clauses(contract, expectations):
            findings.add(where, why, CHECKED_INSTEAD)
        if not findings.problems:
            return contract, []
    return None, findings.problems


def _document_path(location: tuple[int | str, ...]) -> str:
    """Where a field of the model stands in the document."""
    head, tail = str(location[0]), "".join(f"[{n}]" if isinstance(n, int) else f".{n}" for n in location[1:])
    places = {"owner": "team.name", "dataset": "schema[0].name", "columns": "schema[0].properties"}
    places |= {field: f"customProperties[{PREFIX}{name}]" for name, field in PROPERTIES.items()}
    return places.get(head, head) + tail


def _fields(document: dict[str, Any], findings: Findings) -> dict[str, Any]:
    """The document as the fields of a Contract; what the standard leaves open and we need is a finding."""
    custom = _custom_properties(document, findings)
    schemas = document.get("schema") or []
    if len(schemas) != 1:
        findings.add(
            "schema", f"{len(schemas)} objects", "One contract describes one dataset: give exactly one object."
        )
    table = schemas[0] if schemas else {}
    layer = str(custom.get("layer") or "")
    if not table.get("properties"):
        findings.add("schema[0].properties", "there are no columns", "List every column that the dataset has.")
    _check_place(document, table, findings)
    _check_layer(layer, custom, table, findings)
    team = document.get("team")
    purpose = (document.get("description") or {}).get("purpose")
    fields: dict[str, Any] = {
        "dataset": table.get("name"),
        "domain": document.get("domain"),
        "layer": layer or None,
        "version": document.get("version"),
        "owner": team.get("name") if isinstance(team, dict) else None,
        "description": str(purpose or table.get("description") or "").strip(),
        "partition": {"grain": Grain.ALL.value},
        "columns": [_column(item, layer) for item in table.get("properties") or []],
        "freshness": _freshness(document, findings),
        "content_digest": content_digest(document, findings.file),
        "path": findings.file,
        "document": document,
    }
    given = {PROPERTIES[name]: value for name, value in custom.items() if name in PROPERTIES and value is not None}
    if isinstance(given.get("window"), dict):
        given["window"] = given["window"].get("partitions")
    if "lease" in given:
        given["lease"] = _lease(given["lease"], findings)
    return fields | {name: value for name, value in given.items() if value is not None}


def _custom_properties(document: Mapping[str, Any], findings: Findings) -> dict[str, Any]:
    """The contract's `interlock.*` properties; a name that nothing reads is a finding, for it would do nothing."""
    custom: dict[str, Any] = {}
    for item in document.get("customProperties") or []:
        name = str(item["property"])
        if not name.startswith(PREFIX):
            continue
        name = name.removeprefix(PREFIX)
        where = f"customProperties[{PREFIX}{name}]"
        if name in custom:
            findings.add(where, "it stands twice", "Keep one of them.")
        if name not in PROPERTIES:
            findings.add(where, "there is no such property", suggestion(name, PROPERTIES))
        custom[name] = item.get("value")
    return custom


def suggestion(name: str, known: Iterable[str]) -> str:
    """What was probably meant by a misspelt name."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    listed = f"Use one of: {', '.join(names)}."
    return f"Did you mean {close[0]}? {listed}" if close else listed


def _check_place(document: Mapping[str, Any], table: Mapping[str, Any], findings: Findings) -> None:
    file = findings.file
    if table.get("name") and file.stem != table["name"]:
        found = f"{table['name']!r}, but the file is {file.name}"
        findings.add("schema[0].name", found, "Name the file after the dataset.")
    if document.get("domain") != file.parent.name:
        found = f"{document.get('domain')!r}, but the folder is {file.parent.name}"
        findings.add("domain", found, "Move the file, or correct the domain.")


def _check_layer(layer: str, custom: Mapping[str, Any], table: Mapping[str, Any], findings: Findings) -> None:
    """What a feed must say, and what a dataset with days must."""
    if layer == Layer.RAW:
        if "delivery" not in custom:
            fix = "Say how the feed is delivered: mode, landing, mark, empty, absent, null."
            findings.add(f"customProperties[{PREFIX}delivery]", "missing", fix)
        return
    partition = custom.get("partition")
    if isinstance(partition, dict) and partition.get("grain") == Grain.DAY:
        names = [item["name"] for item in table.get("properties") or []]
        if partition.get("column") not in names:
            found = f"{partition.get('column')!r} is no column"
            findings.add(f"customProperties[{PREFIX}partition].column", found, "Name the date column of a row's day.")


def _column(item: Mapping[str, Any], layer: str) -> dict[str, Any]:
    logical = str(item.get("logicalType") or "string")
    declared = item.get("physicalType")
    value_type = str(declared) if declared and declared != "text" else VALUE_TYPES.get(logical, "text")
    position = item.get("primaryKeyPosition")
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


def _freshness(document: Mapping[str, Any], findings: Findings) -> timedelta | None:
    """How late the newest partition may be; any other promise of service is a finding, for nothing would keep it."""
    found: timedelta | None = None
    for number, item in enumerate(document.get("slaProperties") or []):
        where = f"slaProperties[{number}]"
        if item["property"] not in SLA_PROPERTIES:
            fix = f"Only {' and '.join(SLA_PROPERTIES)} are checked; remove the promise, or state it where it is kept."
            findings.add(where, f"nothing checks {item['property']!r}", fix)
        elif found is not None:
            findings.add(where, "the latency is promised a second time", "Keep one of the two promises.")
        else:
            found = _span(item.get("value"), str(item.get("unit") or ""))
            if found is None:
                told = f"{item.get('value')!r} {item.get('unit')!r} is no span of time"
                findings.add(where, told, "Give value as a number above zero and unit as s, m, h or d.")
    return found


def _span(value: Any, unit: str) -> timedelta | None:
    word = UNITS.get(unit) or UNITS.get(unit.removesuffix("s"))
    if word is None or isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    try:
        span = timedelta(**{word: value})
    except OverflowError:
        return None
    return span if timedelta(0) < span <= LONGEST_SPAN else None


def _lease(value: Any, findings: Findings) -> timedelta | None:
    found = DURATION.fullmatch(str(value))
    parts = {name: int(number) for name, number in found.groupdict().items() if number} if found else {}
    lease = timedelta(**parts)
    if timedelta(0) < lease <= LONGEST_SPAN:
        return lease
    fix = "Write an ISO 8601 duration of at most 100 years, for example P7D."
    findings.add(f"customProperties[{PREFIX}lease]", f"{value!r} is no duration", fix)
    return None


def content_digest(document: Mapping[str, Any], file: Path) -> str:
    """SHA-256 over what a contract says, whatever its comments and its layout; its expectations count too."""
    meaning = {key: value for key, value in document.items() if key not in _OF_THE_VERSION}
    beyond = expectations_file(file)
    try:
        expectations = read_yaml(beyond) if beyond.exists() else None
    except ValueError:
        expectations = None  # a problem of its own, which keeps the contract from being used
    text = json.dumps([meaning, expectations], sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()
