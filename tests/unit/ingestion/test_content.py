"""The account of the bytes must not depend on where the chunks are cut."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.ingestion.content import Content
from interlock.ingestion.errors import BrokenEncoding, DeliveryRefused, EndMarker, NulByte


def account(text: bytes, size: int) -> Content | tuple[type[DeliveryRefused], int]:
    """What is said about a text that comes in chunks of a size."""
    content = Content("file")
    try:
        for start in range(0, len(text), size):
            content.add(text[start : start + size])
        content.end()
    except DeliveryRefused as refused:
        return type(refused), refused.evidence["line"]
    return content


BAD = {
    NulByte: b"\0",
    BrokenEncoding: b"\xfc",
    EndMarker: b"\n\\.\n",
}


@given(st.text(st.characters(exclude_characters="\0\\", codec="utf-8")), st.integers(1, 9))
def test_good_text_has_its_hash_and_its_size_however_it_is_cut(text, size):
    raw = text.encode()
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return
    content = account(raw, size)
    assert isinstance(content, Content)
    assert (content.size, content.sha256) == (len(raw), hashlib.sha256(raw).hexdigest())


@pytest.mark.parametrize("kind", BAD)
@given(
    before=st.text(st.sampled_from("aü€𝄞\n,"), max_size=20),
    after=st.text(st.sampled_from("aü\n"), max_size=5),
    size=st.integers(1, 9),
)
def test_what_no_text_may_hold_is_found_on_its_line_however_it_is_cut(kind, before, after, size):
    text = before.encode() + BAD[kind] + after.encode()
    line = before.count("\n") + (2 if kind is EndMarker else 1)
    assert account(text, size) == (kind, line)


@pytest.mark.parametrize("text", [b"\\.\n", b"a\n\\.", b"a\r\n\\.\r\nb", b"\\."])
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_the_end_marker_is_found_at_every_end_of_a_file(text, size):
    found = account(text, size)
    assert isinstance(found, tuple)
    assert found[0] is EndMarker


@pytest.mark.parametrize("text", [b"a\\.\n", b"\\.a\n", b"\\\\.\n", b"a,\\.\nb"])
def test_the_end_marker_within_a_line_is_a_value_like_any_other(text):
    assert isinstance(account(text, 3), Content)


def test_a_line_is_cut_off_only_if_it_is_the_last_and_has_no_end():
    content = account(b"a\nb\nc", 2)
    assert isinstance(content, Content)
    assert [content.is_cut_after(line) for line in (1, 2, 3, 4)] == [False, False, True, False]
    whole = account(b"a\nb\n", 2)
    assert isinstance(whole, Content)
    assert not whole.is_cut_after(3)
