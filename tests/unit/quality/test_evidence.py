"""Evidence is JSON for people who may not see the data."""

from __future__ import annotations

import json
import math
from datetime import date
from decimal import Decimal

import pytest

from interlock.contracts.checks import Check, CheckKind
from interlock.quality.evidence import Discretion, Evidence, between, figure


def test_evidence_is_json_whatever_was_observed() -> None:
    check = Check(id="a", kind=CheckKind.MEASURE_BETWEEN)
    for observed in (1, 1.5, math.nan, math.inf, Decimal("1.5"), Decimal(2), date(2013, 1, 5), None, "text"):
        document = Evidence(check, success=False, message="m", evaluated_rows=1, observed=observed).document()
        json.dumps(document, allow_nan=False)


def test_classified_values_are_masked_and_nulls_stay_visible() -> None:
    masked = Discretion(frozenset({"passenger"})).masked({"passenger": "Ada", "flight": 1, "day": date(2013, 1, 5)})
    assert masked == {"passenger": "***", "flight": 1, "day": "2013-01-05"}
    assert Discretion(frozenset({"passenger"})).masked({"passenger": None}) == {"passenger": None}


def test_an_error_quotes_no_value_of_a_dataset_with_classified_columns() -> None:
    error = '(psycopg.errors.InvalidTextRepresentation) invalid input syntax for type integer: "Ada"'
    assert Discretion(frozenset()).told(error) == error
    assert Discretion(frozenset({"passenger"})).told(error).startswith("psycopg.errors.InvalidTextRepresentation (")
    assert "Ada" not in Discretion(frozenset({"passenger"})).told('invalid input syntax: "Ada"')


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "nothing"),
        (1000, "1,000"),
        (853.24, "853.2"),
        (0.0012345, "0.001234"),
        (12345.67, "12,345.7"),
        (math.nan, "nan"),
        (math.inf, "inf"),
    ],
)
def test_figures_read_as_people_write_them(value: float | None, written: str) -> None:
    assert figure(value) == written


def test_bounds_read_as_people_write_them() -> None:
    assert [between(1, 2), between(1, 1), between(1, None), between(None, 2), between(None, None)] == [
        "between 1 and 2", "1", "at least 1", "at most 2", "no bounds are set",
    ]  # fmt: skip
