"""Rows that are safe, or none at all.

The platform reads every partition in one snapshot in which all of them are safe, says with the rows what it looked at,
and counts them; its last word is a batch without rows that tells the count, and that nothing was withdrawn meanwhile. A
table is handed on only after that was read and agrees: whatever breaks off, is cut short or falls out of step raises.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from interlock.client.answers import Answer, answer_from, misunderstood
from interlock.client.exchange import PROBLEM, Reply, Request, Steps, asked, place, refusal_of
from interlock.client.moments import Deadline, Moment
from interlock.client.questions import Partition, partition_names
from interlock.client.refusals import NotSafe
from interlock.errors import CouldNotAsk, InterlockError, UsageError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

ARROW_STREAM = "application/vnd.apache.arrow.stream"
ANSWERS, WITHHELD, ROWS, FAILURE = (
    f"interlock.{name}".encode() for name in ("answers", "withheld_columns", "rows", "problem")
)


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of partitions that were all safe when they were read.

    `answers` say so, one a partition and each with the version that was read; `withheld_columns` are left out because
    the contract classifies them.
    """

    dataset: str
    answers: tuple[Answer, ...]
    withheld_columns: tuple[str, ...]
    _table: pa.Table

    def __repr__(self) -> str:
        return f"<Rows of {self.dataset}: {len(self)} rows of {len(self.answers)} partitions, all safe>"

    def __len__(self) -> int:
        return int(self._table.num_rows)

    @property
    def versions(self) -> dict[str, int]:
        """Which version of each partition was read."""
        return {str(answer.partition): int(answer.version or 0) for answer in self.answers}

    def to_arrow(self) -> pa.Table:
        """As an Arrow table: exact, a numeric with a precision as a decimal, one without as text."""
        return self._table

    def to_pandas(self) -> pd.DataFrame:
        """As a pandas frame; whole numbers and booleans stay what they are where some are missing."""
        pandas = _required("pandas")
        return self._table.to_pandas(types_mapper=_nullable_types(pandas).get)

    def to_polars(self) -> pl.DataFrame:
        """As a polars frame."""
        frame: pl.DataFrame = _required("polars").from_arrow(self._table)
        return frame


def read(
    dataset: str, partitions: Iterable[Partition] | Partition, columns: Iterable[str] | None, deadline: Deadline
) -> Steps[Rows]:
    """The rows of some partitions, all of them safe. Raises NotSafe where one is not, CouldNotAsk for anything less."""
    _required("pyarrow")
    names = partition_names(partitions)
    if isinstance(columns, str):
        raise UsageError(f"{columns!r} is one text, where a list of columns belongs.", fix=f"Give it as [{columns!r}].")
    parameters = [("partition", name) for name in names] + [("column", name) for name in columns or ()]
    request = Request(place("datasets", dataset, "rows"), tuple(parameters), accept=ARROW_STREAM)
    reply, moment = yield from asked(request, deadline)
    return rows_in(reply, moment, dataset, names)


def rows_in(reply: Reply, moment: Moment, dataset: str, partitions: tuple[str, ...]) -> Rows:
    """The rows that a reply carries, whole and safe to its last word. Raises CouldNotAsk where it is not."""
    import pyarrow as pa

    batches: list[pa.RecordBatch] = []
    last_word: Mapping[bytes, bytes] = {}
    try:
        with pa.ipc.open_stream(reply.content) as reader:
            schema = reader.schema
            while True:
                try:
                    batch, said = reader.read_next_batch_with_custom_metadata()
                except StopIteration:
                    break
                if last_word:
                    raise misunderstood("it goes on after its last word")
                last_word = dict(said) if said else {}
                batches.append(batch)
        table = pa.Table.from_batches(batches, schema=schema)
        table.validate()
    except (pa.ArrowException, OSError, EOFError) as error:
        raise _cut_short("it breaks off") from error
    if FAILURE in last_word:
        raise _failed(last_word[FAILURE], moment)
    if last_word.get(ROWS) != str(table.num_rows).encode():
        raise _cut_short(f"it has {table.num_rows} rows, and not the number that it should")
    said_first = schema.metadata or {}
    answers = _agreed(said_first.get(ANSWERS), moment, dataset, partitions)
    at_the_end = _agreed(last_word.get(ANSWERS), Moment.now(), dataset, partitions)
    if not all(at_the_end):
        raise NotSafe.by(at_the_end)
    if [answer.version for answer in at_the_end] != [answer.version for answer in answers]:
        raise CouldNotAsk("What was read was replaced while it was on its way.", fix="Read it again.")
    withheld = tuple(_listed(said_first.get(WITHHELD)))
    return Rows(dataset, answers, withheld, table.replace_schema_metadata(None))


def _failed(told: bytes, moment: Moment) -> InterlockError:
    """What the platform says it broke off for."""
    try:
        status = int(json.loads(told)["status"])
    except (ValueError, KeyError, TypeError):
        return _cut_short("it says so itself")
    return refusal_of(Reply(status, {"content-type": PROBLEM}, told), moment)


def _agreed(told: bytes | None, moment: Moment, dataset: str, partitions: tuple[str, ...]) -> tuple[Answer, ...]:
    """The answers that came with the rows, one for each partition asked for."""
    documents = _listed(told)
    if len(documents) != len(partitions):
        raise misunderstood("it does not say what it looked at")
    return tuple(
        answer_from(document, moment, dataset, partition)
        for document, partition in zip(documents, partitions, strict=True)
    )


def _listed(told: bytes | None) -> list[Any]:
    try:
        found = json.loads(told or b"null")
    except ValueError as error:
        raise misunderstood("what it says beside its rows is no JSON") from error
    if not isinstance(found, list):
        raise misunderstood("it does not say what it should beside its rows")
    return found


def _cut_short(how: str) -> CouldNotAsk:
    return CouldNotAsk(
        f"The rows did not arrive whole: {how}.", fix="None of them may be used. Read them again; ask for fewer days."
    )


def _nullable_types(pandas: Any) -> dict[Any, Any]:
    """pandas' own types for those Arrow types that it would turn into floats and objects where a value is missing."""
    import pyarrow as pa

    whole = {getattr(pa, f"int{size}")(): getattr(pandas, f"Int{size}Dtype")() for size in (8, 16, 32, 64)}
    return whole | {pa.bool_(): pandas.BooleanDtype()}


def _required(module: str) -> Any:
    """A library that only frames need. Raises UsageError where it is not installed."""
    import importlib

    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UsageError(f"Reading rows this way needs {module}.", fix=f"pip install {module}") from error
