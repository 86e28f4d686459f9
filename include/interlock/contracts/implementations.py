"""What the platform's own checks are asked for in a contract: the mappings under `implementation`, engine `interlock`.

A word that is misspelt or missing is an error here, at lint, and not a check that silently does less.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

Aggregate = Literal["mean", "sum", "median", "minimum", "maximum", "distinct", "count_null", "share_null", "share_true"]
Measure = Literal["row_count"] | Annotated[dict[Aggregate, str], Field(min_length=1, max_length=1)]
Range = tuple[float, float]


class _Implementation(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RowClause(_Implementation):
    """`expression` is SQL over one row; a row for which it is false violates it."""

    check: Literal["row"]
    expression: str = Field(min_length=1)


class ReconcilesClause(_Implementation):
    """A measure equals that of the corresponding partition of another dataset.

    It is compared with the same measure there, or the one named `against`; it may be larger by `difference`.
    """

    check: Literal["reconciles_with"]
    dataset: str
    measure: Measure = "row_count"
    against: Measure | None = None
    difference: float = 0
    equals: Literal[True] = True


class Reason(_Implementation):
    """Rows that a step drops or adds on purpose: SQL over one row of the input, or of the result."""

    reason: str = Field(min_length=1)
    where: str = Field(min_length=1)


class Order(_Implementation):
    """One column that decides which of several rows is kept; nulls come last."""

    column: str
    order: Literal["asc", "desc"] = "desc"


class Deduplication(_Implementation):
    """Of the rows of an input that share a key the first in an order is kept: of a feed the newest, unless told."""

    key: Annotated[list[str], Field(min_length=1)]
    keep: tuple[Order, ...] = ()


class AccountsClause(_Implementation):
    """Every row of an input is here once, or is not for a reason: matched by identity, or counted into a sum.

    `by` names the columns here and, where they differ, there. With `unit: members` what is matched is each distinct
    key. `counted` is the column of an aggregate that counts the input's rows.
    """

    check: Literal["accounts_for"]
    dataset: str
    unit: Literal["rows", "members"] = "rows"
    by: Annotated[list[str] | dict[str, str], Field(min_length=1)] | None = None
    counted: str | None = None
    dropped: tuple[Reason, ...] = ()
    added: tuple[Reason, ...] = ()
    deduplicated: Deduplication | None = None

    @model_validator(mode="after")
    def _is_one_way(self) -> Self:
        if (self.by is None) == (self.counted is None):
            raise ValueError("give `by`, the identity of a row, or `counted`, the column that counts the input's rows")
        if self.counted is not None and (self.unit != "rows" or self.dropped or self.added):
            raise ValueError("`counted` sums rows: it goes with no unit, `dropped` or `added`")
        if self.deduplicated is not None and (self.counted is not None or self.unit != "rows"):
            raise ValueError("`deduplicated` is about rows: it goes with `by` and no other unit")
        return self

    @property
    def identity(self) -> dict[str, str]:
        """The columns that identify a row: here, and in the input."""
        return {name: name for name in self.by} if isinstance(self.by, list) else dict(self.by or {})


class BaselineClause(_Implementation):
    """A measure lies in `ratio` times the median of recent safe partitions, or in `absolute` where history is short."""

    check: Literal["baseline"]
    measure: Measure
    window: int = Field(default=28, ge=1)
    season: Literal["weekday", "none"] = "none"
    minimum: int = Field(default=3, ge=1)
    ratio: Range
    absolute: tuple[float | None, float | None]
    slack: float = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _is_bounded(self) -> Self:
        if self.absolute == (None, None):
            raise ValueError("`absolute` bounds nothing: a partition without history could hold anything")
        return self


class MeasureClause(_Implementation):
    """A measure of one partition lies between bounds."""

    check: Literal["measure"]
    measure: Measure
    minimum: float | None = None
    maximum: float | None = None

    @model_validator(mode="after")
    def _is_bounded(self) -> Self:
        if self.minimum is None and self.maximum is None:
            raise ValueError("give `minimum`, `maximum` or both")
        return self


Implementation = Annotated[
    RowClause | ReconcilesClause | AccountsClause | BaselineClause | MeasureClause, Field(discriminator="check")
]
implementations: TypeAdapter[Any] = TypeAdapter(Implementation)
