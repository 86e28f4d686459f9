"""Recall marks: how a producer takes back a file that it delivered, and that may have been accepted.

`<file>.recalled` beside the delivery, or in its place once it is gone. Its text is the reason, or it is JSON with
`reason` and `sha256`. Which content is meant: with `sha256` that one, however often the file is written. Without it,
what lay there when the mark was written, so a correction that is written after the mark is not recalled. Where the
storage tells no times, or a correction keeps an older one (a copy that preserves times), nobody can know, and the file
counts as recalled until the mark is taken away.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from interlock.ingestion.errors import DeliveryRefused, Recalled, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from interlock.ingestion.landing import Delivery, Landing
    from interlock.ingestion.records import Withdrawn

SUFFIX = ".recalled"
LONGEST_REASON = 500


class _Said(BaseModel):
    """A mark that is JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: str = ""
    sha256: str | None = Field(default=None, pattern="^[0-9a-fA-F]{64}$")


class RecallMark(BaseModel):
    """What a producer said about a file that it takes back. `written` is when, where the storage knows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str  # the delivery's, below the landing root
    reason: str
    sha256: str | None = None
    written: datetime | None = None

    def covers(self, modified: datetime | None, sha256: str | None) -> bool:
        """Whether it means a content that was, or is, in a file of that time."""
        if self.sha256 is not None:
            return self.sha256 == sha256
        return self.written is None or modified is None or modified <= self.written


def recall_mark_of(landing: Landing, file: str) -> RecallMark | None:
    """The recall mark beside a file; None where there is none. One that cannot be read recalls it all the same."""
    name = file + SUFFIX
    facts = landing.facts(name)
    if facts is None:
        return None
    try:
        content = landing.small_file(name) or b""
    except DeliveryRefused:
        content = b""
    said = _said(content.decode("utf-8", "replace").strip())
    return RecallMark(
        file=file,
        reason=shown(said.reason.strip(), LONGEST_REASON) or "no reason was given",
        sha256=said.sha256.lower() if said.sha256 else None,
        written=facts["modified"],
    )


def recalled_files(landing: Landing, folder: str) -> set[str]:
    """The files of a feed that have a recall mark, whether they still lie there or not; one listing."""
    return {f"{folder}/{name.removesuffix(SUFFIX)}" for name in landing.names(folder) if name.endswith(SUFFIX)}


def require_not_withdrawn(
    landing: Landing, delivery: Delivery, withdrawn: Sequence[Withdrawn], sha256_of: Callable[[Delivery], str]
) -> None:
    """Raise Recalled where a delivery's producer took it back, or its content was withdrawn, under whatever name.

    The file is read for that only where it has a mark, or where something of its partition was withdrawn.
    """
    mark = recall_mark_of(landing, delivery.file)
    if mark is None and not withdrawn:
        return
    try:
        sha256: str | None = sha256_of(delivery)
    except DeliveryRefused:
        sha256 = None  # it cannot be read as what it should be, and so never was accepted
    if mark is not None and mark.covers(delivery.modified, sha256):
        raise Recalled(
            delivery.file,
            f"its producer recalled it: {mark.reason.rstrip('.')}.",
            fix="Have the producer deliver the correction; a file that is written after its mark "
            f"{delivery.file}{SUFFIX} counts. Where the recall was an error, take the mark away.",
            sha256=sha256,
        )
    content = next((content for content in withdrawn if content.content_hash == sha256), None)
    if content is not None:
        raise Recalled(
            delivery.file,
            f"it is the content of load {content.load_id}, which was withdrawn: {content.why.rstrip('.')}.",
            fix="Have the producer deliver the correction, which is another content. If this one is right after all, "
            "roll back the action that withdrew it; then run the partition again.",
            sha256=sha256,
            load=content.load_id,
        )


def _said(text: str) -> _Said:
    try:
        found: Any = json.loads(text)
        return _Said.model_validate(found) if isinstance(found, dict) else _Said(reason=text)
    except (ValueError, ValidationError, RecursionError):
        return _Said(reason=text)
