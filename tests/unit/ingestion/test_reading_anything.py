"""Any bytes end as records or as a typed refusal, and never depend on where a storage or a chunk cuts them."""

from __future__ import annotations

import csv
import gzip
import io
import string
import tracemalloc
from contextlib import suppress
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from interlock.errors import InterlockError
from interlock.ingestion import sources
from interlock.ingestion.errors import DeliveryRefused
from interlock.ingestion.sources import compression
from interlock.ingestion.sources import csv as csv_source

ANYTHING = settings(
    deadline=None, derandomize=True, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
# What parsers trip over is more frequent than the rest: delimiters, quotes, line ends, marks, halves of characters.
PIECES = st.sampled_from(
    [
        *(b",", b'"', b"\n", b"\r", b"\r\n", b";", b"\t", b"|", b"\\.", b"\0", b" ", b"#", b"id", b"day", b"\x1b[0m"),
        *(b"\xef\xbb\xbf", b"\xff\xfe", b"\xfc", b"\xe2", b"\x1f\x8b", b"PK\x03\x04", b"\xe2\x80\xa8", "ü🛩".encode()),
    ]
)
BYTES = st.lists(PIECES | st.binary(max_size=6), max_size=40).map(b"".join)
NAMES = st.lists(
    st.text(string.ascii_letters + "é_ ,", min_size=1, max_size=8), min_size=2, max_size=5, unique=True
).filter(lambda names: all(name.strip() for name in names))
ENDS = ("\n", "\r\n", "\r")
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0\\"), max_size=8)


class Drip(io.BytesIO):
    """A storage that gives a few bytes at a time, as a network does."""

    def __init__(self, content: bytes, at_a_time: int) -> None:
        super().__init__(content)
        self._at_a_time = at_a_time

    def read(self, size: int | None = -1) -> bytes:
        wanted = len(self.getbuffer()) if size is None or size < 0 else size
        return super().read(min(wanted, self._at_a_time))


def result_of(content: bytes, file: str = "f/f.csv", *, at_a_time: int = 1 << 30) -> Any:
    """What reading makes of a file: its columns, body and hash, or the refusal; anything else is a crash."""
    refused: DeliveryRefused | None = None
    try:
        with sources.opened(file, cast("Any", Drip(content, at_a_time))) as source:
            source.sample()
            body = b"".join(source.records())
            return source.columns, body, source.content.sha256, source.content.size, source.header_lines
    except DeliveryRefused as error:
        refused = error
    assert refused.message.startswith("f/f.csv")
    assert refused.message.isprintable()
    assert refused.fix
    return refused.code, refused.message, refused.evidence.get("line")


@ANYTHING
@given(content=BYTES, at_a_time=st.integers(1, 7))
@example(b"id,day\r\n1,2\r\n", 3)
@example(b"\x1f", 1)
def test_any_bytes_are_records_or_refused_and_the_storage_may_cut_them_anywhere(content: bytes, at_a_time: int) -> None:
    for file, stored in (("f/f.csv", content), ("f/f.csv.gz", content), ("f/f.csv.gz", gzip.compress(content))):
        whole = result_of(stored, file)
        assert result_of(stored, file, at_a_time=at_a_time) == whole


@ANYTHING
@given(content=BYTES, start=st.integers(0, 60), damage=st.binary(max_size=4))
def test_damaged_gzip_is_content_or_refused(content: bytes, start: int, damage: bytes) -> None:
    stored = gzip.compress(b"id,day\n" + content)
    result_of(stored[:start] + damage + stored[start + len(damage) :], "f/f.csv.gz")
    result_of(stored[:start], "f/f.csv.gz")


@ANYTHING
@given(
    rows=st.lists(st.tuples(TEXTS, TEXTS), max_size=12), size=st.integers(24, 60), end=st.sampled_from(["\n", "\r\n"])
)
def test_the_size_of_a_chunk_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, rows: list[tuple[str, str]], size: int, end: str
) -> None:
    written = io.StringIO(newline="")
    csv.writer(written, lineterminator=end).writerows([("id", "day"), *rows])
    content = written.getvalue().encode()
    whole = result_of(content)
    with monkeypatch.context() as patched:
        for module in (sources, compression, csv_source):
            patched.setattr(module, "CHUNK_BYTES", size)
        assert result_of(content) == whole


@ANYTHING
@given(names=NAMES, data=st.data(), end=st.sampled_from(ENDS), is_quoted=st.booleans())
def test_what_is_well_formed_is_read_as_pythons_own_reader_reads_it(
    names: list[str], data: st.DataObject, end: str, is_quoted: bool
) -> None:
    values = TEXTS if is_quoted else TEXTS.filter(lambda text: not {"\r", "\n"} & set(text))
    rows = data.draw(st.lists(st.lists(values, min_size=len(names), max_size=len(names)), max_size=6))
    written, quoting = io.StringIO(newline=""), csv.QUOTE_ALL if is_quoted else csv.QUOTE_MINIMAL
    csv.writer(written, lineterminator=end, quoting=quoting).writerows([names, *rows])
    columns, body, *_ = result_of(written.getvalue().encode())
    read = list(csv.reader(io.StringIO(body.decode(), newline="")))
    assert (list(columns), read) == (names, rows)


@pytest.mark.parametrize(
    "content",
    [
        b"," * (1 << 20),
        b",".join([b"a"] * 500_000) + b"\n",
        b",".join(b"c%d" % number for number in range(100_000)) + b"\n",
        b'"' * ((1 << 20) + 1),
        b'""' * 60_000 + b"\n",
        b"\r" * 2_000_000,
        b"id,day\n" + b'"' * 3_000_000,
        b"id,day\n" + b"x" * 3_000_000,
    ],
    ids=["commas", "one name", "names", "quotes", "doubled quotes", "CR", "an open value", "one value"],
)
def test_no_file_is_read_for_long_or_into_memory(content: bytes) -> None:
    """A hang shows as the time-out of the whole run; what grows with the square of a line is found here in seconds."""
    tracemalloc.start()
    held = tracemalloc.get_traced_memory()[0]
    with suppress(InterlockError), sources.opened("f/f.csv", cast("Any", io.BytesIO(content))) as source:
        for _ in source.records():
            pass
    peak = tracemalloc.get_traced_memory()[1] - held
    tracemalloc.stop()
    assert peak < 120 << 20


def test_a_storage_that_cuts_in_the_header_does_not_cut_its_columns() -> None:
    content = b"carrier,flight\nUA,1545\n"
    assert result_of(content, at_a_time=3)[0] == ("carrier", "flight")


def test_a_value_beyond_pythons_own_limit_is_no_crash_of_the_sample() -> None:
    columns, body, *_ = result_of(b"id,day\n1," + b"x" * 200_000 + b"\n")
    assert (columns, len(body)) == (("id", "day"), 200_003)
