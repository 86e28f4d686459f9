"""The other datasets that a check may look at, where this run sees them.

A gate reads another dataset only in the workspace of its run: there it is either pinned in the versions that the
candidate was built from or sealed a moment ago. What readers see meanwhile is another matter and may be another day.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interlock.errors import PermanentFailure
from interlock.quality.sqltext import identifier

if TYPE_CHECKING:
    from interlock.db.connection import Connection


@dataclass(frozen=True)
class Neighbours:
    """Relations of a workspace by the name of their dataset, each with the column that tells a row's partition."""

    workspace: str
    shapes: Mapping[str, tuple[str, str | None]]

    def relation(self, dataset: str) -> str:
        """Where the dataset lies. Raises PermanentFailure for a dataset that nobody registered."""
        layer, _ = self._shape(dataset)
        return f"{identifier(self.workspace)}.{identifier(f'{dataset}_accepted' if layer == 'raw' else dataset)}"

    def is_feed(self, dataset: str) -> bool:
        """Whether the dataset is raw, so that a load and a row number identify its rows."""
        return self._shape(dataset)[0] == "raw"

    def partition_column(self, dataset: str) -> str | None:
        """The column that tells a row's partition, None where the dataset is one partition."""
        return self._shape(dataset)[1]

    def _shape(self, dataset: str) -> tuple[str, str | None]:
        if dataset not in self.shapes:
            raise PermanentFailure(
                f'no dataset is named "{dataset}"', fix="Correct the name in the contract that refers to it."
            )
        return self.shapes[dataset]


def find_neighbours(connection: Connection, run_id: int, datasets: Iterable[str]) -> Neighbours:
    """Look up the datasets that a contract's checks refer to."""
    rows = connection.execute(
        "select name, layer, case when layer = 'raw' and grain = 'day' then '_partition' else partition_column end"
        " from interlock.dataset where name = any (%s)",
        [list(datasets)],
    ).fetchall()
    return Neighbours(f"run_{run_id}", {name: (layer, column) for name, layer, column in rows})
