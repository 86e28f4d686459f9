"""Baselines: same weekday, else the window, else the contract's own bounds; never the day itself or the future."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.contracts.checks import Check, CheckKind, Scope
from interlock.quality.measures import History

SATURDAY = date(2013, 2, 2)


def baseline(**arguments: Any) -> Check:
    given_arguments = {
        "measure": "row_count", "window": 28, "season": "weekday", "minimum": 3,
        "ratio": [0.5, 2], "absolute": [10, 5000],
    } | arguments  # fmt: skip
    return Check(id="rows", kind=CheckKind.BASELINE, arguments=given_arguments, scope=Scope.PARTITION)


def history(values: dict[int, float]) -> History:
    """History of the days before the Saturday, by how many days before."""
    return History(
        {"row_count": {(SATURDAY - timedelta(days=back)).isoformat(): value for back, value in values.items()}}
    )


@pytest.mark.parametrize(
    ("known", "low", "high", "basis", "is_bootstrapped"),
    [
        pytest.param(
            {7: 100, 14: 200, 21: 300, 1: 9}, 100, 400, "median of 3 Saturdays 200", False, id="enough Saturdays"
        ),
        pytest.param(
            {7: 100, 14: 100, 1: 300, 2: 300, 3: 300},
            150,
            600,
            "median of 5 days 300",
            False,
            id="too few Saturdays, enough days",
        ),
        pytest.param({7: 100, 14: 100}, 10, 5000, "absolute bounds", True, id="too few days"),
        pytest.param({35: 1, 42: 1, 49: 1, 29: 1}, 10, 5000, "absolute bounds", True, id="only days before the window"),
        pytest.param(
            {0: 100, -7: 100, -14: 100, -1: 100},
            10,
            5000,
            "absolute bounds",
            True,
            id="only the day itself and the future",
        ),
    ],
)
def test_what_a_day_is_compared_with(
    known: dict[int, float], low: float, high: float, basis: str, is_bootstrapped: bool
) -> None:
    expected = history(known).expected(baseline(), SATURDAY.isoformat())
    assert (expected.low, expected.high, expected.is_bootstrapped) == (low, high, is_bootstrapped)
    assert basis in expected.basis


def test_bounds_keep_their_order_when_the_median_is_negative() -> None:
    expected = history({7: -10, 14: -10, 21: -10}).expected(baseline(slack=5), SATURDAY.isoformat())
    assert (expected.low, expected.high) == (-25, 0)


def test_a_dataset_of_one_partition_is_compared_with_the_version_served_now() -> None:
    served = History({"row_count": {"all": 1000.0}}).expected(baseline(), "all")
    assert (served.low, served.high, served.is_bootstrapped) == (500, 2000, False)
    assert History({}).expected(baseline(), "all").is_bootstrapped


def test_without_any_bounds_nothing_is_admitted() -> None:
    expected = History({}).expected(baseline(absolute=None), SATURDAY.isoformat())
    assert not expected.admits(100)


def test_a_partition_that_fails_leaves_history() -> None:
    known = history({7: 100, 14: 100, 21: 100})
    known.learn((SATURDAY - timedelta(days=7)).isoformat(), {"row_count": 1.0}, passed=False)
    assert known.expected(baseline(minimum=3), SATURDAY.isoformat()).is_bootstrapped
    known.learn((SATURDAY - timedelta(days=7)).isoformat(), {"row_count": 400.0}, passed=True)
    assert known.expected(baseline(), SATURDAY.isoformat()).high == 200


@given(st.lists(st.tuples(st.integers(-60, 0), st.floats(-1e6, 1e6), st.booleans()), max_size=60))
def test_nothing_from_the_day_itself_or_later_ever_moves_the_bounds(later: list[tuple[int, float, bool]]) -> None:
    known = history({7: 100, 14: 100, 21: 100})
    before = known.expected(baseline(), SATURDAY.isoformat())
    for back, value, passed in later:
        known.learn((SATURDAY - timedelta(days=back)).isoformat(), {"row_count": value}, passed)
    assert known.expected(baseline(), SATURDAY.isoformat()) == before
