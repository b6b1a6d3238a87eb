"""How much a folder holds."""

from __future__ import annotations

import os
from contextlib import suppress

__all__ = ["used_bytes"]

ENTRY_BYTES = 4096
"""What one file is charged for at least: a million empty files fill a disk too."""
MAX_DEPTH = 200


def used_bytes(folder: int, depth: int = 0) -> int:
    """What lies under an open folder, following no link; infinite where it is absurdly deep."""
    if depth > MAX_DEPTH:
        return 1 << 62
    total = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                total += max(ENTRY_BYTES, entry.stat(follow_symlinks=False).st_blocks * 512)
                if entry.is_dir(follow_symlinks=False):
                    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
                    inner = os.open(entry.name, flags, dir_fd=folder)
                    try:
                        total += used_bytes(inner, depth + 1)
                    finally:
                        os.close(inner)
    return total
