"""The versions of a partition, and how two of them differ: in counts, for nobody reads what is not served.

The rows are compared by the database, with the owner's rights and behind a function that says no value. It ends after
some seconds: whoever compares two versions of a very large partition is told so, and nobody waits for it.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from interlock.contracts.loading import readable_contracts
from interlock.db.connection import Role, connect
from interlock.db.failures import translated
from interlock.db.listing import rows
from interlock.errors import TransientFailure

MOST = 200
COMPARING_SECONDS = 10


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BuiltFrom(_Part):
    """One input of a version."""

    dataset: str
    partition: str
    version: int


class Version(_Part):
    """One version of a partition: a load of a feed, or what was built. `outcome` is that of its newest verdict.

    Held: it failed its gate and is newer than what is served. Pruned: its rows are gone, and what is known stays.
    """

    version: int
    outcome: str | None
    rows: int
    contract_version: str
    run_id: int
    source_file: str | None
    built_at: datetime
    published_at: datetime | None
    is_served: bool
    is_held: bool
    is_withdrawn: bool
    is_pruned: bool
    verdict_id: int | None
    inputs: tuple[BuiltFrom, ...]


class Versions(_Part):
    """The newest versions of a partition, the newest first."""

    dataset: str
    partition: str
    versions: tuple[Version, ...]


class RowCounts(_Part):
    """How many rows each of two versions has."""

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)

    before: int = Field(alias="from")
    after: int = Field(alias="to")


class ColumnDifference(_Part):
    """Of the rows that both have: in how many the column differs. And in how many rows of each it is null."""

    name: str
    changed: int
    null_from: int
    null_to: int


class Difference(_Part):
    """How two versions of a partition differ. Rows are the same by the key of the contract, or by all they say."""

    dataset: str
    partition: str
    from_version: int
    to_version: int
    key: tuple[str, ...]
    rows: RowCounts
    only_in_from: int
    only_in_to: int
    changed: int
    columns: tuple[ColumnDifference, ...]


def versions(dataset: str, partition: str) -> Versions:
    """The versions of a partition; none where nothing was ever loaded or built."""
    with translated(), connect(Role.AUDITOR, autocommit=True) as connection:
        values = {"dataset": dataset, "partition": partition, "limit": MOST}
        found = rows(connection, "publishing/versions.sql", values)
    return Versions(dataset=dataset, partition=partition, versions=tuple(Version(**row) for row in found))


def difference(dataset: str, partition: str, from_version: int, to_version: int) -> Difference:
    """Compare two versions. Raises Unknown for one that there is not, Refused where its rows are gone,
    TransientFailure where it takes too long.
    """
    import psycopg

    contract = readable_contracts().get(dataset)
    key = list(contract.primary_key) if contract else []
    try:
        with translated(), connect(Role.AUDITOR) as connection:
            connection.execute(f"set local statement_timeout = '{COMPARING_SECONDS}s'".encode())
            row = connection.execute(
                "select interlock.difference(%s, %s, %s, %s, %s::text[])",
                [dataset, partition, from_version, to_version, key],
            ).fetchone()
    except TransientFailure as failure:
        if isinstance(failure.__cause__, psycopg.errors.QueryCanceled):
            raise TransientFailure(
                f"{dataset} {partition}: comparing versions {from_version} and {to_version} took longer than"
                f" {COMPARING_SECONDS} s, and was ended.",
                fix="Ask again when the database has less to do; or compare what the gates measured of the two.",
            ) from None
        raise
    asked = {"dataset": dataset, "partition": partition, "from_version": from_version, "to_version": to_version}
    return Difference(**asked, key=tuple(key), **(row[0] if row else {}))
