"""The shipped bundle on one warm engine, and small bundles of a test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from interlock.control.bundles import Bundle, load_bundle
from interlock.control.cases import Case, load_cases
from interlock.control.policy import Policy
from interlock.control.rego import RegoEngine

POLICIES = Path(__file__).parents[3] / "include" / "policies"


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    """The bundle that ships."""
    return load_bundle(POLICIES)


@pytest.fixture(scope="session")
def cases() -> dict[str, Case]:
    """The cases that ship, by name."""
    return {case.name: case for case in load_cases(POLICIES)}


@pytest.fixture(scope="session")
def policy(bundle: Bundle) -> Iterator[Policy]:
    """The bundle that ships, in a child process that all tests share."""
    with Policy(bundle, RegoEngine(bundle, seconds=10)) as policy:
        yield policy


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Bundle]:
    """A bundle with one module, which is given with its name."""

    def write(text: str, name: str = "interlock/actions/decision.rego", folder: str = "policies") -> Bundle:
        file = tmp_path / folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return load_bundle(tmp_path / folder)

    return write
