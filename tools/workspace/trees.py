"""Trees of files that strangers wrote: removed, copied and merged without following a link.

They may be deeper than a path may be long, so folders are opened one from the other. Nobody may
write to a tree while it is worked on.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from fcntl import ioctl
from pathlib import Path

__all__ = [
    "both",
    "copy_state",
    "copy_tree",
    "fingerprint",
    "is_empty",
    "open_folder",
    "opened",
    "remove_tree",
    "sync_tree",
]

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FICLONE = 0x40049409
"""Share a file's blocks with another until one of them is written to."""
CHUNK = 1 << 20
MAX_DEPTH = 500
"""Deeper trees are not copied: each level takes an open descriptor."""


@contextmanager
def opened(path: Path) -> Generator[int]:
    """A descriptor of a folder for the length of the context. Raises OSError."""
    folder = open_folder(str(path))
    try:
        yield folder
    finally:
        os.close(folder)


def open_folder(path: str, parent: int | None = None) -> int:
    """A descriptor of a folder, not of a link to one. Raises OSError."""
    return os.open(path, FOLDER, dir_fd=parent)


def is_empty(path: str) -> bool:
    """Whether a folder holds nothing. Raises OSError."""
    with os.scandir(path) as entries:
        return next(entries, None) is None


def remove_tree(path: str) -> None:
    """Remove a folder and all in it; nothing where it is not there. Raises OSError.

    Folders inside are moved up first, so that no depth is too great.
    """
    with suppress(FileNotFoundError):
        top = open_folder(path)
        try:
            _Removal(top).run()
        finally:
            os.close(top)
        os.rmdir(path)


class _Removal:
    """Empties an open folder; moved folders get names that nobody can have foreseen."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._token = secrets.token_hex(8)
        self._num_moved = 0

    def run(self) -> None:
        self._empty(self._top)
        while names := os.listdir(self._top):
            for name in names:
                inner = open_folder(name, self._top)
                try:
                    self._empty(inner)
                finally:
                    os.close(inner)
                os.rmdir(name, dir_fd=self._top)

    def _empty(self, folder: int) -> None:
        """Remove the files of a folder, and move its folders to the top."""
        with os.scandir(folder) as entries:
            found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for name, is_folder in found:
            if is_folder:
                os.chmod(name, 0o700, dir_fd=folder)  # to move or open it, if it is one's own
                self._num_moved += 1
                moved = f"{self._token}.{self._num_moved}"
                os.rename(name, moved, src_dir_fd=folder, dst_dir_fd=self._top)
            else:
                os.unlink(name, dir_fd=folder)


def copy_tree(source: int, target: int, uid: int | None = None, depth: int = 0) -> None:
    """Copy what is in one open folder into another, with modes, times and links.

    All belongs to the user ``uid``; None: to whom it belonged, or this one who is not root.

    What is neither file, folder nor link is left out, and what is there already stays. Raises
    OSError, for too deep a tree too.
    """
    with os.scandir(source) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in found:
        if is_folder:
            with both(source, target, name, depth) as (inner, made):
                copy_tree(inner, made, uid, depth + 1)
                copy_state(inner, made, uid)
        else:
            with suppress(FileExistsError):
                _copy_entry(name, source, target, uid)


@contextmanager
def both(source: int, target: int, name: str, depth: int) -> Generator[tuple[int, int]]:
    """A folder by name in two open folders; in the second it is made where it is not there."""
    if depth > MAX_DEPTH:
        raise OSError(errno.ELOOP, f"the folders are nested deeper than {MAX_DEPTH}")
    inner = open_folder(name, source)
    try:
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=target)
        made = open_folder(name, target)
        try:
            yield inner, made
        finally:
            os.close(made)
    finally:
        os.close(inner)


def _copy_entry(name: str, source: int, target: int, uid: int | None) -> None:
    """Copy one file or link between two open folders."""
    state = os.stat(name, dir_fd=source, follow_symlinks=False)
    if stat.S_ISLNK(state.st_mode):
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
        if os.geteuid() == 0:
            owner = (state.st_uid, state.st_gid) if uid is None else (uid, uid)
            os.chown(name, *owner, dir_fd=target, follow_symlinks=False)
    elif stat.S_ISREG(state.st_mode):
        _copy_file(name, source, target, uid)


def _copy_file(name: str, source: int, target: int, uid: int | None) -> None:
    flags = os.O_NOFOLLOW | os.O_CLOEXEC
    old = os.open(name, os.O_RDONLY | flags, dir_fd=source)
    try:
        made = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | flags, 0o600, dir_fd=target)
        try:
            _copy_data(old, made)
            copy_state(old, made, uid)
        finally:
            os.close(made)
    finally:
        os.close(old)


def _copy_data(old: int, made: int) -> None:
    try:
        ioctl(made, FICLONE, old)
    except OSError:
        while os.sendfile(made, old, None, CHUNK):
            pass


def copy_state(old: int, made: int, uid: int | None = None) -> None:
    """Give one open file or folder the mode, times and owner (or ``uid``) of another."""
    state = os.fstat(old)
    if os.geteuid() == 0:
        os.fchown(made, *((state.st_uid, state.st_gid) if uid is None else (uid, uid)))
    os.fchmod(made, stat.S_IMODE(state.st_mode) & 0o777)
    os.utime(made, ns=(state.st_atime_ns, state.st_mtime_ns))


def sync_tree(folder: int, depth: int = 0) -> None:
    """Have all in an open folder, and itself, written to the disk. Raises OSError."""
    if depth > MAX_DEPTH:
        raise OSError(errno.ELOOP, f"the folders are nested deeper than {MAX_DEPTH}")
    with os.scandir(folder) as entries:
        found = [entry for entry in entries if not entry.is_symlink()]
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            inner = open_folder(entry.name, folder)
            try:
                sync_tree(inner, depth + 1)
            finally:
                os.close(inner)
        elif entry.is_file(follow_symlinks=False):
            _sync_file(entry.name, folder)
    os.fsync(folder)


def _sync_file(name: str, folder: int) -> None:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, dir_fd=folder)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fingerprint(folder: int, depth: int = 0) -> str:
    """A text that is another one after any change below an open folder. Raises OSError."""
    if depth > MAX_DEPTH:
        raise OSError(errno.ELOOP, f"the folders are nested deeper than {MAX_DEPTH}")
    digest = hashlib.sha256()
    for name in sorted(os.listdir(folder)):
        state = os.stat(name, dir_fd=folder, follow_symlinks=False)
        digest.update(f"{name!r} {state.st_ino} {state.st_ctime_ns} {state.st_size}".encode())
        if stat.S_ISDIR(state.st_mode):
            inner = open_folder(name, folder)
            try:
                digest.update(fingerprint(inner, depth + 1).encode())
            finally:
                os.close(inner)
    return digest.hexdigest()
