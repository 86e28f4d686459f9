"""What of a list is wanted: one selection for every list, bound to each list's own SQL, page by page by its last key.

Pages go by key and not by number: what is added meanwhile neither repeats an item nor passes over one, and the last
page of a long list costs what the first does.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from interlock.db.connection import statement
from interlock.errors import UsageError

if TYPE_CHECKING:
    from interlock.db.connection import Connection

Key = tuple[str | int, ...]
LARGEST = 2**63 - 1


class Selection(BaseModel):
    """Which items of a list are wanted; what is None is not asked about. `after` is the key of the last item seen.

    `partition_from` and `partition_to` are days, both included; of two times `since` is included and `until` is not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    domains: tuple[str, ...] | None = None
    datasets: tuple[str, ...] | None = None
    layers: tuple[str, ...] | None = None
    states: tuple[str, ...] | None = None
    kinds: tuple[str, ...] | None = None
    partitions: tuple[str, ...] | None = None
    partition_from: str | None = None
    partition_to: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    after: Key | None = None
    limit: int = 100

    def values(self, **key: type[str] | type[int]) -> dict[str, Any]:
        """The selection as the values of a statement; the parts of the key under the names that the list gives them.

        Raises UsageError where `after` is no key of this list.
        """
        parts = self.after or (None,) * len(key)
        if self.after is not None and not (
            len(parts) == len(key) and all(_fits(part, kind) for part, kind in zip(parts, key.values(), strict=True))
        ):
            raise UsageError("The cursor is none of this list.", fix="Begin again without it: the first page has one.")
        bound = {name: list(value) if isinstance(value, tuple) else value for name, value in self if name != "after"}
        return bound | dict(zip(key, parts, strict=True))


def rows(connection: Connection, file: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a `.sql` file of the package as mappings."""
    from psycopg.rows import dict_row

    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement(file).encode(), values).fetchall()


def _fits(part: str | int | None, kind: type[str] | type[int]) -> bool:
    if kind is int:
        return type(part) is int and -LARGEST <= part <= LARGEST
    return isinstance(part, str) and "\0" not in part
