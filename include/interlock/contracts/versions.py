"""Which content each version of a contract had, kept in `include/contracts/versions.lock` under version control.

A version that means two things protects nobody: its readers agreed to one of them. So what a version said is
written down once and never again, together with as much of its shape as tells whether a later one breaks readers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from interlock.contracts.documents import read_yaml
from interlock.contracts.model import Contract, Layer
from interlock.contracts.physical_types import canonical_type, is_widening
from interlock.contracts.problems import ContractProblem, Findings

FILE = "versions.lock"
SEMANTIC = re.compile(r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})")
HEADER = """\
# What each version of each contract said. Written by `interlock contract lint --record`; never edit a recorded version:
# raise the version of the contract instead.
"""
Number = tuple[int, int, int]


class ColumnShape(BaseModel):
    """What readers and producers rely on in one column."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str
    required: bool = False
    values: tuple[Any, ...] = ()


class Recorded(BaseModel):
    """One version as it was: the digest of its content, its key and its columns."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str = Field(pattern="^[0-9a-f]{64}$")
    key: tuple[str, ...] = ()
    columns: dict[str, ColumnShape]


Lock = dict[str, dict[str, Recorded]]
_lock: TypeAdapter[Lock] = TypeAdapter(Lock)


def lock_file(root: Path) -> Path:
    """Where a project keeps the versions of its contracts."""
    return root / "include" / "contracts" / FILE


def read_lock(file: Path) -> tuple[Lock, list[ContractProblem]]:
    """The recorded versions by dataset, with what keeps them from being read."""
    findings = Findings(file)
    if not file.exists():
        return {}, []
    try:
        return _lock.validate_python(read_yaml(file) or {}), []
    except ValidationError as error:
        for item in error.errors():
            fix = "Restore the file from version control; `--record` writes it."
            findings.add(".".join(map(str, item["loc"])) or "-", item["msg"], fix)
    except ValueError as error:
        findings.add("-", f"the file cannot be read: {error}", "Restore it from version control.")
    return {}, findings.problems


def recorded(contract: Contract) -> Recorded:
    """The present content of a contract, as it is recorded."""
    columns = {
        column.name: ColumnShape(
            type=canonical_type(column.value_type) or column.value_type,
            required=column.required or column.primary_key_position is not None,
            values=column.values,
        )
        for column in contract.columns
    }
    return Recorded(digest=contract.content_digest, key=contract.primary_key, columns=columns)


def version_problems(contracts: Iterable[Contract], lock: Lock) -> Iterator[ContractProblem]:
    """What is wrong with the contracts' versions, given what was recorded; a new version is no problem."""
    for contract in contracts:
        findings = Findings(contract.path)
        number = version_number(contract.version)
        if number is None:
            findings.add("version", f"{contract.version!r} is no version", "Write three numbers, for example 1.0.0.")
        else:
            _judge(contract, number, lock.get(contract.dataset, {}), findings)
        yield from findings.problems


def unrecorded(contracts: Iterable[Contract], lock: Lock) -> list[Contract]:
    """Contracts whose version was not recorded yet."""
    return [contract for contract in contracts if contract.version not in lock.get(contract.dataset, {})]


def record(file: Path, lock: Mapping[str, Mapping[str, Recorded]], contracts: Iterable[Contract]) -> None:
    """Add the present versions of these contracts to the file. What was recorded before stays as it was."""
    merged = {dataset: dict(versions) for dataset, versions in lock.items()}
    for contract in contracts:
        merged.setdefault(contract.dataset, {}).setdefault(contract.version, recorded(contract))
    lines = [HEADER]
    for dataset, versions in sorted(merged.items()):
        lines.append(f"{_flow(dataset)}:\n")
        for version, content in sorted(versions.items(), key=lambda item: version_number(item[0]) or (0, 0, 0)):
            lines.append(f"  {version}:\n")
            lines += _lines(content)
    beside = file.with_suffix(".writing")
    beside.write_text("".join(lines), encoding="utf-8")
    beside.replace(file)


def version_number(version: str) -> Number | None:
    """A version as something to compare; None for anything but three numbers."""
    found = SEMANTIC.fullmatch(version)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def breaking_changes(layer: Layer, old: Recorded, new: Recorded) -> list[str]:
    """What somebody who agreed to the old version would trip over: readers of a dataset, producers of a feed."""
    found = [f"the column {name} is gone" for name in old.columns if name not in new.columns]
    if old.key != new.key:
        found.append(f"the key was ({', '.join(old.key)}) and is ({', '.join(new.key)})")
    for name, now in new.columns.items():
        before = old.columns.get(name)
        if before is None:
            if layer is Layer.RAW:
                found.append(f"producers must deliver a new column {name}")
        else:
            found += [f"{name} {told}" for told in _narrowings(layer, before, now)]
    return found


def _narrowings(layer: Layer, before: ColumnShape, now: ColumnShape) -> Iterator[str]:
    is_feed = layer is Layer.RAW
    if before.type != now.type and not is_widening(before.type, now.type):
        yield f"was {before.type} and is {now.type}"
    if is_feed and now.required and not before.required:
        yield "must be delivered now, and was not required"
    if not is_feed and before.required and not now.required:
        yield "may be null now, and never was"
    gone = [str(value) for value in before.values if value not in now.values]
    if now.values and gone:
        yield f"may no longer be {', '.join(gone)}"
    if before.values and not now.values and not is_feed:
        yield "may be anything now, and was one of a list"
    if is_feed and now.values and not before.values:
        yield "must be one of a list now, and could be anything"


def _judge(contract: Contract, number: Number, known: Mapping[str, Recorded], findings: Findings) -> None:
    same = known.get(contract.version)
    if same is not None:
        if same.digest != contract.content_digest:
            now = recorded(contract)
            told = f"the content changed, and the version is still {contract.version}{_told_changes(same, now)}"
            findings.add("version", told, _raise_to(number, breaking_changes(contract.layer, same, now)))
        return
    earlier = {n: content for version, content in known.items() if (n := version_number(version)) is not None}
    if not earlier:
        return
    newest = max(earlier)
    if number < newest:
        told = f"{contract.version} is older than {_words(newest)}, which was recorded"
        findings.add("version", told, f"Give the new content a version above {_words(newest)}.")
    elif number[0] == newest[0] and (broken := breaking_changes(contract.layer, earlier[newest], recorded(contract))):
        told = f"{contract.version} breaks what {_words(newest)} promised: {'; '.join(broken)}"
        findings.add("version", told, f"Raise it to {newest[0] + 1}.0.0, or keep the promise.")


def _raise_to(number: Number, broken: list[str]) -> str:
    major, minor, patch = number
    if broken:
        return f"Raise it to {major + 1}.0.0 (it breaks: {'; '.join(broken)}), then `interlock contract lint --record`."
    return (
        f"Raise it to {major}.{minor + 1}.0 for another promise or {major}.{minor}.{patch + 1} for other words, "
        "then `interlock contract lint --record`."
    )


def _told_changes(old: Recorded, new: Recorded) -> str:
    touched = sorted(name for name in {*old.columns, *new.columns} if old.columns.get(name) != new.columns.get(name))
    return f" (columns: {', '.join(touched)})" if touched else ""


def _words(number: Number) -> str:
    return ".".join(map(str, number))


def _lines(content: Recorded) -> Iterator[str]:
    yield f"    digest: {_flow(content.digest)}\n"
    yield f"    key: {_flow(list(content.key))}\n"
    yield "    columns:\n"
    for name, column in content.columns.items():
        yield f"      {_flow(name)}: {_flow(column.model_dump(mode='json', exclude_defaults=True))}\n"


def _flow(value: Any) -> str:
    """A value on one line, so that a difference between two versions is a difference of lines."""
    written: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000, allow_unicode=True)
    return written.removesuffix("...\n").strip()
