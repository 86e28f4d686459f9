"""Rows of a dataset as Arrow, from one snapshot in which every partition that was asked for is safe; or none.

One transaction of a consumer's, repeatable read, asks about each partition and then reads `safe.<dataset>`: what it was
told and what it reads cannot be of two times. The rows are counted against what the versions were sealed with, so that
what got lost on the way is noticed here and not by a sum that is too small.

Every value arrives as it is. What no Arrow type can say exactly (a numeric without a precision, `inet`) comes as text,
and an infinite date or a numeric that is no number is refused rather than bent. Columns that the contract classifies
are left out, and refused where they are asked for by name; without a contract nobody could say which those are.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from interlock.contracts.loading import load_contracts
from interlock.contracts.physical_types import canonical_type
from interlock.db.connection import Role, connect, session_options, statement, url
from interlock.db.failures import translated
from interlock.errors import CouldNotAsk, InterlockError, PermanentFailure, Unknown, UsageError
from interlock.quality.evidence import discretion
from interlock.safety.answer import Answer
from interlock.safety.answers import ALL, answer_from, require_partition, unanswered

if TYPE_CHECKING:
    import pyarrow as pa
    from psycopg.sql import Composed

logger = logging.getLogger(__name__)

BATCH_BYTES = 1 << 20
NATIVE = re.compile(
    r"(bigint|boolean|bytea|character( varying)?(\(\d+\))?|date|double precision|integer|real|smallint|text"
    r"|time(stamp)? without time zone(\(\d\))?|timestamp with time zone(\(\d\))?)(\[\])?"
)
NUMERIC = re.compile(r"numeric\((?P<precision>\d+)(,(?P<scale>\d+))?\)")
# Of an Arrow decimal that every frame knows.
MOST_DIGITS = 38
# 4714 BC, where PostgreSQL's time begins: in days, and in microseconds, from 1970.
FIRST_DAY = {32: -2_440_588, 64: -210_866_803_200_000_000}


class Classified(PermanentFailure):
    """A column was asked for by name that the contract keeps from general readers."""


class NotSafe(PermanentFailure):
    """Of the partitions asked for, at least one is not safe; `answers` are those about all of them."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        unsafe = [answer for answer in answers if not answer.safe]
        super().__init__(
            f"{len(unsafe)} of {len(answers)} partitions of {answers[0].dataset} are not safe to act on: "
            f"{', '.join(f'{answer.partition} is {answer.state.value}' for answer in unsafe[:5])}.",
            fix="`errors` says why, and what clears it. Nothing was read.",
        )
        self.answers = tuple(answers)


class Column(NamedTuple):
    """A column of the dataset, with its type in PostgreSQL's own spelling."""

    name: str
    kind: str


@dataclass(frozen=True)
class Selection:
    """What to read: a dataset's partitions, and which of its columns."""

    dataset: str
    partitions: tuple[str, ...]
    partition_column: str | None
    columns: tuple[Column, ...]
    withheld: tuple[str, ...]


def selection(dataset: str, partitions: Sequence[str], columns: Sequence[str] = ()) -> Selection:
    """What a reader may have of what they ask for. Raises UsageError, and Classified for a column they may not have."""
    if not partitions:
        raise UsageError("No partition was asked for.", fix="Name them: a day as YYYY-MM-DD, or `all`.")
    for partition in partitions:
        require_partition(partition)
    with translated(), connect(Role.OPERATOR, autocommit=True) as connection:
        found = connection.execute(statement("safety/readable.sql").encode(), {"dataset": dataset}).fetchone()
    if found is None:
        raise Unknown(f"There is no dataset {dataset!r}.", fix="`interlock status` lists the datasets.")
    layer, partition_column, registered = found
    if layer == "raw":
        raise UsageError(
            f"{dataset} is as it was delivered, and not for reading.", fix="Read what is staged or curated from it."
        )
    if partition_column is not None and ALL in partitions:
        raise UsageError(f"{dataset} is partitioned by day.", fix="Name each day that you want, as YYYY-MM-DD.")
    known = tuple(Column(item["name"], canonical_type(item["type"]) or item["type"]) for item in registered)
    withheld = _classified(dataset) & {column.name for column in known}
    _require_columns(dataset, columns, known, withheld)
    return Selection(
        dataset,
        tuple(dict.fromkeys(partitions)),
        partition_column,
        tuple(column for column in known if column.name not in withheld and (not columns or column.name in columns)),
        tuple(column.name for column in known if column.name in withheld),
    )


class Snapshot:
    """An open transaction that was told that all of a selection is safe. Raises NotSafe where it is not."""

    def __init__(self, chosen: Selection) -> None:
        import adbc_driver_postgresql.dbapi as adbc
        from psycopg.conninfo import make_conninfo

        self.selection = chosen
        self.rows_read = 0
        self._connection: Any = None
        self._cursor: Any = None
        try:
            address = make_conninfo(url(Role.CONSUMER), **session_options(Role.CONSUMER))
            self._connection = adbc.connect(address, autocommit=False)
            self._cursor = self._connection.cursor()
            self._cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(BATCH_BYTES)})
            self._cursor.execute("set transaction isolation level repeatable read, read only")
            self.answers = self._asked()
            if not all(answer.safe for answer in self.answers):
                raise NotSafe(self.answers)
            self.sealed_rows = _sealed_rows(self.versions)
            self._cursor.execute(self._text(_rows(chosen)))
            self._reader = self._cursor.fetch_record_batch()
        except (adbc.Error, OSError) as error:
            self.close()
            raise _unread(error) from error
        except BaseException:
            self.close()
            raise

    @property
    def versions(self) -> dict[str, int]:
        """Which version of each partition is read."""
        return {str(answer.partition): answer.version for answer in self.answers if answer.version is not None}

    @property
    def schema(self) -> pa.Schema:
        """The columns as they are handed out."""
        import pyarrow as pa

        fields = zip(self._reader.schema, self.selection.columns, strict=True)
        return pa.schema([pa.field(column.name, _arrow_type(field, column)) for field, column in fields])

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows, piece by piece. Raises CouldNotAsk where they break off, and where they are not all of them."""
        import adbc_driver_postgresql.dbapi as adbc
        import pyarrow as pa

        schema = self.schema
        try:
            for batch in self._reader:
                self.rows_read += batch.num_rows
                yield pa.record_batch([_exact(*item) for item in zip(batch.columns, schema, strict=True)], schema)
        except (adbc.Error, OSError) as error:
            raise _unread(error) from error
        if self.rows_read != self.sealed_rows:
            raise CouldNotAsk(
                f"{self.rows_read} rows of {self.selection.dataset} were read, and {self.sealed_rows} were published.",
                fix="None of them may be used. Tell whoever runs the platform: `interlock ledger` accounts for them.",
            )

    def close(self) -> None:
        """End the transaction, also while rows are still on their way."""
        import adbc_driver_postgresql.dbapi as adbc

        cursor, self._cursor = self._cursor, None
        connection, self._connection = self._connection, None
        ends = [cursor.adbc_cancel, cursor.close] if cursor is not None else []
        for end in [*ends, connection.close] if connection is not None else ends:
            with suppress(adbc.Error, OSError):  # the connection may be what failed
                end()

    def _asked(self) -> tuple[Answer, ...]:
        from psycopg import sql

        partitions = list(self.selection.partitions)
        query = sql.SQL(
            "select interlock.ask({}, p)::text from unnest({}::text[]) with ordinality as q (p, n) order by n"
        )
        self._cursor.execute(self._text(query.format(self.selection.dataset, partitions)))
        return tuple(answer_from(json.loads(row[0])) for row in self._cursor.fetchall())

    @staticmethod
    def _text(query: Composed) -> str:
        """The query with its values in it, quoted by psycopg: beside it, they make the driver hold all rows at once."""
        return query.as_string()


def answers_now(chosen: Selection) -> tuple[Answer, ...]:
    """What is answered about each partition at this moment, outside of any snapshot. Raises CouldNotAsk."""
    import psycopg

    asked = [[chosen.dataset] * len(chosen.partitions), list(chosen.partitions)]
    try:
        with connect(Role.CONSUMER, autocommit=True) as connection:
            rows = connection.execute(
                "select answer from interlock.ask_all(%s::text[], %s::text[]) order by place", asked
            ).fetchall()
    except psycopg.Error as error:
        raise unanswered(error) from error
    return tuple(answer_from(json.loads(row[0])) for row in rows)


def _classified(dataset: str) -> frozenset[str]:
    """The columns that are not for everybody, by the contract in this checkout."""
    try:
        contract = load_contracts().get(dataset)
    except InterlockError as error:
        raise CouldNotAsk(
            "The contracts cannot be read, and nobody can say which columns are classified.",
            fix="`interlock contract lint` says what is wrong with them.",
        ) from error
    if contract is None:
        raise CouldNotAsk(
            f"There is no contract of {dataset} here, and nobody can say which of its columns are classified.",
            fix="Put its contract into the checkout that serves, or read it in SQL.",
        )
    return discretion(contract).classified


def _require_columns(dataset: str, asked: Sequence[str], known: Sequence[Column], withheld: frozenset[str]) -> None:
    names = [column.name for column in known]
    unknown = [name for name in asked if name not in names]
    if unknown:
        raise UsageError(f"{dataset} has no column {', '.join(unknown)}.", fix=f"It has {', '.join(names)}.")
    kept = [name for name in asked if name in withheld]
    if kept or not set(names) - withheld:
        raise Classified(
            f"{', '.join(kept) or 'every column'} of {dataset} is classified, and not handed out here.",
            fix="Ask its owner for a login in the database that may read it.",
        )


def _sealed_rows(versions: Mapping[str, int]) -> int:
    with translated(), connect(Role.OPERATOR, autocommit=True) as connection:
        row = connection.execute(
            statement("safety/sealed_rows.sql").encode(),
            {"versions": list(versions.values()), "partitions": list(versions)},
        ).fetchone()
    return int(row[0]) if row else 0


def _rows(chosen: Selection) -> Composed:
    from psycopg import sql

    selected = [sql.SQL(_expression(column)).format(sql.Identifier(column.name)) for column in chosen.columns]
    query = sql.SQL("select {} from {}").format(sql.SQL(", ").join(selected), sql.Identifier("safe", chosen.dataset))
    if chosen.partition_column is None:
        return query
    days = sql.SQL(" where {} = any ({}::date[])")
    return query + days.format(sql.Identifier(chosen.partition_column), list(chosen.partitions))


def _is_native(column: Column) -> bool:
    """Whether the driver hands the type on as an Arrow type that says the same."""
    return NATIVE.fullmatch(column.kind) is not None or _digits(column) is not None


def _expression(column: Column) -> str:
    if _is_native(column):
        return "{}"
    return "{}::text[]" if column.kind.endswith("[]") else "{}::text"


def _digits(column: Column) -> tuple[int, int] | None:
    """Precision and scale of a numeric that an Arrow decimal can hold."""
    found = NUMERIC.fullmatch(column.kind.replace(" ", ""))
    if found is None:
        return None
    scale = int(found["scale"] or 0)
    precision = max(int(found["precision"]), scale)
    return (precision, scale) if precision <= MOST_DIGITS else None


def _arrow_type(field: pa.Field, column: Column) -> pa.DataType:
    import pyarrow as pa

    digits = _digits(column)
    return field.type if digits is None else pa.decimal128(*digits)


def _exact(values: pa.Array, field: pa.Field) -> pa.Array:
    """A column as it is handed out. Raises UsageError for a value that would not arrive as it is."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_decimal(field.type):
        try:
            return getattr(values, "storage", values).cast(field.type)
        except pa.ArrowInvalid as error:
            raise _inexact(field.name) from error
    if pa.types.is_date(field.type) or pa.types.is_timestamp(field.type):
        # The driver counts from 1970 where PostgreSQL counts from 2000, and what is infinite wraps around.
        width = field.type.bit_width
        least = pc.min(values.view(f"int{width}")).as_py()
        if least is not None and least < FIRST_DAY[width]:
            raise _inexact(field.name)
    return values


def _inexact(name: str) -> UsageError:
    return UsageError(
        f"The column {name} has a value that Arrow cannot say: infinite, or no number.",
        fix="Ask for the other columns by name, or read it in SQL.",
    )


def _unread(error: Exception) -> CouldNotAsk:
    """What a reader is told, in our words: the database's own may quote a row."""
    logger.warning("rows could not be read: %s", error)
    return CouldNotAsk("The database did not hand out the rows.", fix="None of them may be used. Read them again.")
