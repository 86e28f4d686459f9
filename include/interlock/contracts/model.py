"""A contract as the platform uses it: one frozen object a dataset, read from an ODCS v3.1 document.

The standard's own models carry the document; this one carries what the platform acts on, with every
default written down and every `interlock.*` property typed. Nothing downstream reads YAML.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Layer(StrEnum):
    """Where a dataset stands on the way from a delivery to its readers."""

    RAW = "raw"
    STAGED = "staged"
    CURATED = "curated"


class Grain(StrEnum):
    """How long one partition is; `all` is the single partition of a dataset without days."""

    DAY = "day"
    ALL = "all"


class OnGateFailure(StrEnum):
    """What readers get while a newer version of a served partition has failed its gate."""

    WITHHOLD = "withhold"
    SERVE_LAST_GOOD = "serve-last-good"


class Criticality(StrEnum):
    """How much hangs on a dataset. It decides who may act on it, and nothing about its rows."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    HIGHEST = "highest"


class DriftPolicy(StrEnum):
    """What becomes of a delivery whose header differs from the contract."""

    FAIL = "fail"
    QUARANTINE = "quarantine"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Partition(_Part):
    """The unit of work, of gating, of publishing and of blame.

    `column` is a date column; there is none for `all` and for raw.
    """

    grain: Grain
    column: str | None = None


class Budget(_Part):
    """How many rows of a partition may be affected before the whole of it is in doubt: no more than both limits."""

    rows: int = Field(ge=1)
    share: float = Field(gt=0, le=1)

    def allows(self, bad: int, delivered: int) -> bool:
        """Whether so many of the delivered rows are within both limits."""
        return bad <= self.rows and bad <= self.share * delivered

    @property
    def words(self) -> str:
        """Both limits, as people say them."""
        return f"{self.rows:,} rows and {self.share:.2%}"


class Delivery(_Part):
    """How a producer delivers a feed.

    `landing` is a pattern of file names with `{partition}`, `{delivered}` (both YYYY-MM-DD) and `{sequence}` (digits).
    `late` is how far before the newest accepted day a late delivery is still looked for. `repeats` is how many
    identical copies of rows one delivery may hold: the first is taken and the others are counted. Without it none may.
    """

    mode: Literal["full-partition", "increment"]
    landing: str = Field(pattern=r"^[^/]*\{(partition|delivered|sequence)\}[^/]*$")
    mark: Literal["required", "optional", "none"] = "optional"
    empty: Literal["accept", "reject"] = "reject"
    absent: Literal["accept", "fail"] = "fail"
    null: tuple[str, ...] = ()
    repeats: Budget | None = None
    late: timedelta = Field(default=timedelta(days=7), ge=timedelta(0))


class Drift(_Part):
    """The drift policy, for each way in which a header can differ."""

    missing: DriftPolicy = DriftPolicy.FAIL
    extra: DriftPolicy = DriftPolicy.FAIL
    renamed: DriftPolicy = DriftPolicy.FAIL
    retyped: DriftPolicy = DriftPolicy.FAIL


class Input(_Part):
    """Which partitions of an input a dataset reads, where the default is not right."""

    dataset: str
    mapping: Literal["same", "all", "window"]
    lookback: int = Field(default=0, ge=0)
    reopens: bool | None = None


class Decision(_Part):
    """A finding in real data, what was decided about it, and why."""

    finding: str
    decision: str
    reason: str


class Column(_Part):
    """One column.

    `physical_type` is PostgreSQL's (raw columns are text); `value_type` is what a raw column's text must read as.
    """

    name: str
    logical_type: str
    physical_type: str
    value_type: str
    required: bool = False
    unique: bool = False
    primary_key_position: int | None = None
    classification: str | None = None
    description: str = ""
    options: Mapping[str, Any] = Field(default_factory=dict)
    values: tuple[Any, ...] = ()


class Contract(_Part):
    """What one dataset promises to whom. `content_digest` changes with any change of meaning, `path` is its file."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, ignored_types=(cached_property,)
    )

    dataset: str
    domain: str
    layer: Layer
    version: str
    owner: str
    description: str = ""
    partition: Partition
    columns: tuple[Column, ...]
    delivery: Delivery | None = None
    drift: Drift = Drift()
    quarantine: Budget | None = None
    on_gate_failure: OnGateFailure = OnGateFailure.WITHHOLD
    criticality: Criticality = Criticality.NORMAL
    freshness: timedelta | None = None
    window: int = Field(default=1, ge=1)
    lease: timedelta = timedelta(days=7)
    inputs: tuple[Input, ...] = ()
    decisions: tuple[Decision, ...] = ()
    content_digest: str
    path: Path
    document: Mapping[str, Any] = Field(repr=False)

    @cached_property
    def primary_key(self) -> tuple[str, ...]:
        """The names of the key's columns, in their order."""
        keyed = [column for column in self.columns if column.primary_key_position is not None]
        return tuple(column.name for column in sorted(keyed, key=lambda column: column.primary_key_position or 0))

    @property
    def physical_schema(self) -> str:
        """The schema that holds the dataset: `raw_<domain>`, `staged` or `curated`."""
        return f"raw_{self.domain}" if self.layer is Layer.RAW else self.layer.value

    @property
    def physical_table(self) -> str:
        """Where the dataset lies, as `schema.table`."""
        return f"{self.physical_schema}.{self.dataset}"

    def column(self, name: str) -> Column | None:
        """The column of that name, if the contract has it."""
        return next((column for column in self.columns if column.name == name), None)


class Catalog(Mapping[str, Contract]):
    """Every contract of a checkout, by the name of its dataset."""

    def __init__(self, contracts: Mapping[str, Contract]) -> None:
        self._contracts = dict(sorted(contracts.items()))

    def __getitem__(self, dataset: str) -> Contract:
        return self._contracts[dataset]

    def __iter__(self) -> Iterator[str]:
        return iter(self._contracts)

    def __len__(self) -> int:
        return len(self._contracts)

    @property
    def domains(self) -> tuple[str, ...]:
        """The names of all domains."""
        return tuple(sorted({contract.domain for contract in self.values()}))

    def domain(self, name: str) -> tuple[Contract, ...]:
        """The contracts of one domain."""
        return tuple(contract for contract in self.values() if contract.domain == name)

    def feeds(self, domain: str) -> tuple[Contract, ...]:
        """The raw contracts of one domain: what its producers deliver."""
        return tuple(contract for contract in self.domain(domain) if contract.layer is Layer.RAW)
