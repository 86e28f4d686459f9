"""A refused delivery changes nothing but the answer, and a good one after it makes its partition safe."""

from __future__ import annotations

import gzip

import pytest

from interlock.errors import PermanentFailure
from interlock.ingestion import errors

HEADER = "id,day,amount\n"
ROWS = "1,2013-01-05,10\n2,2013-01-05,20\n"
GOOD = HEADER + ROWS
PLAIN = "orders_2013-01-05.csv"

# One for each hand that refuses: the reader of the bytes, of the header, the contract, the database, and the names.
# Every kind that is known stands in test_malformed_files.py. name: (file name, content, error, what its message says)
MALFORMED = {
    "gzip cut off": (PLAIN + ".gz", gzip.compress(GOOD.encode() * 500)[:-20], errors.BrokenCompression, "cut off"),
    "a column named twice": (PLAIN, "id,day,id\n" + ROWS, errors.DuplicateHeader, '"id" more than once'),
    "a column missing": (PLAIN, "id,day\n1,2013-01-05\n", errors.ColumnsDrifted, 'column "amount" missing'),
    "a header and nothing else": (PLAIN, HEADER, errors.NoRows, "no rows"),
    "a row with too many values": (PLAIN, GOOD + "3,2013-01-05,1,2\n", errors.RaggedRow, "line 4 has more"),
    "a day that the name writes otherwise": ("orders_20130105.csv", GOOD, errors.PartitionDenied, "its name denies"),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_delivery_is_refused_and_a_good_one_after_it_mends_the_partition(feed, kind):
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
