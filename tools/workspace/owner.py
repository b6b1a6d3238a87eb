"""The folder of one process's workspaces, and those that dead processes left."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from weft.tools.sandbox.mounts import unmount
from weft.tools.workspace.trees import remove_tree

__all__ = ["locked", "own_folder", "sweep"]

LOCK = ".lock"


@contextmanager
def own_folder(root: Path) -> Generator[Path]:
    """A folder for the length of the context; others know that its owner lives by a lock.

    Raises OSError.
    """
    folder = root / secrets.token_hex(4)
    with locked(folder.with_suffix(LOCK)) as is_ours:
        assert is_ours, "nobody else knows the name"
        os.mkdir(folder, 0o711)
        try:
            yield folder
        finally:
            remove_with_mounts(folder)
            os.unlink(folder.with_suffix(LOCK))


def sweep(root: Path) -> int:
    """Remove what owners left that were killed; says how many did. Raises OSError."""
    num_removed = 0
    for lock in root.glob(f"*{LOCK}"):
        with locked(lock) as is_ours:
            if is_ours:
                remove_with_mounts(lock.with_suffix(""))
                os.unlink(lock)
                num_removed += 1
    return num_removed


@contextmanager
def locked(path: Path) -> Generator[bool]:
    """Hold a lock file for the length of the context; False where somebody else holds it.

    The kernel frees it when its holder dies, however it does.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        # Its last holder may have removed it while it was being opened here.
        yield _is_at(descriptor, path)
    finally:
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    return False


def remove_with_mounts(folder: Path) -> None:
    """Unmount what is mounted in a folder, then remove it. Raises OSError."""
    for point in reversed(_mounts_in(folder)):
        unmount(point)
    remove_tree(str(folder))


def _mounts_in(folder: Path) -> list[str]:
    """Where something is mounted below a folder, in the order of mounting."""
    inside = f"{os.path.realpath(folder)}/"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        points = [_unescaped(line.split(" ")[4]) for line in lines]
    return [point for point in points if point.startswith(inside)]


def _unescaped(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
