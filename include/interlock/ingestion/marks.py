"""Completion marks: how a producer says that a file is complete, and what it should hold.

A file that can be listed need not be finished, and volume is a weak witness: on the example's data a file
that lost a tenth of its rows is inside the normal range on more than 99 days of 100. A mark beside the
file (`<file>.done`, JSON with `rows` and `sha256` of the content, decompressed) catches every one of them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from interlock.ingestion.errors import DeliveryRefused, MarkMismatch, MarkUnreadable, NotComplete

if TYPE_CHECKING:
    from interlock.ingestion.landing import Delivery, Landing

SUFFIX = ".done"
# Without a mark, a file that was changed this recently is looked at again before it is believed.
SETTLE_SECONDS = 1.0


class Mark(BaseModel):
    """What the producer says about its file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int = Field(ge=0, description="Records in the file, the header not counted.")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="Of the content as it is before compression.")


def mark_of(landing: Landing, delivery: Delivery, policy: str) -> Mark | None:
    """The mark beside a delivery; None where the contract looks for none, or there is none and need not be.

    Raises NotComplete where the contract requires one that is not there, MarkUnreadable where it is no mark.
    """
    if policy == "none":
        return None
    name = delivery.file + SUFFIX
    try:
        content = landing.small_file(name)
    except DeliveryRefused as error:
        raise MarkUnreadable(
            delivery.file,
            f"its completion mark cannot be read: {error.message}",
            fix=f"Have the producer write {name} as a file that may be read.",
        ) from error
    if content is None:
        if policy == "required":
            raise NotComplete(
                f"{delivery.file}: the file is there, but its completion mark {name} is not: it may still be written.",
                fix=f"Wait and run it again; if the file is complete, have the producer write {name} (rows, sha256).",
            )
        return None
    try:
        return Mark.model_validate_json(content)
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'the text'}: {e['msg']}" for e in error.errors())
        raise MarkUnreadable(
            delivery.file,
            f"its completion mark {name} cannot be read: {found}.",
            fix='Have the producer write the mark as {"rows": <number>, "sha256": "<64 hexadecimal digits>"}.',
            mark=content.decode("utf-8", "replace")[:500],
        ) from None


def settle(landing: Landing, delivery: Delivery) -> None:
    """For a file without a mark: refuse to read one that is changing. Waits at most `SETTLE_SECONDS`."""
    age = delivery.age_seconds
    if age is not None and 0 <= age < SETTLE_SECONDS:
        time.sleep(SETTLE_SECONDS - age)
    require_unchanged(landing, delivery)


def require_unchanged(landing: Landing, delivery: Delivery) -> None:
    """Raise NotComplete where the file is no longer the one that was found: what was read is neither old nor new."""
    now = landing.delivery_of(delivery)
    if now is None or now.fingerprint != delivery.fingerprint:
        was, size = f"{delivery.size:,} bytes", f"{now.size:,} bytes" if now else "gone"
        raise NotComplete(
            f"{delivery.file}: it changed while it was being read ({was}, then {size}): it is still being written.",
            fix="Wait until it is complete and run it again; a completion mark beside the file makes this certain.",
        )


def require_match(landing: Landing, delivery: Delivery, mark: Mark | None, rows: int, sha256: str) -> None:
    """Hold what was read against the mark.

    A mark that is older than the file belongs to an earlier delivery: then the producer is between writing the file
    and writing its mark, and waiting helps.
    """
    if mark is None or (mark.rows, mark.sha256) == (rows, sha256):
        return
    found = (
        f"the mark says {mark.rows:,} rows and sha256 {mark.sha256}, the file holds {rows:,} rows and sha256 {sha256}"
    )
    if _is_older(landing, delivery):
        raise NotComplete(
            f"{delivery.file}: its completion mark is older than the file and does not fit it ({found}).",
            fix="Wait for the new mark and run it again; if the file is complete, have the producer write its mark.",
        )
    raise MarkMismatch(
        delivery.file,
        f"the file is not what its completion mark says: {found}.",
        fix="The file was cut off or changed on its way, or the mark is wrong. Have the producer deliver both again.",
        rows={"mark": mark.rows, "file": rows},
        sha256={"mark": mark.sha256, "file": sha256},
    )


def _is_older(landing: Landing, delivery: Delivery) -> bool:
    facts = landing.facts(delivery.file + SUFFIX)
    return bool(facts and facts["modified"] and delivery.modified and facts["modified"] < delivery.modified)
