"""Whether there is room to work: asked before a run is admitted, and by `interlock doctor`.

A disk that fills up in the middle takes the database down with it, and everybody's answers. So a run is refused
while there is still room to decide what to do. Known only where the platform runs its own server, and for a landing
folder on this machine; anywhere else it is the server's own business.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from interlock.errors import TransientFailure
from interlock.settings import Settings, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

MEBIBYTE = 2**20


class TooLittleSpace(TransientFailure):
    """A disk that is about to be filled has less than the least that work may begin with."""


class Room(BaseModel):
    """A folder that the platform fills, and how much its disk can still take."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    what: str
    folder: Path
    free: int  # bytes

    @property
    def told(self) -> str:
        """In words, with the numbers."""
        return f"{self.free / MEBIBYTE:,.0f} MiB free at {self.folder} ({self.what})"


def rooms(configured: Settings) -> list[Room]:
    """Every folder of this machine that the platform fills; none where the database is elsewhere."""
    return [
        Room(what=what, folder=folder, free=shutil.disk_usage(_existing(folder)).free)
        for what, folder in _folders(configured)
    ]


def is_short(room: Room, configured: Settings) -> bool:
    """Whether there is less than the least that work may begin with."""
    return room.free < configured.minimum_free_mb * MEBIBYTE


def require_space() -> None:
    """Raises TooLittleSpace where a disk that is about to be filled has less than the least."""
    configured = settings()
    if not configured.minimum_free_mb:
        return
    short = [room for room in rooms(configured) if is_short(room, configured)]
    if short:
        raise TooLittleSpace(
            f"There is too little disk space to begin: {'; '.join(room.told for room in short)}; "
            f"the least is {configured.minimum_free_mb:,} MiB. Nothing was started.",
            fix="`interlock maintain` prunes what outlived its retention (`--dry-run` says what); or free space, or "
            "move the state with INTERLOCK_STATE_DIR. The least is INTERLOCK_MINIMUM_FREE_MB.",
        )


def _folders(configured: Settings) -> Iterator[tuple[str, Path]]:
    if not configured.is_embedded:
        return
    from interlock.db.connection import embedded_server

    yield "the database", embedded_server().place
    scheme, separator, path = configured.landing.rpartition("://")
    if not separator or scheme in ("file", "local"):
        yield "the landing folder", Path(path)


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder
