"""Lists in pages: each says where the next one begins, by the last key of this one and not by a count.

A cursor is opaque, and holds for the list that gave it: what was mangled, or comes from another list, is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from interlock.clock import real_now
from interlock.errors import UsageError

Item = TypeVar("Item")
Row = TypeVar("Row")

LIMIT, MOST = 100, 1000
_CHECK = 6


class Page(BaseModel, Generic[Item]):
    """Some of a list. `next` is the cursor of the following page, null on the last one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    items: tuple[Item, ...]
    next: str | None
    as_of: datetime


def page(
    rows: Sequence[Row],
    limit: int,
    of_list: str,
    key: Callable[[Row], Sequence[Any]],
    item: Callable[[Row], Any] = lambda row: row,
) -> dict[str, Any]:
    """The page of rows that were read with `limit + 1`, as `Page` takes it: `Page[X](**page(...))`.

    `key` gives what the next page begins after, in JSON's types.
    """
    shown = rows[:limit]
    further = cursor(of_list, key(shown[-1])) if len(rows) > limit else None
    return {"items": tuple(item(row) for row in shown), "next": further, "as_of": real_now()}


def cursor(of_list: str, key: Sequence[Any]) -> str:
    """Where a list goes on after a key."""
    said = json.dumps(list(key), separators=(",", ":"), default=str).encode()
    return base64.urlsafe_b64encode(_check(of_list, said) + said).decode().rstrip("=")


def after(of_list: str, given: str | None, length: int) -> tuple[Any, ...] | None:
    """The key of so many parts that a cursor of this list stands for; None where none is given.

    Raises UsageError for one that this list never gave.
    """
    if given is None:
        return None
    try:
        packed = base64.b64decode(given + "=" * (-len(given) % 4), altchars=b"-_", validate=True)
        check, said = packed[:_CHECK], packed[_CHECK:]
        key = json.loads(said) if check == _check(of_list, said) else None
    except (binascii.Error, ValueError):
        key = None
    if not isinstance(key, list) or len(key) != length:
        raise UsageError(
            "The cursor is none that this list gave.",
            fix="Take `next` from the page before, as it is; or begin without a cursor.",
        )
    return tuple(key)


def _check(of_list: str, said: bytes) -> bytes:
    return hashlib.sha256(of_list.encode() + b"\0" + said).digest()[:_CHECK]
