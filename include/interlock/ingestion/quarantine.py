"""Deliveries that may not be loaded but, by their contract, must not be lost: kept line by line, as text.

A column that vanished leaves nowhere to put the rest of the row, so nothing is parsed: each line is one text
value beside its number, in a table of the domain that only an operator reads. What is kept can be written out
again byte for byte, but for the ends of its lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from interlock.ingestion.content import Content
from interlock.ingestion.errors import NotComplete, UnreadableRow
from interlock.ingestion.sources.compression import content_chunks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.contracts.model import Contract
    from interlock.db.connection import Connection
    from interlock.ingestion.landing import Delivery, Landing

# With these as delimiter, quote and null, COPY takes every line as one value, unless one of them is in it.
SEPARATORS = (b"\x01", b"\x02", b"\x03")


class Kept(BaseModel):
    """Where a quarantined delivery lies."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    quarantine_id: int
    quarantine_table: str
    lines: int
    content_hash: str


def keep(
    connection: Connection, run: tuple[int, int], contract: Contract, delivery: Delivery, landing: Landing
) -> Kept:
    """Keep a delivery's lines, in the caller's transaction; the same content is kept once, however often it comes.

    Raises DeliveryRefused where it is no text that could be kept.
    """
    from psycopg import errors, sql

    schema, table = f"raw_{contract.domain}", "quarantined_line"
    content = Content(delivery.file)
    for _ in _chunks(delivery, landing, content):
        pass
    row = connection.execute(
        "select * from interlock.open_quarantine(%s, %s, %s, %s, %s, %s)",
        [*run, contract.dataset, delivery.partition, delivery.file, content.sha256],
    ).fetchone()
    quarantine_id, lines = row or (0, None)
    if lines is None:
        connection.execute("create temporary sequence if not exists interlock_row_number cache 1000")
        connection.execute("select setval('pg_temp.interlock_row_number', 1, false)")
        again = Content(delivery.file)
        statement = sql.SQL(
            "copy {} (line) from stdin (format csv, header false, encoding 'UTF8',"
            " delimiter e'\\x01', quote e'\\x02', escape e'\\x02', null e'\\x03')"
        ).format(sql.Identifier(schema, table))
        with connection.cursor() as cursor:
            try:
                with cursor.copy(statement) as copy:
                    for chunk in _chunks(delivery, landing, again):
                        copy.write(chunk)
            except errors.BadCopyFileFormat as error:
                said = error.diag.message_primary
                raise UnreadableRow(delivery.file, f"it cannot be kept as lines: {said}.") from error
            lines = cursor.rowcount
        if again.sha256 != content.sha256:
            raise NotComplete(f"{delivery.file}: it changed while it was being read.", fix="Wait and run it again.")
        connection.execute("select interlock.close_quarantine(%s, %s)", [quarantine_id, lines])
    return Kept(
        quarantine_id=quarantine_id,
        quarantine_table=f"{schema}.{table}",
        lines=lines,
        content_hash=content.sha256,
    )


def _chunks(delivery: Delivery, landing: Landing, content: Content) -> Iterator[bytes]:
    with landing.opened(delivery) as stream:
        for chunk in content_chunks(delivery.file, stream):
            content.add(chunk)
            if any(separator in chunk for separator in SEPARATORS):
                raise UnreadableRow(
                    delivery.file, "it holds control characters (0x01 to 0x03) and cannot be kept as lines."
                )
            yield chunk
        content.end()
