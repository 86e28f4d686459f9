"""Imports run one way, so that any room can be read, tested and replaced without the rooms above it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "include" / "interlock"

# Each line may import from itself and from the lines above it. A new room must be given its place here.
FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"errors"}),
    frozenset({"settings", "processes", "logs"}),
    frozenset({"db"}),
    frozenset({"clock"}),
    frozenset({"contracts"}),
    frozenset({"ingestion", "transform", "quality", "publishing", "safety"}),
    frozenset({"pipeline"}),
    frozenset({"control", "recovery"}),
    frozenset({"orchestration", "airflow_rest", "services", "diagnosis", "client", "telemetry"}),
    frozenset({"operators", "api", "cli", "example", "__main__"}),
)
MAY_IMPORT_AIRFLOW = {"operators"}


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room != "__init__":
            yield room, path


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module or ""
            # `from interlock import services` names a room as well
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def floor_of(room: str) -> int | None:
    return next((number for number, rooms in enumerate(FLOORS) if room in rooms), None)


def rooms_imported(path: Path) -> set[str]:
    parts = (name.split(".") for name in imported(path))
    return {part[1] for part in parts if part[0] == "interlock" and len(part) > 1 and floor_of(part[1]) is not None}


def test_every_room_has_its_place():
    assert {room for room, _ in modules() if floor_of(room) is None} == set()


@pytest.mark.parametrize("path", [path for _, path in modules()], ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_from_its_own_floor_and_the_floors_below_it(path: Path):
    own = floor_of(path.relative_to(PACKAGE).parts[0].removesuffix(".py"))
    upwards = {room for room in rooms_imported(path) if floor_of(room) > own}
    assert upwards == set()


@pytest.mark.parametrize("path", [path for _, path in modules()], ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_operators_import_airflow(path: Path):
    room = path.relative_to(PACKAGE).parts[0]
    uses = {name for name in imported(path) if name.split(".")[0] == "airflow"}
    assert room in MAY_IMPORT_AIRFLOW or uses == set()


def test_the_rule_sees_every_way_to_write_an_import(tmp_path: Path):
    module = tmp_path / "module.py"
    module.write_text(
        "import interlock.cli\nfrom interlock import safety\ndef f():\n    from interlock.db.x import y\n"
    )
    assert rooms_imported(module) == {"cli", "safety", "db"}
