"""What published tables hold, in two numbers that no order of the rows changes; and which content that is.

The columns of the contract alone, less `load_id`: the number of the load differs by run, and nothing else may.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from interlock.contracts.loading import load_contracts
from interlock.contracts.model import Catalog, Grain, Layer

DIFFERS_BY_RUN = ("load_id",)
Content = tuple[int, str]  # rows, checksum
EMPTY: Content = (0, "0")


@dataclass(frozen=True)
class Table:
    """A dataset that consumers read."""

    dataset: str
    domain: str
    day_column: str | None
    columns: tuple[str, ...]
    reads: tuple[str, ...]  # datasets with days that it is built from, day by day

    def query(self, schema: str) -> str:
        """Rows, checksum and the answer about one partition, `%(partition)s`, in one statement and so one snapshot."""
        of_day = f" where t.{self.day_column} = %(day)s::text::date" if self.day_column else ""
        row = ", ".join(f't."{column}"' for column in self.columns)
        return (
            f"select '{self.dataset}', x.n, x.hash, interlock.ask('{self.dataset}', %({self._partition})s::text)"
            " from (select count(*) as n,"
            f" coalesce(sum(hashtextextended(row({row})::text, 0)::numeric), 0)::text as hash"
            f" from {schema}.{self.dataset} t{of_day}) as x"
        )

    @property
    def _partition(self) -> str:
        return "day" if self.day_column else "all"

    def partition(self, day: str) -> str:
        """The partition of this dataset that a run of the day writes."""
        return day if self.day_column else "all"


def tables(catalog: Catalog | None = None) -> tuple[Table, ...]:
    """Every dataset that consumers read."""
    from interlock.transform.lineage import Lineage

    catalog = catalog or load_contracts()
    lineage = Lineage(catalog)
    names = [name for name in lineage.order if catalog[name].layer is not Layer.RAW]
    with_days = {name for name in names if catalog[name].partition.grain is Grain.DAY}
    return tuple(
        Table(
            dataset=name,
            domain=catalog[name].domain,
            day_column=catalog[name].partition.column if name in with_days else None,
            columns=tuple(column.name for column in catalog[name].columns if column.name not in DIFFERS_BY_RUN),
            reads=tuple(
                edge.upstream for edge in lineage.upstream(name) if name in with_days and edge.upstream in with_days
            ),
        )
        for name in names
    )


def one_statement(wanted: tuple[Table, ...]) -> str:
    """What readers of several datasets see together."""
    return " union all ".join(table.query("safe") for table in wanted)


Known = dict[str, dict[str, dict[str, Content]]]  # dataset, partition, name of the content


def contents_of(known: Known, dataset: str, partition: str, found: Content) -> set[str]:
    """Which known contents this is; none for what nobody should ever see."""
    return {name for name, content in known.get(dataset, {}).get(partition, {}).items() if tuple(content) == found}


def parameters(day: str) -> dict[str, Any]:
    """The values of `one_statement`."""
    return {"day": day, "all": "all"}
