"""Checks compiled to a Great Expectations suite, and the suite run on a candidate in as few round trips as it allows.

GX's own expectations do the work where all of them together cost one aggregate statement; where GX would need a scan
or a window for each, an expectation of `interlock.quality.expectations` stands in. Results are asked for as booleans:
GX would otherwise fetch samples of every expectation, passing ones too; what failed is counted and sampled afterwards.

The context is built once in a process (`warm`) and may be inherited through a fork: it holds no connection. The data
source is made by whoever judges, and leaves no connection behind.
"""

from __future__ import annotations

import gc
import logging
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any

from interlock.contracts.checks import CheckKind
from interlock.db.connection import Role, url
from interlock.errors import CouldNotAsk
from interlock.quality import violations

if TYPE_CHECKING:
    import sqlalchemy as sa
    from great_expectations.core.batch import Batch
    from great_expectations.data_context import EphemeralDataContext
    from great_expectations.expectations.expectation import Expectation

    from interlock.contracts.checks import Check
    from interlock.quality.neighbours import Neighbours
    from interlock.quality.subjects import Subject

# A check that takes longer has failed; without a limit one bad regular expression would hold the run's lease for ever.
CHECK_SECONDS = 600
# Compiling a gate's wide aggregates takes longer than running them, and a key of a year does not fit into 4 MB.
SESSION = {"statement_timeout": f"{CHECK_SECONDS}s", "jit": "off", "work_mem": "64MB"}
_DRIVER_ERROR = re.compile(r"\(psycopg\.errors\.(?P<name>\w+)\) (?P<said>[^\n]*)")
# GX gives these a condition of single rows, with a window over all of them inside it.
ABOUT_NEIGHBOURS = frozenset({"column_values.unique", "column_values.increasing", "column_values.decreasing"})
_names = count()


@dataclass(frozen=True)
class Answer:
    """What GX said about one check on one set of rows: it held, it did not, or it could not be evaluated."""

    held: bool
    error: str | None = None

    @property
    def is_data_error(self) -> bool:
        """Whether a row made the check fail to evaluate, so that other partitions may be free of it."""
        import psycopg.errors

        found = _DRIVER_ERROR.search(self.error or "")
        state = getattr(getattr(psycopg.errors, found["name"], None), "sqlstate", "") if found else ""
        return bool(state) and state.startswith("22")


@cache
def warm() -> EphemeralDataContext:
    """Import GX and build its context, once in a process. Opens no connection and starts no thread.

    What it leaves in memory is taken out of the garbage collector's sight: scanning it cost a judgement of a year a
    fifth of its time, and would copy the pages that forked workers share.
    """
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig

        from interlock.quality import expectations  # noqa: F401 (registers what GX lacks)

        # What fails is evidence and belongs in the verdict; GX would print whole statements, values included.
        # One of its modules sets a level of its own.
        for name in ("great_expectations", "great_expectations.data_context.types.base"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        logging.captureWarnings(capture=False)  # GX switches it on for the whole process
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    gc.collect()
    gc.freeze()
    return context


class Suites:
    """Runs suites on subjects through one data source; made by `open_suites`."""

    def __init__(self, source: Any, neighbours: Neighbours) -> None:
        self._source = source
        self.neighbours = neighbours

    def relation(self, subject: Subject) -> Any:
        """The judged rows as something to select from."""
        import sqlalchemy as sa

        return sa.text(subject.query).columns().subquery("subject")

    def fetch(self, statement: sa.Select[Any] | sa.TextClause) -> Sequence[Any]:
        """The rows of a statement that follows a failure."""
        rows: Sequence[Any] = self._engine.execute_query(statement).fetchall()
        return rows

    @property
    def _engine(self) -> Any:
        return self._source.get_execution_engine()

    def answers(self, subject: Subject, checks: Sequence[Check]) -> dict[str, Answer]:
        """GX's answer to every check on all rows of the subject; a check that has none has not held."""
        if not checks:
            return {}
        found = self._run(subject, checks)
        for check in checks:
            # One statement serves many checks, so one that raises takes others with it: ask those alone.
            if len(checks) > 1 and (check.id not in found or found[check.id].error):
                found.update(self._run(subject, [check]))
        return {
            check.id: found.get(check.id, Answer(held=False, error="Great Expectations gave no result"))
            for check in checks
        }

    def unexpected(self, subject: Subject, check: Check) -> sa.ColumnElement[bool] | None:
        """The condition that GX itself counts as unexpected; None for an expectation that is not about single rows."""
        import sqlalchemy as sa
        from great_expectations.validator.metric_configuration import MetricConfiguration
        from great_expectations.validator.metrics_calculator import MetricsCalculator

        expectation = self.expectation(subject, check)
        if violation := getattr(expectation, "violation", None):
            return sa.literal_column(violation, sa.Boolean)
        name = getattr(expectation, "map_metric", None)
        if name is None or name in ABOUT_NEIGHBOURS:
            return None
        batch = self._batch(subject)
        self._engine.batch_manager.load_batch_list([batch])
        expectation.batch_id = batch.id
        wanted = expectation.get_validation_dependencies(self._engine, {"result_format": "BOOLEAN_ONLY"})
        known = wanted.metric_configurations[f"{name}.unexpected_count"]
        metric = MetricConfiguration(f"{name}.condition", known.metric_domain_kwargs, known.metric_value_kwargs)
        found: tuple[sa.ColumnElement[bool], dict[str, Any], Any] = MetricsCalculator(self._engine).get_metric(metric)
        condition, domain, _ = found
        if domain.get("row_condition") is not None:
            return None
        return condition

    def expectation(self, subject: Subject, check: Check) -> Expectation:
        """The expectation that stands for a check."""
        built = _native(subject, check) or self._custom(subject, check)
        built.severity = "critical" if check.severity.blocks else "warning"
        return built

    def _custom(self, subject: Subject, check: Check) -> Expectation:
        from interlock.quality import expectations

        if check.kind is CheckKind.UNIQUE:
            return expectations.ExpectColumnsToBeUnique(statement=violations.uniqueness(check, subject))
        if check.kind is CheckKind.FOREIGN_KEY:
            return expectations.ExpectReferencesToExist(statement=violations.orphans(check, subject, self.neighbours))
        condition = violations.condition(check, subject)
        kinds = {
            CheckKind.CASTABLE: expectations.ExpectColumnValuesToBeCastable,
            CheckKind.MAX_LENGTH: expectations.ExpectColumnValueLengthsToBeAtMost,
        }
        return kinds.get(check.kind, expectations.ExpectRowsToSatisfy)(violation=condition)

    def _run(self, subject: Subject, checks: Sequence[Check]) -> dict[str, Answer]:
        import great_expectations as gx

        found: dict[str, Answer] = {}
        compiled: list[tuple[list[str], Expectation]] = []
        existence = [check for check in checks if check.kind is CheckKind.COLUMN_EXISTS]
        if len(existence) > 1:  # one question for all columns; each is asked for alone if the answer is no
            compiled.append(([check.id for check in existence], _all_columns(existence)))
            checks = [check for check in checks if check.kind is not CheckKind.COLUMN_EXISTS]
        for check in checks:
            try:
                compiled.append(([check.id], self.expectation(subject, check)))
            except Exception as error:
                found[check.id] = Answer(held=False, error=_said(str(error)))
        for number, (_, expectation) in enumerate(compiled):
            expectation.meta = {"number": number}
        suite = gx.ExpectationSuite(f"suite_{next(_names)}", [expectation for _, expectation in compiled])
        try:
            results = self._batch(subject).validate(suite, result_format="BOOLEAN_ONLY").results
        except Exception as error:
            crashed = Answer(held=False, error=_said(str(error) or type(error).__name__))
            return found | {clause: crashed for clauses, _ in compiled for clause in clauses}
        for result in results:
            clauses, _ = compiled[result.expectation_config.meta["number"]]
            raised = _error(result.exception_info)
            held = result.success is True and raised is None
            if len(clauses) > 1 and not held:
                raised = raised or "one of the columns is missing"
            found |= {clause: Answer(held=held, error=raised) for clause in clauses}
        return found

    def _batch(self, subject: Subject) -> Batch:
        """The subject's rows as GX's batch. One asset serves them all: to add one, GX writes its configuration anew."""
        asset = self._source.assets[0]
        asset.query = subject.query
        return asset.get_batch(asset.build_batch_request())


@contextmanager
def open_suites(neighbours: Neighbours) -> Iterator[Suites]:
    """Suites on the warehouse as the gate; no connection is left open behind them, so that a fork inherits none."""
    source = _source(os.getpid(), url(Role.GATE, driver="postgresql+psycopg"))
    try:
        yield Suites(source, neighbours)
    finally:
        source.get_engine().dispose()
        source.get_execution_engine().engine.dispose()


@lru_cache(maxsize=1)
def _source(process: int, address: str) -> Any:
    """GX's data source of this process for an address; another process makes its own. Raises CouldNotAsk."""
    session = {**SESSION, "timezone": "UTC", "default_transaction_read_only": "on"}
    options = " ".join(f"-c {name}={value}" for name, value in session.items())
    try:
        source = warm().data_sources.add_interlock_warehouse(
            name=f"warehouse_{process}_{next(_names)}",
            # GX reads a dollar sign as a reference to its own configuration.
            connection_string=address.replace("$", "\\$"),
            kwargs={
                "connect_args": {"options": options, "application_name": "interlock gate"},
                "isolation_level": "AUTOCOMMIT",
            },
        )
        source.add_query_asset(name="subject", query="select 1")
    except ConnectionError as error:  # GX connects when it is told of a source, and has an error of its own for that
        raise CouldNotAsk(
            f"The gate could not connect to the warehouse: {_said(str(error))}",
            fix="Nothing was judged. Run it again once the database is back.",
        ) from error
    return source


def _native(subject: Subject, check: Check) -> Expectation | None:
    """GX's own expectation for a check, where there is one that costs no statement of its own.

    GX names a column three times in a condition, and a typed face of a raw column is computed each time anew: the
    year's loads took half as long again. Conditions on such a face are therefore written here, in `violations`.
    """
    import great_expectations.expectations as gxe
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    given: Mapping[str, Any] = check.arguments
    column = check.columns[0] if check.columns else ""
    native: Expectation | None = None
    if check.kind is CheckKind.EXPECTATION:
        native = ExpectationConfiguration(type=given["type"], kwargs=dict(given.get("kwargs", {}))).to_domain_obj()
    elif check.kind is CheckKind.COLUMN_EXISTS:
        native = gxe.ExpectColumnToExist(column=column)
    elif check.kind is CheckKind.NOT_NULL:
        native = gxe.ExpectColumnValuesToNotBeNull(column=column)
    elif check.kind is CheckKind.MATCHES:
        native = gxe.ExpectColumnValuesToMatchRegex(column=column, regex=given["pattern"])
    elif check.kind is CheckKind.IN_SET and subject.face(column, given["values"]) == column:
        native = gxe.ExpectColumnValuesToBeInSet(column=column, value_set=list(given["values"]))
    elif check.kind is CheckKind.BETWEEN and column not in subject.typed:
        bounds = {"min_value": given.get("minimum"), "max_value": given.get("maximum")}
        # Bounds that are no numbers stay with PostgreSQL, which reads them in the type of the column.
        if all(bound is None or isinstance(bound, int | float) for bound in bounds.values()):
            native = gxe.ExpectColumnValuesToBeBetween(column=column, **bounds)
    return native


def _all_columns(checks: Sequence[Check]) -> Expectation:
    import great_expectations.expectations as gxe

    return gxe.ExpectTableColumnsToMatchSet(column_set=[check.columns[0] for check in checks], exact_match=False)


def _error(information: Mapping[str, Any] | None) -> str | None:
    """What went wrong with an expectation, in one line; None where nothing did."""
    if not information or information.get("raised_exception") is False:
        return None
    first = information if "exception_message" in information else next(iter(information.values()))
    return _said(str(first.get("exception_message") if isinstance(first, Mapping) else first))


def _said(message: str) -> str:
    """The line that matters: the database's own words where there are some."""
    found = _DRIVER_ERROR.search(message)
    if found:
        return f"(psycopg.errors.{found['name']}) {found['said']}"
    return message.strip().split("\n")[0][:500]
