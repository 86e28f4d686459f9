"""What Great Expectations lacks for a gate on PostgreSQL: an engine that never reads the table, and four expectations.

GX finds out the columns of a query by running it whole and fetching every row, so a partition of five million
rows would pass through this process for the sake of its header; `CandidateEngine` asks for zero rows instead.
The expectations here count violations as one more expression of the aggregate statement that GX runs for all
expectations of a suite together, where GX's own length check, for one, needs a scan of its own.

Importing this module imports GX (seconds), so it is imported inside functions alone; `suites.warm` does it early.
"""

# ruff: noqa: ARG002, N805 (the signatures are GX's)
# mypy: disable-error-code="misc,untyped-decorator,valid-type,unused-ignore"

from __future__ import annotations

from typing import Any, ClassVar, Literal

import sqlalchemy as sa
from great_expectations.core.metric_domain_types import MetricDomainTypes
from great_expectations.core.metric_function_types import MetricPartialFunctionTypes
from great_expectations.datasource.fluent import PostgresDatasource
from great_expectations.execution_engine import SqlAlchemyExecutionEngine
from great_expectations.expectations.expectation import BatchExpectation
from great_expectations.expectations.metrics.metric_provider import metric_partial, metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider
from great_expectations.expectations.metrics.util import get_sqlalchemy_column_metadata


class CandidateEngine(SqlAlchemyExecutionEngine):
    """GX's SQL engine with one metric of its own: the columns of what is judged, asked for without its rows."""


class WarehouseDatasource(PostgresDatasource):
    """The warehouse as GX sees it: queries on candidates, run by `CandidateEngine`."""

    type: Literal["interlock_warehouse"] = "interlock_warehouse"

    @property
    def execution_engine_type(self) -> type[SqlAlchemyExecutionEngine]:
        """The engine that GX builds for this data source."""
        return CandidateEngine


class CandidateColumns(TableMetricProvider):
    """Names and types of the columns, from a statement that returns no rows."""

    metric_name = "table.column_types"
    value_keys = ("include_nested",)
    default_kwarg_values: ClassVar[dict[str, Any]] = {"include_nested": True}

    @metric_value(engine=CandidateEngine)
    def _columns(
        cls,
        execution_engine: CandidateEngine,
        metric_domain_kwargs: dict[str, Any],
        metric_value_kwargs: dict[str, Any],
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any],
    ) -> Any:
        batch_id = metric_domain_kwargs.get("batch_id") or execution_engine.batch_manager.active_batch_data_id
        query = execution_engine.batch_manager.batch_data_cache[batch_id].selectable
        header = sa.text(f"select * from ({query.text}\n) as subject limit 0")  # noqa: S608 (the gate's own query)
        return get_sqlalchemy_column_metadata(execution_engine, header)


class ViolatingRows(TableMetricProvider):
    """How many rows a condition calls violating: one expression of GX's bundled aggregate statement."""

    metric_name = "interlock.violating_rows"
    value_keys = ("violation",)

    @metric_partial(
        engine=CandidateEngine,
        partial_fn_type=MetricPartialFunctionTypes.AGGREGATE_FN,
        domain_type=MetricDomainTypes.TABLE,
    )
    def _violating(
        cls,
        execution_engine: CandidateEngine,
        metric_domain_kwargs: dict[str, Any],
        metric_value_kwargs: dict[str, Any],
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any],
    ) -> Any:
        violating = sa.literal_column(f"count(*) filter (where {metric_value_kwargs['violation']})", sa.BigInteger)
        return violating, metric_domain_kwargs, {}


class StatementCount(TableMetricProvider):
    """One number from a statement of its own, for what no aggregate over the rows can tell: repeats and orphans."""

    metric_name = "interlock.statement_count"
    value_keys = ("statement",)

    @metric_value(engine=CandidateEngine)
    def _counted(
        cls,
        execution_engine: CandidateEngine,
        metric_domain_kwargs: dict[str, Any],
        metric_value_kwargs: dict[str, Any],
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any],
    ) -> Any:
        statement = sa.select(sa.literal_column(f"({metric_value_kwargs['statement']})", sa.BigInteger))
        return execution_engine.execute_query(statement).scalar_one()


class _CountsViolations(BatchExpectation):
    """Success is a count of zero. A count that is missing is an error, never a zero."""

    metric_dependencies: ClassVar[tuple[str, ...]] = ("interlock.violating_rows",)
    success_keys: ClassVar[tuple[str, ...]] = ("violation",)
    violation: str

    def _validate(
        self, metrics: dict[str, Any], runtime_configuration: Any = None, execution_engine: Any = None
    ) -> Any:
        (name,) = self.metric_dependencies
        count = metrics[name]
        if count is None:
            raise ValueError(f"{name} was not counted")
        return {"success": count == 0, "result": {"observed_value": count, "unexpected_count": count}}


class ExpectRowsToSatisfy(_CountsViolations):
    """Expect that no row satisfies `violation`, a SQL condition over one row."""


class ExpectColumnValuesToBeCastable(_CountsViolations):
    """Expect that text can be read as the logical type of its column, in one way only (`reads_as`, set-based)."""


class ExpectColumnValueLengthsToBeAtMost(_CountsViolations):
    """Expect that no text is longer than the contract allows."""


class _CountsByStatement(_CountsViolations):
    metric_dependencies: ClassVar[tuple[str, ...]] = ("interlock.statement_count",)
    success_keys: ClassVar[tuple[str, ...]] = ("statement",)
    violation: str = ""
    statement: str


class ExpectColumnsToBeUnique(_CountsByStatement):
    """Expect that no two rows of a partition share a key (a grouped statement: windows cost several times as much)."""


class ExpectReferencesToExist(_CountsByStatement):
    """Expect that what the columns name exists in another dataset (an anti-join)."""
