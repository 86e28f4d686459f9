"""A contract's file as a document of the Open Data Contract Standard, or everything that keeps it from being one.

YAML lets the last of two equal keys win in silence, which is how a pasted block switches off the clauses of the
one before it; so a repeated key is refused here. Whatever else a file may hold ends as a problem, never as a crash.
"""

from __future__ import annotations

import json
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
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found


def read_yaml(file: Path) -> Any:
    """What a YAML file holds, as JSON would: dates are text, keys are words. Raises ValueError with the place."""
    try:
        held = yaml.load(file.read_text(encoding="utf-8"), Loader=_StrictLoader)  # noqa: S506 (a safe loader)
        # YAML reads dates as dates and any scalar as a key; the standard's schema knows JSON alone.
        return json.loads(json.dumps(held, default=str))
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"it is no UTF-8 text (byte {error.start})") from error
    except yaml.YAMLError as error:
        raise ValueError(_told(error)) from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"a value in it cannot be read: {str(error)[:LONGEST_TOLD]}") from error


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
    from jsonschema.exceptions import best_match  # type: ignore[import-untyped]
    from open_data_contract_standard.model import OpenDataContractStandard

    found = [best_match([error]) for error in _validator().iter_errors(document)]
    errors = [(error.json_path.removeprefix("$").removeprefix(".") or "-", _short(error.message)) for error in found]
    if document.get("apiVersion") not in (STANDARD, None):
        errors.append(("apiVersion", f"{document.get('apiVersion')!r} is not {STANDARD}"))
    if not errors:
        try:
            OpenDataContractStandard.model_validate(document)
        except ValidationError as invalid:
            errors += [(_path(item["loc"]), item["msg"]) for item in invalid.errors()]
    return dict.fromkeys(errors)


@cache
def _validator() -> Any:
    import jsonschema  # type: ignore[import-untyped]

    # As the library ships it; its own accessor warns of its age.
    text = resources.files("open_data_contract_standard").joinpath("schema.json").read_text(encoding="utf-8")
    schema = json.loads(text)
    return jsonschema.validators.validator_for(schema)(schema)


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
