"""Retiring a dataset, and taking it into use again: both are said by a person, with a reason, and neither in passing.

A contract that vanished may be an accident, and then every run must stop, or what it promised would no longer be
checked. Where it is no accident, this is how to say so. What the dataset holds and how it came about is kept; it is
read by nobody, and it is not safe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from interlock.contracts.loading import load_contracts, suggestion
from interlock.db.connection import Role, connect, statement
from interlock.db.failures import translated
from interlock.errors import PermanentFailure, UsageError
from interlock.pipeline import registry

if TYPE_CHECKING:
    from interlock.db.connection import Connection


class Retirement(BaseModel):
    """A dataset that is out of use, or would be: how many partitions of it are served, and how many are safe."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    served: int
    safe: int
    is_done: bool


def retire(dataset: str, reason: str, by: str, *, commit: bool) -> Retirement:
    """Take a dataset out of use whose contract is gone; without `commit`, say what that would do.

    Raises PermanentFailure where its contract is still there, or where something that is in use reads it.
    """
    _require_reason(reason)
    catalog = load_contracts()
    if dataset in catalog:
        raise PermanentFailure(
            f"The contract of {dataset} is still there: {catalog[dataset].path}. Nothing was changed.",
            fix="Take it away first, with its model and whatever reads it; until then it is in use.",
        )
    with translated(), connect(Role.OPERATOR) as connection:
        served, safe = _counted(connection, dataset)
        with connection.transaction(force_rollback=not commit):
            connection.execute("select interlock.retire_dataset(%s, %s, %s)", [dataset, reason, by])
    return Retirement(dataset=dataset, served=served, safe=safe, is_done=commit)


def restore(dataset: str, reason: str, by: str) -> int:
    """Take a retired dataset into use again, whose contract is back; the number of partitions that must be gated anew.

    With its contract and its lineage in one transaction: an input that changed is never without somebody to tell.
    """
    _require_reason(reason)
    catalog = load_contracts()
    if dataset not in catalog:
        raise UsageError(f"There is no contract of {dataset!r}. Nothing was changed.", fix=suggestion(dataset, catalog))
    with translated(), connect(Role.OPERATOR) as connection:
        connection.execute("select interlock.restore_dataset(%s, %s, %s)", [dataset, reason, by])
        registry.write(connection, catalog, by, restored=dataset)
        return _counted(connection, dataset)[0]


def _counted(connection: Connection, dataset: str) -> tuple[int, int]:
    row = connection.execute(statement("pipeline/retirement_scope.sql").encode(), [dataset]).fetchone()
    return row or (0, 0)


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise UsageError("The reason is empty.", fix="Say in a sentence why: whoever misses the dataset will ask.")
