"""A contract's file as a document of the Open Data Contract Standard, or everything that keeps it from being one.

YAML lets the last of two equal keys win in silence, which is how a pasted block switches off the clauses of the
one before it; so a repeated key is refused here. Whatever else a file may hold ends as a problem, never as a crash:
also what libyaml itself does not survive (it overruns the stack on 100 KB of brackets, and takes the process with
it), and aliases of aliases that are small in the file and endless once they are written out.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from interlock.contracts.problems import Findings

STANDARD = "v3.1.0"
SEE_STANDARD = f"See the Open Data Contract Standard, {STANDARD}."
LONGEST_TOLD = 300
# No contract that a person wrote comes near these.
LARGEST_FILE = 4 << 20
DEEPEST = 100
MOST_VALUES = 200_000
LONGEST_VALUE = 100_000


class _StrictLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML without surprises: a key that stands twice in a mapping is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} repeats", key.start_mark
                    )
                seen.add(key.value)
        is_merged = "<<" in seen
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        if len(found) < len(seen) and not is_merged:  # 1 and 0x1 are written differently and are one key
            raise yaml.constructor.ConstructorError(None, None, "two of its keys mean the same", node.start_mark)
        return found


class _TooMuch(ValueError):
    """A file that may be YAML, and is not read any further."""


def read_yaml(file: Path) -> Any:
    """What a YAML file holds, as JSON would: dates are text, keys are words. Raises ValueError with the place."""
    try:
        text = _text_of(file)
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"it is no UTF-8 text (byte {error.start})") from error
    return yaml_in(text)


def yaml_in(text: str) -> Any:
    """What a text of YAML holds, in the same way."""
    try:
        _require_bounded(text)
        held = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 (a safe loader)
        # YAML reads dates as dates and any scalar as a key; the standard's schema knows JSON alone.
        return json.loads(json.dumps(held, default=_as_text), object_pairs_hook=_without_repeats)
    except _TooMuch:
        raise
    except yaml.YAMLError as error:
        raise ValueError(_told(error)) from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"a value in it cannot be read: {str(error)[:LONGEST_TOLD]}") from error


def _as_text(value: Any) -> str:
    if isinstance(value, set):
        raise TypeError("a set has no order, so the file would not always say the same")
    return str(value)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A mapping of JSON; in YAML `true` and `"true"` are two keys, here they are one."""
    found = dict(pairs)
    if len(found) < len(pairs):
        [(name, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the key {name!r} repeats")
    return found


def _text_of(file: Path) -> str:
    if file.stat().st_size > LARGEST_FILE:
        raise _TooMuch(f"it is larger than {LARGEST_FILE:,} bytes")
    return file.read_text(encoding="utf-8")


def _require_bounded(text: str) -> None:
    """Raise ValueError where a file is deeper, or with its aliases written out larger, than may be built from it.

    The parser's events are looked at, which come one by one: nothing has been built yet.
    """
    if len(text) > LARGEST_FILE:
        raise _TooMuch(f"it is larger than {LARGEST_FILE:,} characters")
    sizes: dict[str, int] = {}
    open_elements: list[tuple[str | None, int]] = []  # the anchor of each, and how many values came before it
    values = 0
    for event in yaml.parse(text, Loader=_StrictLoader):
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_elements.pop()
            if anchor is not None:
                sizes[anchor] = values - before
            continue
        if not isinstance(event, yaml.NodeEvent):
            continue
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.CollectionStartEvent):
            open_elements.append((event.anchor, values))
            if len(open_elements) > DEEPEST:
                raise _TooMuch(f"line {line}: it is nested too deeply, more than {DEEPEST} levels")
        elif isinstance(event, yaml.ScalarEvent) and len(event.value) > LONGEST_VALUE:
            raise _TooMuch(f"line {line}: a value is longer than {LONGEST_VALUE:,} characters")
        values += sizes.get(event.anchor or "", 1) if isinstance(event, yaml.AliasEvent) else 1
        if values > MOST_VALUES:
            raise _TooMuch(f"line {line}: it holds more than {MOST_VALUES:,} values, its aliases written out")


def read_document(file: Path, findings: Findings) -> dict[str, Any] | None:
    """The file as a document that the standard accepts; None where it is not, with the findings."""
    try:
        document = read_yaml(file)
    except ValueError as error:
        findings.add("-", f"the file is no YAML that can be read: {error}", "Mend the syntax.")
        return None
    if not isinstance(document, dict):
        findings.add("-", "the file holds no mapping", "Start from `interlock contract init --from FILE`.")
        return None
    errors = list(_standard_errors(document))
    for where, told in errors:
        findings.add(where, told, SEE_STANDARD)
    return None if errors else document


def _standard_errors(document: dict[str, Any]) -> Iterable[tuple[str, str]]:
    from open_data_contract_standard.model import OpenDataContractStandard

    errors = [] if _is_accepted(document) else list(_schema_errors(document))
    if document.get("apiVersion") not in (STANDARD, None):
        errors.append(("apiVersion", f"{document.get('apiVersion')!r} is not {STANDARD}"))
    if not errors:
        try:
            OpenDataContractStandard.model_validate(document)
        except ValidationError as invalid:
            errors += [(_path(item["loc"]), item["msg"]) for item in invalid.errors()]
    return dict.fromkeys(errors)


def _is_accepted(document: dict[str, Any]) -> bool:
    """Whether the schema of the standard accepts it; to ask what is wrong with one costs a hundred times as much."""
    try:
        return bool(_quick_validator().is_valid(document))
    except (TypeError, ValueError):  # what is no JSON, such as a date, is for the other one to refuse
        return False


def _schema_errors(document: dict[str, Any]) -> Iterable[tuple[str, str]]:
    import jsonschema  # type: ignore[import-untyped]
    from jsonschema.exceptions import best_match  # type: ignore[import-untyped]

    for error in jsonschema.validators.validator_for(_schema())(_schema()).iter_errors(document):
        nearest = best_match([error])
        yield nearest.json_path.removeprefix("$").removeprefix(".") or "-", _short(nearest.message)


@cache
def _quick_validator() -> Any:
    import jsonschema_rs

    return jsonschema_rs.validator_for(_schema())


@cache
def _schema() -> dict[str, Any]:
    # As the library ships it; its own accessor warns of its age.
    text = resources.files("open_data_contract_standard").joinpath("schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def _path(location: Iterable[str | int]) -> str:
    """A place in a document as JSON paths are written: `schema[0].properties[2].name`."""
    parts = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return "".join(parts).removeprefix(".") or "-"


def _told(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    said = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"line {mark.line + 1}, column {mark.column + 1}: {said}" if mark else str(said)


def _short(message: str) -> str:
    return message if len(message) <= LONGEST_TOLD else f"{message[:LONGEST_TOLD]}…"
