"""The bundle: the Rego modules and their numbers below include/policies, under a revision that is their content's hash.

A bundle is read as OPA reads a folder: `*.rego` without `*_test.rego`, and data from files called `data.yaml` or
`data.json`, under the path of their folder. A data file of any other name would silently be no part of it, so it is a
problem here. `cases/` holds questions with their answers, and no policy.

The revision depends on names and contents alone: not on times, the machine or its line ends. So the same bundle comes
from a folder (`load_bundle`: a proposal) and from what the database keeps (`bundle_of`: what may decide).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import tarfile
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from interlock.contracts.documents import yaml_in
from interlock.control.decisions import PolicyInvalid
from interlock.settings import settings

ENTRYPOINT = "interlock/actions/decision"
CASES = "cases"
DATA_NAMES = ("data.yaml", "data.json")
TITLE = re.compile(r"^# title: (.+)$", re.MULTILINE)


class PolicyProblem(BaseModel):
    """One thing that is wrong, and where."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    line: int
    found: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.found}"


class BundleInvalid(PolicyInvalid):
    """Everything that is wrong with a bundle, at once."""

    def __init__(self, problems: tuple[PolicyProblem, ...]) -> None:
        super().__init__(
            "The policy bundle is not valid:\n" + "\n".join(f"  {problem}" for problem in problems),
            fix="Mend include/policies; `interlock policy test` says whether it decides as its cases say.",
        )
        self.problems = problems


class Bundle(BaseModel):
    """What an engine is given: modules by name, and what they find under `data`; `contents` are all its files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    contents: dict[str, str]
    modules: dict[str, str]
    data: dict[str, Any]
    revision: str

    @property
    def rules(self) -> dict[str, list[str]]:
        """The titles of each module's rules, in their order: the policy in words."""
        return {name: TITLE.findall(text) for name, text in self.modules.items()}


def policies_dir() -> Path:
    """Where the policies of this checkout lie."""
    return settings().root / "include" / "policies"


def load_bundle(folder: Path | None = None) -> Bundle:
    """The bundle of a folder. Raises BundleInvalid; whether its Rego compiles is for the engine to say."""
    root = folder or policies_dir()
    contents: dict[str, str] = {}
    problems = [
        PolicyProblem(file=name, line=1, found=f"is not read: data files are called {' or '.join(DATA_NAMES)}")
        for name in _overlooked(root)
    ]
    for file in files_of(root):
        name = file.relative_to(root).as_posix()
        try:
            contents[name] = _text(file)
        except ValueError as error:
            problems.append(PolicyProblem(file=name, line=1, found=str(error)))
    return _made(contents, problems)


def bundle_of(revision: str, contents: dict[str, str]) -> Bundle:
    """The bundle that was recorded under a revision. Raises PolicyInvalid where the content has another one."""
    found = _revision(contents)
    if found != revision:
        raise PolicyInvalid(
            f"The policy recorded as {revision[:12]} was changed since: its content is that of {found[:12]}.",
            fix="Restore its row of interlock.policy_bundle; `interlock audit verify` says whether more was changed.",
        )
    return _made(contents, [])


def files_of(root: Path) -> list[Path]:
    """The files that make up the bundle, in a fixed order."""
    found = [
        file
        for file in _visible(root)
        if (file.suffix == ".rego" and not file.name.endswith("_test.rego")) or file.name in DATA_NAMES
    ]
    return sorted(found, key=lambda file: file.relative_to(root).as_posix())


def archive(bundle: Bundle) -> bytes:
    """The bundle for an OPA server, which then says by which revision it decided: the same bytes for the same content.

    OPA has no revision for a folder, and a decision whose revision nobody knows is refused.
    """
    roots = sorted({name.split("/")[0] for name in bundle.modules} | set(bundle.data))
    manifest = {"revision": bundle.revision, "roots": roots, "rego_version": 1}
    files = {".manifest": json.dumps(manifest), "data.json": json.dumps(bundle.data, sort_keys=True)}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, text in sorted((files | bundle.modules).items()):
            entry = tarfile.TarInfo(f"/{name}")
            entry.size = len(text.encode())
            entry.mode = 0o644
            tar.addfile(entry, io.BytesIO(text.encode()))
    return gzip.compress(packed.getvalue(), mtime=0)


def _made(contents: dict[str, str], problems: list[PolicyProblem]) -> Bundle:
    """The bundle of some files, or everything that is wrong with them."""
    contents = dict(sorted(contents.items()))
    data: dict[str, Any] = {}
    for name, text in contents.items():
        if not name.endswith(".rego"):
            try:
                _put(data, tuple(name.split("/")[:-1]), yaml_in(text))
            except ValueError as error:
                problems.append(PolicyProblem(file=name, line=_line_in(str(error)), found=str(error)))
    modules = {name: text for name, text in contents.items() if name.endswith(".rego")}
    if not modules:
        problems.append(PolicyProblem(file=".", line=1, found="there is no Rego module"))
    if problems:
        raise BundleInvalid(tuple(problems))
    return Bundle(contents=contents, modules=modules, data=data, revision=_revision(contents))


def _visible(root: Path) -> list[Path]:
    """Every file that is neither hidden nor a case."""
    return [
        file
        for file in root.rglob("*")
        if file.is_file()
        and file.relative_to(root).parts[0] != CASES
        and not any(part.startswith(".") for part in file.relative_to(root).parts)
    ]


def _overlooked(root: Path) -> list[str]:
    """Data that OPA would not read."""
    return sorted(
        file.relative_to(root).as_posix()
        for file in _visible(root)
        if file.suffix in (".yaml", ".yml", ".json") and file.name not in DATA_NAMES
    )


def _text(file: Path) -> str:
    return file.read_bytes().decode("utf-8").replace("\r\n", "\n")


def _put(data: dict[str, Any], path: tuple[str, ...], found: Any) -> None:
    if not isinstance(found, dict):
        raise ValueError("there is no mapping at the top")
    place = data
    for part in path:
        place = place.setdefault(part, {})
        if not isinstance(place, dict):
            raise ValueError(f"{part} is defined elsewhere too, as a value")
    if twice := sorted(set(place) & set(found)):
        raise ValueError(f"{', '.join(twice)} is defined elsewhere too")
    place.update(found)


def _line_in(message: str) -> int:
    found = re.search(r"line (\d+)", message)
    return int(found.group(1)) if found else 1


def _revision(contents: dict[str, str]) -> str:
    digest = hashlib.sha256()
    for name, text in sorted(contents.items()):
        for part in (name, text):
            digest.update(len(part.encode()).to_bytes(8, "big"))
            digest.update(part.encode())
    return digest.hexdigest()
