"""Where the tests keep what they throw away: in memory, where the machine has enough of it.

A copy of the migrated database is seven hundred small files. Making and deleting them for each test cost a disk's file
system more than everything else that the tests of the database do.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")
# The servers of two workers hold less than a tenth of it. Containers often offer 64 MB, which is for other things.
ENOUGH = 4 * 1024**3


def scratch_folder(what: str) -> Path:
    """A folder of one's own that the unprivileged user that root runs a server as can pass through; delete it."""
    is_enough = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ENOUGH
    folder = Path(tempfile.mkdtemp(prefix=f"interlock-{what}-", dir=MEMORY if is_enough else None)).resolve()
    folder.chmod(0o711)
    return folder
