"""The example's producer: the year as it is, and each of its faults as it is described."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from datetime import date
from pathlib import Path

import pytest

from interlock.errors import UsageError
from interlock.example.deliveries import Order, deliver
from interlock.example.faults import FAULTS, Ending, FaultClass
from interlock.settings import settings

BAD = date(2013, 1, 5)
GOOD_ROWS = 720


@pytest.fixture(autouse=True)
def _sorted_once(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The year is sorted by day once for all these tests."""
    monkeypatch.setenv("INTERLOCK_STATE_DIR", str(tmp_path_factory.getbasetemp() / "example state"))
    settings.cache_clear()


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    return tmp_path / "landing"


def order(landing: Path, **changes) -> Order:
    return Order(**{"first": BAD, "last": BAD, "landing": str(landing), **changes})


def flights(landing: Path) -> bytes:
    return (landing / "flights" / f"flights_{BAD}.csv").read_bytes()


def mark(landing: Path) -> dict:
    return json.loads((landing / "flights" / f"flights_{BAD}.csv.done").read_text())


def rows(content: bytes, **options) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode()), **options))


def contents(landing: Path) -> dict[str, tuple[int, bytes]]:
    return {str(f): (f.stat().st_mtime_ns, f.read_bytes()) for f in landing.rglob("*") if f.is_file()}


def test_every_row_of_the_year_is_in_the_file_of_its_day(landing):
    sent = list(deliver(order(landing, first=date(2013, 1, 1), last=date(2013, 12, 31))))
    assert sum(item.rows for item in sent if item.feed == "flights") == 336_776
    assert sum(item.rows for item in sent if item.feed == "observations") == 26_115
    assert {item.feed: item.rows for item in sent if item.feed not in ("flights", "observations")} == {
        "carriers": 16, "airports": 1458, "aircraft": 3322,
    }  # fmt: skip
    found = rows((landing / "observations" / "observations_2013-11-03.csv").read_bytes())
    assert {(row["year"], row["month"], row["day"]) for row in found} == {("2013", "11", "3")}


def test_a_file_is_what_its_mark_says(landing):
    list(deliver(order(landing)))
    content = flights(landing)
    assert mark(landing) == {"rows": GOOD_ROWS, "sha256": hashlib.sha256(content).hexdigest()}
    assert len(rows(content)) == GOOD_ROWS


def test_delivering_the_same_again_touches_nothing(landing):
    list(deliver(order(landing)))
    before = contents(landing)
    assert not any(item.is_new for item in deliver(order(landing)))
    assert contents(landing) == before


def test_a_correction_is_the_same_delivery_without_the_fault(landing):
    list(deliver(order(landing)))
    good = flights(landing), mark(landing)
    list(deliver(order(landing, fault="half_the_rows", on=BAD)))
    assert flights(landing) != good[0]
    list(deliver(order(landing)))
    assert (flights(landing), mark(landing)) == good


def test_compressed_and_plain_take_each_others_place(landing):
    list(deliver(order(landing)))
    plain = flights(landing)
    list(deliver(order(landing, is_compressed=True)))
    names = sorted(file.name for file in (landing / "flights").iterdir())
    assert names == [f"flights_{BAD}.csv.gz", f"flights_{BAD}.csv.gz.done"]
    assert gzip.decompress((landing / "flights" / names[0]).read_bytes()) == plain


def test_a_fault_hits_its_day_and_its_feed_alone(landing, tmp_path):
    week = {"first": date(2013, 1, 1), "last": date(2013, 1, 7)}
    list(deliver(order(landing, **week, fault="null_burst", on=BAD)))
    list(deliver(order(tmp_path / "good", **week)))
    differing = {
        file.relative_to(landing).as_posix()
        for file in landing.rglob("*")
        if file.is_file() and file.read_bytes() != (tmp_path / "good" / file.relative_to(landing)).read_bytes()
    }
    assert differing == {f"flights/flights_{BAD}.csv", f"flights/flights_{BAD}.csv.done"}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=lambda fault: fault.name)
def test_every_fault_is_the_same_each_time_and_different_from_the_truth(landing, tmp_path, fault):
    feeds = (fault.feed,)
    list(deliver(order(tmp_path / "good", feeds=feeds)))
    faulty = {"feeds": (*feeds, "flights"), "fault": fault.name, "on": BAD}
    list(deliver(order(landing, **faulty)))
    before = contents(landing)
    bad, good = (root / fault.feed / f"{fault.feed}_{BAD}.csv" for root in (landing, tmp_path / "good"))
    if not fault.is_delivered:
        assert not bad.exists()
    elif fault.feed in ("flights", "observations"):
        is_the_truth = fault.name in ("delivered_twice", "millimetres_of_rain")  # that day was dry
        assert (bad.read_bytes() == good.read_bytes()) is is_the_truth
    else:  # beside the snapshot that is right
        right = landing / fault.feed / f"{fault.feed}_2013-01-01.csv"
        assert (bad.read_bytes() == right.read_bytes()) is (fault.name == "same_list_again")
    list(deliver(order(landing, **faulty)))
    assert contents(landing) == before


def test_a_fault_says_what_is_expected_of_it():
    assert len({fault.name for fault in FAULTS.values()}) == len(FAULTS) >= 30
    assert {fault.of_class for fault in FAULTS.values()} == set(FaultClass)
    for fault in FAULTS.values():
        answered = fault.expected in (Ending.REFUSED, Ending.RAW, Ending.LATER, Ending.ABSORBED, Ending.ASIDE)
        assert answered or fault.is_harmless or fault.unrevealable, fault.name
        assert not (fault.is_harmless and fault.expected is not Ending.ACCEPTED), fault.name


def test_the_faults_are_what_they_are_described_as(landing):
    def bad(fault: str) -> bytes:
        list(deliver(order(landing, fault=fault, on=BAD)))
        return flights(landing)

    list(deliver(order(landing)))
    good = rows(flights(landing))
    assert rows(bad("half_the_rows")) == good[: GOOD_ROWS // 2]
    assert mark(landing)["rows"] == GOOD_ROWS // 2
    late = [int(row["arr_delay"]) for row in good if row["arr_delay"] != "NA"]
    seconds = [int(row["arr_delay"]) for row in rows(bad("seconds_instead_of_minutes")) if row["arr_delay"] != "NA"]
    assert seconds == [delay * 60 for delay in late]
    assert "arrival_delay" in rows(bad("renamed_column"))[0]
    assert "tailnum" not in rows(bad("missing_column"))[0]
    assert len(rows(bad("duplicated_rows"))) == GOOD_ROWS + GOOD_ROWS // 10
    assert {row["day"] for row in rows(bad("shifted_dates"))} == {"4"}
    assert [row["dest"] for row in rows(bad("null_burst"))].count("NA") == 504
    assert not bad("truncated_file").endswith(b"\n")
    assert mark(landing)["rows"] == GOOD_ROWS
    assert b"\xc9" in bad("broken_encoding")
    assert rows(bad("number_overflow"))[9]["flight"] == "9" * 20
    assert len(rows(bad("wrong_delimiter"), delimiter=";")[0]) == 19
    assert rows(bad("no_rows")) == []
    assert bad("empty_file") == b""


@pytest.mark.parametrize(
    "changes",
    [
        {"feeds": ("trains",)},
        {"last": date(2013, 1, 4)},
        {"first": date(2012, 12, 31)},
        {"fault": "half_the_rows"},
        {"on": BAD},
        {"fault": "gremlins", "on": BAD},
        {"fault": "half_the_rows", "on": date(2013, 1, 6)},
        {"fault": "half_the_rows", "on": BAD, "feeds": ("carriers",)},
        {"fault": "renamed_column", "on": BAD, "feeds": ("observations",)},
    ],
)
def test_an_order_that_makes_no_sense_is_a_usage_error_that_says_what_does(landing, changes):
    with pytest.raises(UsageError) as raised:
        list(deliver(order(landing, **changes)))
    assert raised.value.fix
