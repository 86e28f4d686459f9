"""Text of contracts in the gate's SQL: nothing in a value is read as syntax, and no name but a plain one passes."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.errors import PermanentFailure
from interlock.quality.sqltext import identifier, literal, type_name


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_a_text_is_written_so_that_no_layer_reads_it_as_syntax_and_reads_back_unchanged(text: str) -> None:
    written = literal(text)
    assert re.fullmatch(r"E'[A-Za-z0-9 _.\-\\]*'", written)
    assert written[2:-1].encode("ascii").decode("unicode_escape") == text


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "null"),
        (True, "true"),
        (12, "12"),
        (-0.5, "-0.5"),
        (date(2013, 1, 5), "date E'2013-01-05'"),
        (datetime(2013, 1, 5, tzinfo=UTC), "timestamptz E'2013-01-05T00\\u003a00\\u003a00\\u002b00\\u003a00'"),
    ],
)
def test_values_are_written_in_their_own_types(value: object, written: str) -> None:
    assert literal(value) == written


@pytest.mark.parametrize("name", ["", "a b", 'a"b', "a:b", "a%b", "1a", "a;drop table x", "é"])
def test_a_name_that_is_not_plain_is_refused(name: str) -> None:
    with pytest.raises(PermanentFailure):
        identifier(name)


@pytest.mark.parametrize(
    "name", ["integer", "numeric(10,2)", "timestamp with time zone", "double precision", "text[]", "DATE"]
)
def test_types_are_taken_as_postgresql_spells_them(name: str) -> None:
    assert type_name(name) == name.lower()


@pytest.mark.parametrize("name", ["", "integer; drop table x", "text')", "a:b"])
def test_what_is_no_type_is_refused(name: str) -> None:
    with pytest.raises(PermanentFailure):
        type_name(name)
