"""The datasets as whoever chooses among them sees them: what each is, whose, how safe, and who stands on it.

What a dataset promises is its contract in the checkout; that it is registered, and how it stands, is in the database. A
dataset that was retired has no contract any more, and is told without its words.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from interlock.contracts.loading import readable_contracts
from interlock.contracts.model import Contract
from interlock.db.connection import Role, connect
from interlock.db.disclosure import told
from interlock.db.failures import translated
from interlock.db.listing import Selection, rows
from interlock.errors import Unknown
from interlock.safety.answer import Answer, Freshness, Reason, State


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DatasetSummary(_Part):
    """One dataset. `state` answers for its window and its freshness; `partitions` counts all there are, by state."""

    dataset: str
    domain: str
    layer: str
    grain: str
    description: str
    owner: str
    criticality: str
    contract_version: str
    freshness: Freshness
    state: State
    safe: bool
    reasons_count: int
    partitions: dict[State, int]
    valid_until: datetime | None


class ColumnSummary(_Part):
    """One column as its contract describes it."""

    name: str
    type: str
    description: str
    classification: str | None
    required: bool
    unique: bool


class Neighbour(_Part):
    """A dataset that this one reads, or that reads it, and how days of the one follow from days of the other."""

    dataset: str
    domain: str
    layer: str
    mapping: str
    lookback: int
    reopens: bool


class Dependent(_Part):
    """Who stands on the dataset without being one: a consumer or a metric."""

    name: str
    owner: str | None
    contact: str | None
    kind: str


class DatasetDetail(DatasetSummary):
    """One dataset with its columns, its neighbours and all that stands on it. `window` is in partitions."""

    reasons: tuple[Reason, ...]
    columns: tuple[ColumnSummary, ...]
    upstream: tuple[Neighbour, ...]
    downstream: tuple[Neighbour, ...]
    consumers: tuple[Dependent, ...]
    metrics: tuple[Dependent, ...]
    on_gate_failure: str
    sla_seconds: float | None
    window: int
    is_increment: bool
    is_retired: bool


def datasets(selection: Selection) -> list[DatasetSummary]:
    """Datasets by name. The key of one is its name."""
    with translated(), connect(Role.AUDITOR, autocommit=True) as connection:
        found = rows(connection, "safety/datasets.sql", selection.values(after_name=str))
    contracts = readable_contracts()
    return [DatasetSummary(**_summary(row, contracts.get(row["dataset"]))) for row in found]


def dataset(name: str) -> DatasetDetail:
    """One of them. Raises Unknown where there is none of that name."""
    with translated(), connect(Role.AUDITOR) as connection:
        connection.execute("set transaction isolation level repeatable read, read only")
        values = Selection(datasets=(name,), limit=1).values(after_name=str)
        found = rows(connection, "safety/datasets.sql", values)
        if not found:
            raise Unknown(f"There is no dataset {name!r}.", fix="`interlock status` shows all that ever ran.")
        around = rows(connection, "safety/neighbours.sql", {"dataset": name})[0]
    contract = readable_contracts().get(name)
    answer = disclosed_answer(Answer.model_validate(found[0]["answer"]))
    return DatasetDetail(
        **_summary(found[0], contract),
        **around,
        reasons=answer.reasons,
        columns=_columns(found[0]["columns"], contract),
        sla_seconds=answer.freshness.sla_seconds,
        **{field: found[0][field] for field in ("on_gate_failure", "window", "is_increment", "is_retired")},
    )


def active_contract(name: str) -> str:
    """The version of a dataset's contract that the gates judge by."""
    with translated(), connect(Role.AUDITOR, autocommit=True) as connection:
        row = connection.execute(
            "select d.contract_version from interlock.dataset d where d.name = %s", [name]
        ).fetchone()
    if row is None:
        raise Unknown(f"There is no dataset {name!r}.", fix="`interlock status` shows all that ever ran.")
    return str(row[0])


def _summary(row: dict[str, Any], contract: Contract | None) -> dict[str, Any]:
    answer = Answer.model_validate(row["answer"])
    given = ("dataset", "domain", "layer", "grain", "owner", "criticality", "contract_version", "partitions")
    return {name: row[name] for name in given} | {
        "description": contract.description if contract else "",
        "freshness": answer.freshness,
        "state": answer.state,
        "safe": answer.safe,
        "reasons_count": len(answer.reasons),
        "valid_until": answer.valid_until,
    }


def disclosed_answer(answer: Answer) -> Answer:
    """The answer, without what the database said of a row."""
    reasons = (reason.model_copy(update={"message": told(reason.message)}) for reason in answer.reasons)
    return answer.model_copy(update={"reasons": tuple(reasons)})


def _columns(registered: list[dict[str, str]], contract: Contract | None) -> tuple[ColumnSummary, ...]:
    """As the contract describes them; as the database knows them where there is no contract any more."""
    if contract is None:
        known = {"description": "", "classification": None, "required": False, "unique": False}
        return tuple(ColumnSummary(name=column["name"], type=column["type"], **known) for column in registered)
    return tuple(
        ColumnSummary(
            name=column.name,
            type=column.physical_type,
            description=column.description,
            classification=column.classification,
            required=column.required or column.primary_key_position is not None,
            unique=column.unique or contract.primary_key == (column.name,),
        )
        for column in contract.columns
    )
