"""A name is a delivery, or it is not there; and one that only resembles a delivery is told apart from neither."""

from __future__ import annotations

import pytest

from interlock.ingestion.drift import fits
from interlock.ingestion.landing import Landing, Pattern, _is_written_otherwise, _said


@pytest.mark.parametrize(
    ("pattern", "name", "said"),
    [
        ("a_{partition}.csv", "a_2013-01-05.csv", "2013-01-05"),
        ("a_{partition}.csv", "a_2013-01-05.csv.gz", "2013-01-05"),
        ("a_{partition}.csv.gz", "a_2013-01-05.csv.gz", "2013-01-05"),
        ("a_{partition}.csv.gz", "a_2013-01-05.csv", None),
        ("a_{partition}.csv", "a_2013-02-30.csv", None),
        ("a_{partition}.csv", "a_2013-1-5.csv", None),
        ("a_{partition}.csv", "a_20130105.csv", None),
        ("a_{partition}.csv", "a_2013-W01-5.csv", None),
        ("a_{partition}.csv", "a_2013-01-05xcsv", None),
        ("a_{partition}.csv", "a_2013-01-05.csv.part", None),
        ("a_{partition}.csv", "a_2013-01-05.csv.done", None),
        ("a_{partition}.csv", ".a_2013-01-05.csv", None),
        ("a_{delivered}.csv", "a_2013-01-05.csv", "all"),
        ("a_{delivered}.csv", "a_latest.csv", None),
    ],
)
def test_only_a_whole_name_with_a_real_day_is_a_delivery(pattern, name, said):
    found = _said(Pattern(pattern), name)
    assert (found["partition"] if found else None) == said


@pytest.mark.parametrize(
    "text", ["20130105", "05012013", "01052013", "2013-1-5", "5.1.2013", "2013_01_05", "01-05-2013"]
)
def test_the_same_day_is_recognised_in_another_dress(text):
    assert _is_written_otherwise(text, "2013-01-05")


@pytest.mark.parametrize("text", ["20130106", "latest", "", "2013-01", "2013-01-05-2"])
def test_another_day_is_not(text):
    assert not _is_written_otherwise(text, "2013-01-05")


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (["1", "-2"], "integer", True),
        (["1.5"], "integer", False),
        (["1.5"], "number", True),
        (["2013-01-05"], "date", True),
        (["5.1.2013"], "date", False),
        (["2013-01-05T10:00:00Z"], "timestamp", True),
        (["anything"], "string", True),
    ],
)
def test_sampled_values_hint_at_a_renamed_column(values, kind, expected):
    assert fits(values, kind) is expected


def test_a_login_in_the_landing_url_is_never_shown():
    assert Landing("s3://key:secret@host/bucket").place == "s3://host/bucket"
