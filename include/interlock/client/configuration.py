"""Where the platform is and who asks: said in the call, or else in the environment.

`INTERLOCK_URL` and `INTERLOCK_TOKEN` are read when a client is made. A consumer that is registered (a dbt exposure) may
say its name, so that a recall finds it: `INTERLOCK_CONSUMER`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from interlock.errors import UsageError

VISIBLE = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True)
class Configuration:
    """An address without a slash at its end, a token that is never shown, and the seconds that one call may take."""

    url: str
    token: str = field(repr=False)
    consumer: str | None
    timeout: float

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries. Nobody on the way may answer in the platform's place."""
        said = {"Authorization": f"Bearer {self.token}", "Cache-Control": "no-store", "User-Agent": "interlock-client"}
        return said | ({"Interlock-Consumer": self.consumer} if self.consumer else {})


def configured(url: str | None, token: str | None, consumer: str | None, timeout: float) -> Configuration:
    """The configuration of one client; what the call says wins. Raises UsageError for what is missing or is none."""
    url = (url or os.environ.get("INTERLOCK_URL") or "").strip().rstrip("/")
    token = (token or os.environ.get("INTERLOCK_TOKEN") or "").strip()
    consumer = (consumer or os.environ.get("INTERLOCK_CONSUMER") or "").strip() or None
    _require_address(url)
    if VISIBLE.fullmatch(token) is None:
        raise UsageError(
            "The token is none." if token else "There is no token to ask with.",
            fix="Set INTERLOCK_TOKEN, or give `token=`; `interlock token create --for NAME --scope read --domain '*'`.",
        )
    if consumer is not None and VISIBLE.fullmatch(consumer) is None:
        raise UsageError(f"{consumer!r} is no name of a consumer.", fix="Give the name of a dbt exposure.")
    if not timeout > 0:
        raise UsageError(f"A call cannot take {timeout} seconds.", fix="Give a `timeout` of more than none.")
    return Configuration(url, token, consumer, timeout)


def _require_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.query or parts.fragment)
    except ValueError:
        is_address = False
    if not is_address:
        raise UsageError(
            f"{url!r} is no address of Interlock." if url else "Nobody said where Interlock is.",
            fix="Set INTERLOCK_URL, or give `url=`: for example http://localhost:8090.",
        )
