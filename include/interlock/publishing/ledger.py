"""The ledger, read: where every row of a partition came from and went to, from the lines of a file to the served table.

The entries are written in the database, with the load and with the verdict; nothing here can write one.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from interlock.db.connection import Role, connect, statement
from interlock.errors import CouldNotAsk, Unknown


class Entry(BaseModel):
    """One step into one partition of one version. Counts are of `unit`: rows, or distinct members of a key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    domain: str
    layer: str
    partition: str
    version: int
    is_served: bool
    input: str
    unit: str
    read: int
    quarantined: int
    deduplicated: int
    dropped: int
    added: int
    written: int
    lost: int
    doubled: int
    reasons: dict[str, dict[str, int]]
    balances: bool
    run_id: int
    recorded_at: datetime


class Accounts(BaseModel):
    """The steps into a partition, the first one first, and whether all of them balance."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    partition: str
    entries: tuple[Entry, ...]

    @property
    def balances(self) -> bool:
        """Whether there are accounts at all, and each of them balances."""
        return bool(self.entries) and all(entry.balances for entry in self.entries)


def accounts(dataset: str, partition: str) -> Accounts:
    """The accounts of the served version of a partition; of the newest one that was judged where none is served.

    Raises UsageError for a dataset that nobody registered, CouldNotAsk where the database does not answer.
    """
    import psycopg

    try:
        with connect(Role.AUDITOR, autocommit=True) as connection:
            known = connection.execute("select from interlock.dataset where name = %s", [dataset]).fetchone()
            rows = connection.execute(
                statement("publishing/ledger.sql").encode(), {"dataset": dataset, "partition": partition}
            ).fetchall()
    except psycopg.Error as error:
        raise CouldNotAsk(f"The database did not answer: {str(error).strip()}") from error
    if known is None:
        raise Unknown(f"There is no dataset {dataset!r}.", fix="`interlock status` shows all that ever ran.")
    names = tuple(Entry.model_fields)
    entries = (Entry(**dict(zip(names, row, strict=True))) for row in rows)
    return Accounts(dataset=dataset, partition=partition, entries=tuple(entries))
