"""Answers with an ETag: who has it already is told so in no bytes.

The tag is of the content without what changes by itself as time goes by (`as_of`, the lag), and weak for that reason.
Nothing may keep an answer without asking again, and nobody but the caller may keep it at all.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from fastapi import Request, Response
from pydantic import BaseModel
from pydantic_core import to_json, to_jsonable_python

VOLATILE = frozenset({"as_of", "lag_seconds", "age_seconds", "platform_time"})
CACHE_CONTROL = "private, no-cache"


def conditional(
    request: Request, content: BaseModel | dict[str, Any], *, valid_until: datetime | None = None
) -> Response:
    """The content as JSON, or 304 where the caller names its ETag in If-None-Match."""
    plain = to_jsonable_python(content)
    return tagged(request, to_json(plain), to_json(_lasting(plain)), valid_until=valid_until)


def tagged(request: Request, body: bytes, lasting: bytes, *, valid_until: datetime | None = None) -> Response:
    """The same for what is JSON already; `lasting` is what the tag is made of."""
    tag = f'W/"{hashlib.blake2b(lasting, digest_size=12).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": CACHE_CONTROL, "Vary": "Authorization, Cookie"}
    if valid_until is not None:
        headers["Interlock-Valid-Until"] = valid_until.isoformat()
    if _is_known(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


def _is_known(named: str | None, tag: str) -> bool:
    if named is None:
        return False
    bare = tag.removeprefix("W/")
    return named.strip() == "*" or any(one.strip().removeprefix("W/") == bare for one in named.split(","))


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _lasting(item) for name, item in value.items() if name not in VOLATILE}
    if isinstance(value, list):
        return [_lasting(item) for item in value]
    return value
