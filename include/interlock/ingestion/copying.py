"""The streaming COPY of one delivery, and what its refusals mean.

The bytes go from the storage to the server as they are. Rewriting rows on the way, to add a load id or a
row number, was measured to cost more than half of the speed; column defaults cost nothing that shows.
PostgreSQL's messages name a line of the *body* and speak to whoever typed COPY; here they become an error
about a file, with the line as an editor shows it. Values are never repeated in a message: whoever is told
that a partition is unsafe need not have the right to see its rows.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from interlock.ingestion.errors import (
    DELIVER_AGAIN,
    BrokenEncoding,
    DeliveryRefused,
    EndMarker,
    MixedLineEnds,
    RaggedRow,
    UnreadableRow,
    UnterminatedQuote,
)

if TYPE_CHECKING:
    import psycopg
    from psycopg.sql import Identifier

    from interlock.db.connection import Connection
    from interlock.ingestion.sources import Source

LINE = re.compile(r"^COPY \S+, \w+ (\d+)")
# Bad file format, a character that is none, a record that is larger than a record can be.
ABOUT_THE_FILE = ("22P04", "22021", "54000")
# A word of the server's message, what it is for a file, and what to do.
MEANINGS: tuple[tuple[str, type[DeliveryRefused], str, str], ...] = (
    (
        "unterminated",
        UnterminatedQuote,
        'a quoted value is still open at the end of the file ({where}): a closing " is missing.',
        'Have the producer close every quoted value (and write " inside one as ""), and deliver the file again.',
    ),
    (
        "unquoted",
        MixedLineEnds,
        "{where} ends in another way than the lines before it, or holds a line end inside a value without quotes.",
        "Have the producer end all lines alike and quote values that hold line ends, and deliver the file again.",
    ),
    ("encoding", BrokenEncoding, "{where} is not UTF-8: {said}.", DELIVER_AGAIN),
    ("end-of-copy marker", EndMarker, "{where} is only \\. which may be taken as the end of the data.", DELIVER_AGAIN),
    (
        "string buffer",
        UnterminatedQuote,
        '{where} is larger than a row can be: a closing " is probably missing.',
        'Have the producer close every quoted value (and write " inside one as ""), and deliver the file again.',
    ),
)


def copy_records(connection: Connection, table: Identifier, source: Source, file: str) -> int:
    """Stream a delivery's records into its raw table, inside the load that this transaction opened.

    Returns their number. Raises DeliveryRefused where the file is no CSV of its own header. Memory does not
    grow with the file.
    """
    import psycopg
    from psycopg import sql

    # Row numbers are counted for each load. Temporary, since two loads may run at once; kept for the session.
    connection.execute("create temporary sequence if not exists interlock_row_number cache 1000")
    connection.execute("select setval('pg_temp.interlock_row_number', 1, false)")
    statement = sql.SQL("copy {} ({}) from stdin (format csv, header false, encoding 'UTF8')").format(
        table, sql.SQL(", ").join(map(sql.Identifier, source.columns))
    )
    with connection.cursor() as cursor:
        try:
            with cursor.copy(statement) as copy:
                for chunk in source.records():
                    copy.write(chunk)
        except psycopg.Error as error:
            refusal = _refusal(error, source, file)
            if refusal is None:
                raise
            raise refusal from error
        return cursor.rowcount


def _refusal(error: psycopg.Error, source: Source, file: str) -> DeliveryRefused | None:
    """What is wrong with the file; None where the error is not about the file."""
    if error.sqlstate not in ABOUT_THE_FILE:
        return None
    said = error.diag.message_primary or ""
    found = LINE.match(error.diag.context or "")
    line = int(found[1]) + source.header_lines if found else None
    where = f"line {line}" if line else "a line"
    if said.startswith(("missing data", "extra data")):
        return _ragged(file, said, where, line, source)
    for word, kind, meaning, fix in MEANINGS:
        if word in said:
            return kind(file, meaning.format(where=where, said=said), fix=fix, line=line)
    return UnreadableRow(file, f"{where} cannot be read as CSV: {said}.", line=line)


def _ragged(file: str, said: str, where: str, line: int | None, source: Source) -> RaggedRow:
    columns = len(source.columns)
    if said.startswith("extra"):
        found = f"{where} has more values than the header has columns ({columns}); perhaps a comma without quotes."
    else:
        column = re.search(r'"(.*)"', said)
        found = f"{where} has fewer values than the header has columns ({columns})" + (
            f': nothing for "{column[1]}" and what follows it.' if column else "."
        )
        if line is not None and source.content.is_cut_after(line):
            found += " It is the last line and has no line end: the file looks cut off."
    return RaggedRow(file, found, line=line, columns=columns)
