"""Whatever is wrong with a file: a typed error that says what to do, an unsafe partition, and nothing else changed."""

from __future__ import annotations

import codecs
import gzip

import pytest

from interlock.errors import PermanentFailure
from interlock.ingestion import errors

HEADER = "id,day,amount\n"
ROWS = "1,2013-01-05,10\n2,2013-01-05,20\n"
GOOD = HEADER + ROWS
PLAIN = "orders_2013-01-05.csv"

# name: (file name, content, error, what its message must say)
MALFORMED = {
    "zero bytes": (PLAIN, b"", errors.EmptyFile, "zero bytes"),
    "zero bytes under a gzip name": (PLAIN + ".gz", b"", errors.EmptyFile, "zero bytes"),
    "an empty gzip file": (PLAIN + ".gz", gzip.compress(b""), errors.EmptyFile, "zero bytes"),
    "a header and nothing else": (PLAIN, HEADER, errors.NoRows, "no rows"),
    "a header without its line end": (PLAIN, HEADER.strip(), errors.NoRows, "no rows"),
    "gzip cut off": (PLAIN + ".gz", gzip.compress(GOOD.encode() * 500)[:-20], errors.BrokenCompression, "cut off"),
    "gzip damaged": (
        PLAIN + ".gz",
        gzip.compress(GOOD.encode())[:-8] + b"xxxxxxxx",
        errors.BrokenCompression,
        "damaged",
    ),
    "plain text under a gzip name": (PLAIN + ".gz", b"plain", errors.BrokenCompression, "not a gzip file"),
    "gzip under a plain name": (
        PLAIN,
        gzip.compress(GOOD.encode()),
        errors.BrokenCompression,
        "its name does not say so",
    ),
    "Latin-1": (
        PLAIN,
        GOOD.encode() + "3,2013-01-05,Zürich\n".encode("latin-1"),
        errors.BrokenEncoding,
        "line 4 .*0xfc",
    ),
    "a character cut off at the end": (PLAIN, GOOD.encode() + b"3,2013-01-05,\xc3", errors.BrokenEncoding, "line 4"),
    "UTF-16": (PLAIN, codecs.BOM_UTF16_LE + GOOD.encode("utf-16-le"), errors.BrokenEncoding, "UTF-16"),
    "semicolons": (PLAIN, GOOD.replace(",", ";"), errors.WrongDelimiter, "semicolons"),
    "tabs": (PLAIN, GOOD.replace(",", "\t"), errors.WrongDelimiter, "tabs"),
    "a row with too few values": (
        PLAIN,
        GOOD + "3,2013-01-05\n4,2013-01-05,1\n",
        errors.RaggedRow,
        'line 4 has fewer .*"amount"',
    ),
    "a row with too many values": (PLAIN, GOOD + "3,2013-01-05,1,2\n", errors.RaggedRow, "line 4 has more"),
    "a row cut in its middle": (PLAIN, GOOD + "3,2013-01", errors.RaggedRow, "line 4 .*looks cut off"),
    "a blank line": (PLAIN, HEADER + "\n" + ROWS, errors.RaggedRow, "line 2 has fewer"),
    "a quote that never ends": (
        PLAIN,
        GOOD + '3,2013-01-05,"1\n' + ROWS,
        errors.UnterminatedQuote,
        'closing " is missing',
    ),
    "a column named twice": (PLAIN, "id,day,id\n" + ROWS, errors.DuplicateHeader, '"id" more than once'),
    "a column without a name": (PLAIN, "id,,amount\n" + ROWS, errors.BrokenHeader, "column 2 without a name"),
    "a header that is half a quote": (
        PLAIN,
        'id,"day,amount\n' + ROWS,
        errors.BrokenHeader,
        "cannot be read as a header",
    ),
    "a blank header": (PLAIN, "\n" + ROWS, errors.BrokenHeader, "without a name"),
    "a NUL byte": (PLAIN, GOOD + "3,2013-01-05,1\x00\n", errors.NulByte, "line 4 holds a NUL byte"),
    "a NUL byte in the header": (PLAIN, "id,day,am\x00ount\n" + ROWS, errors.NulByte, "line 1 holds a NUL byte"),
    "an end marker": (PLAIN, GOOD + "\\.\n" + ROWS, errors.EndMarker, r"line 4 is only \\\."),
    "an end marker at the end": (PLAIN, GOOD + "\\.", errors.EndMarker, r"line 4 is only \\\."),
    "line ends of two kinds": (
        PLAIN,
        HEADER + ROWS + "3,2013-01-05,1\r\n",
        errors.MixedLineEnds,
        "ends in another way",
    ),
    "a column missing": (PLAIN, "id,day\n1,2013-01-05\n", errors.ColumnsDrifted, 'column "amount" missing'),
    "a column too many": (
        PLAIN,
        "id,day,amount,extra\n1,2013-01-05,1,x\n",
        errors.ColumnsDrifted,
        '"extra" not in the contract',
    ),
    "a column renamed": (
        PLAIN,
        "id,day,sum\n1,2013-01-05,1.5\n",
        errors.ColumnsDrifted,
        '"amount" is missing and "sum" is new.*renamed',
    ),
    "a day that the name writes otherwise": ("orders_20130105.csv", GOOD, errors.PartitionDenied, "its name denies"),
    "a day that is none, beside the right number": (
        "orders_05.01.2013.csv",
        GOOD,
        errors.PartitionDenied,
        "its name denies",
    ),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_delivery_is_refused_with_a_typed_error_and_changes_nothing_else(feed, kind):
    name, content, expected, message = MALFORMED[kind]
    path = feed.deliver(content, name)
    before = path.read_bytes(), path.stat().st_mtime_ns

    result = feed.load()

    assert result.outcome == "refused"
    assert type(result.error) is expected
    assert isinstance(result.error, PermanentFailure)
    assert result.error.message.startswith(f"orders/{name}: ")
    with pytest.raises(expected, match=f"(?s){message}"):
        raise result.error
    assert "producer" in result.error.fix
    assert feed.state() == "unsafe"
    [reason] = feed.reasons()
    assert (reason["code"], reason["evidence"]["error"]) == ("delivery_refused", expected.__name__)
    assert reason["message"] == result.error.message
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert feed.rows() == []
    assert feed.deliveries() == [("refused", f"orders/{name}", None)]

    # The connection is as good as new, and a good delivery mends the partition.
    path.unlink()
    feed.deliver(GOOD)
    again = feed.load()
    assert (again.outcome, again.rows, len(feed.rows())) == ("loaded", 2, 2)
    feed.accept(again)
    feed.platform.finish(feed.run)
    assert feed.state() == "safe"
