"""The landing folder as it may be: out of reach, an object store, or full of what is too large."""

from __future__ import annotations

import gzip

import pytest

from interlock.db.connection import Role
from interlock.db.failures import Refused, RefusedForNow
from interlock.ingestion import errors, marks, sources
from interlock.settings import settings

DAY = "2013-01-05"
HEADER = "id,day,amount\n"
GOOD = HEADER + "1,2013-01-05,10\n2,2013-01-05,20\n"
OTHER = HEADER + "1,2013-01-05,11\n"


def test_a_run_that_lost_its_claim_loads_nothing(feed):
    feed.deliver(GOOD)
    feed.run.token -= 1
    with pytest.raises((Refused, RefusedForNow)):
        feed.load()
    assert feed.rows() == []


def test_a_landing_folder_that_cannot_be_read_is_transient_and_shows_no_login(feed, monkeypatch):
    from interlock.ingestion.landing import Landing

    feed.deliver(GOOD)
    root = Landing("ftp://user:hidden@127.0.0.1:1/landing")
    with pytest.raises(errors.LandingUnreachable) as raised:
        root.facts("orders/orders.csv")
    assert raised.value.retry_helps
    assert "hidden" not in str(raised.value)


def test_an_object_store_is_a_landing_folder_too(feed, monkeypatch):
    import fsspec

    from interlock.settings import settings

    monkeypatch.setenv("INTERLOCK_LANDING_URL", "memory://bucket/landing")
    settings.cache_clear()
    fsspec.filesystem("memory").pipe("/bucket/landing/orders/orders_2013-01-05.csv", GOOD.encode())
    monkeypatch.setattr(marks, "SETTLE_SECONDS", 0)
    assert feed.load().rows == 2


def test_chunks_may_end_anywhere(feed, monkeypatch):
    """Characters, quotes and line ends are cut by chunk ends; what is read must not depend on it."""
    text = HEADER + "".join(f'{n},"ü€𝄞\r\n""{n}""",x\n' for n in range(40))
    for size in (7, 11, 64):
        for module in (sources, sources.compression, sources.csv):
            monkeypatch.setattr(module, "CHUNK_BYTES", max(size, len(HEADER)))
        feed.deliver(text + f"{size},,\n")
        assert feed.load().rows == 41
    assert {row[1] for row in feed.rows() if row[0] == "7" and row[1]} == {'ü€𝄞\r\n"7"'}


def test_the_memory_of_a_load_does_not_grow_with_its_file(feed, tmp_path):
    """Peaks are measured for Python's own memory; the connection's buffer is bounded by its library."""
    import tracemalloc

    line = "1,2013-01-05," + "".join(str(n % 10) for n in range(80)) + "\n"
    peaks = []
    for megabytes in (4, 32):
        feed.deliver(HEADER + line * (megabytes * 2**20 // len(line)))
        tracemalloc.start()
        feed.load()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 16 * 2**20
    assert peaks[1] < 2 * peaks[0]


@pytest.mark.parametrize("drift", ["fail", "quarantine"])
def test_a_small_file_that_unfolds_without_end_is_refused_before_it_fills_the_disk(feed_of, monkeypatch, drift):
    feed = feed_of(drift={"extra": drift})
    monkeypatch.setenv("INTERLOCK_LARGEST_DELIVERY_MB", "1")
    settings.cache_clear()
    header = HEADER if drift == "fail" else "id,day,amount,more\n"
    bomb = gzip.compress((header + "1,2013-01-05,10\n" * 200_000).encode())
    assert len(bomb) < 20_000
    feed.deliver(bomb, "orders_2013-01-05.csv.gz")
    result = feed.load()
    error = result.error if drift == "fail" else result.error.evidence["not_kept"]
    assert "its content is larger than 1 MiB" in str(error)
    assert (result.outcome, feed.rows(), feed.state()) == ("refused", [], "unsafe")
    assert feed.platform.rows(Role.OPERATOR, "select 1 from interlock.load") == []


def test_what_is_loaded_is_logged_with_its_dataset_partition_and_load(feed):
    import logging

    from structlog import contextvars

    said = []

    class Listening(logging.Handler):
        def emit(self, record):
            said.append((contextvars.get_contextvars(), record.getMessage()))

    logger, handler = logging.getLogger("interlock.ingestion.loads"), Listening()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        feed.deliver(GOOD)
        result = feed.load()
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    assert said == [
        (
            {"dataset": "orders", "partition": "2013-01-05", "load": result.load_id},
            "orders/orders_2013-01-05.csv: loaded, 2 rows",
        )
    ]
