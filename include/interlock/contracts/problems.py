"""What is wrong with a contract, gathered until everything was looked at.

One problem at a time is how an afternoon goes; a file is reported whole, and so are all files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from interlock.errors import PermanentFailure


class ContractProblem(BaseModel):
    """One finding: in which file, where in it, what was found, and how to mend it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: Path
    where: str
    found: str
    fix: str

    def __str__(self) -> str:
        return f"{self.file}: {self.where}: {self.found}\n    fix: {self.fix}"


class Findings:
    """The problems of one file, in the order in which they are found."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.problems: list[ContractProblem] = []

    def add(self, where: str, found: str, fix: str) -> None:
        """Note one problem and go on."""
        self.problems.append(ContractProblem(file=self.file, where=where, found=found, fix=fix))


class ContractInvalid(PermanentFailure):
    """Contracts that cannot be used, with every problem of every file."""

    def __init__(self, problems: Sequence[ContractProblem]) -> None:
        self.problems = tuple(problems)
        listed = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(
            f"{len(problems)} problem(s) in the contracts:\n{listed}",
            fix="Mend them; `interlock contract lint` lists them again.",
        )
