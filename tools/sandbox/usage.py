"""How much a folder holds, and how much processes hide from it."""

from __future__ import annotations

import os
from contextlib import suppress

__all__ = ["children", "hidden_bytes", "used_bytes"]

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
                    inner = _opened(entry.name, folder)
                    try:
                        total += used_bytes(inner, depth + 1)
                    finally:
                        os.close(inner)
    return total


def _opened(name: str, parent: int) -> int:
    """A descriptor of a folder; one that its owner may write to but not read is made readable."""
    flags = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, os.O_RDONLY | flags, dir_fd=parent)
    except PermissionError:
        found = os.open(name, os.O_PATH | flags, dir_fd=parent)
        try:
            os.chmod(f"/proc/self/fd/{found}", os.fstat(found).st_mode & 0o777 | 0o700)
            return os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        finally:
            os.close(found)


def hidden_bytes(device: int) -> int:
    """What the deleted files on a device hold that processes below this one keep open."""
    found: dict[int, int] = {}
    pids = children(os.getpid())
    while pids:
        pid = pids.pop()
        with suppress(OSError):
            pids += children(pid)
            for name in os.listdir(f"/proc/{pid}/fd"):
                found |= _deleted(f"/proc/{pid}/fd/{name}", device)
    return sum(found.values())


def _deleted(path: str, device: int) -> dict[int, int]:
    """The size of an open file by its number, where it is deleted and on the device."""
    with suppress(OSError):
        state = os.stat(path)
        if state.st_nlink == 0 and state.st_dev == device:
            return {state.st_ino: state.st_blocks * 512}
    return {}


def children(pid: int) -> list[int]:
    """The direct children of a process, of all its threads."""
    found: list[int] = []
    for task in os.listdir(f"/proc/{pid}/task"):
        # A thread may end before its file is opened, or read.
        gone = suppress(FileNotFoundError, ProcessLookupError)
        with gone, open(f"/proc/{pid}/task/{task}/children") as stream:
            found += [int(word) for word in stream.read().split()]
    return found
