"""Explaining: why a partition is not safe, on what evidence, along which path, and what clears it.

The answer comes with a consumer's rights. The evidence behind it (what each check expected and observed, and
sample keys of rows that no reader may see) is read as the auditor; where that login is not to be had, the
explanation says so and stands without it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from interlock.db.connection import Role, connect, statement
from interlock.errors import CouldNotAsk
from interlock.safety.answer import Answer
from interlock.safety.answers import ask


class Finding(BaseModel):
    """What one check found. `sample_keys` are a few keys of the rows that it is about."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    clause: str
    success: bool = False
    severity: str = ""
    message: str = ""
    expected: Any = None
    observed: Any = None
    unexpected_count: int | None = None
    evaluated_rows: int | None = None
    sample_keys: tuple[Any, ...] = ()


class Judgement(BaseModel):
    """A verdict with the findings that are no plain success."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    verdict_id: int
    dataset: str
    domain: str
    partition: str
    version: int
    outcome: str
    contract_version: str
    judged_at: datetime
    findings: tuple[Finding, ...]


class Explanation(BaseModel):
    """An answer with its evidence. `note` says why there is none, where there is none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    answer: Answer
    judgements: tuple[Judgement, ...] = ()
    rebuild_queued_at: datetime | None = None
    note: str = ""


def explain(dataset: str, partition: str | None = None) -> Explanation:
    """The answer, and the evidence of every verdict that it rests on, the root of the trouble first."""
    import psycopg

    answer = ask(dataset, partition)
    names = {"dataset": answer.dataset, "partition": answer.partition}
    if answer.partition is None:
        return Explanation(answer=answer, note="Evidence is kept for each partition: ask with --partition.")
    try:
        with connect(Role.AUDITOR, autocommit=True) as connection:
            verdicts = connection.execute(statement("safety/evidence.sql").encode(), names).fetchall()
            queued = connection.execute(statement("safety/queued.sql").encode(), names).fetchone()
    except (CouldNotAsk, psycopg.Error) as error:
        return Explanation(
            answer=answer, note=f"The evidence could not be read as the auditor: {str(error).splitlines()[0]}"
        )
    return Explanation(
        answer=answer,
        judgements=tuple(Judgement.model_validate(row[0]) for row in verdicts),
        rebuild_queued_at=queued[0] if queued else None,
    )
