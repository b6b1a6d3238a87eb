"""Reading and writing in a workspace without being led out of it."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path, PurePosixPath

from weft.errors import InvalidRequest

__all__ = ["read_beneath", "write_beneath"]

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
TEMPORARY = ".weft-"


def read_beneath(workspace: Path, path: str, *, max_bytes: int) -> bytes:
    """The content of a regular file in a workspace that sandboxed code may have filled.

    No link is followed, neither as the file nor on the way to it, and nothing but a regular file
    is opened for reading: a pipe would block, a device would act. Raises InvalidRequest for a path
    that leaves the workspace, is missing, is no such file, or holds more than ``max_bytes``.
    """
    parts = _parts(path)
    try:
        folder = _walk(workspace, parts[:-1])
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            return _read(os.open(parts[-1], flags, dir_fd=folder), path, max_bytes)
        finally:
            os.close(folder)
    except OSError as error:
        raise InvalidRequest(
            f"The file {path!r} cannot be read: {error.strerror}.",
            remedy="It must be a regular file, reached through no link.",
        ) from error


def write_beneath(workspace: Path, path: str, data: bytes) -> None:
    """Make or replace a file in a workspace that sandboxed code may have filled.

    No link is followed on the way to it, and what has its name is replaced as a whole, be it a
    link. Missing folders are made. All that is made belongs to the workspace's owner. Raises
    InvalidRequest for a path that leaves the workspace or leads through what is no folder.
    """
    parts = _parts(path)
    owner = os.stat(workspace)
    try:
        folder = _walk(workspace, parts[:-1], owner)
        try:
            _write(folder, parts[-1], data, owner)
        finally:
            os.close(folder)
    except OSError as error:
        raise InvalidRequest(
            f"The file {path!r} cannot be written: {error.strerror}.",
            remedy="It must be reached through folders, not links, and be no folder itself.",
        ) from error


def _parts(path: str) -> tuple[str, ...]:
    parts = PurePosixPath(path).parts
    if not parts or PurePosixPath(path).is_absolute() or ".." in parts or "\0" in path:
        raise InvalidRequest(f"The path is {path!r}.", remedy="Name a file inside the workspace.")
    return parts


def _walk(workspace: Path, parts: tuple[str, ...], owner: os.stat_result | None = None) -> int:
    """A descriptor of a folder, opened step by step; given an owner, makes what is missing."""
    folder = os.open(workspace, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            if owner is not None:
                _make_folder(folder, part, owner)
            inner = os.open(part, FOLDER, dir_fd=folder)
            os.close(folder)
            folder = inner
        return os.dup(folder)
    finally:
        os.close(folder)


def _make_folder(parent: int, name: str, owner: os.stat_result) -> None:
    try:
        os.mkdir(name, 0o755, dir_fd=parent)
    except FileExistsError:
        return
    os.chown(name, owner.st_uid, owner.st_gid, dir_fd=parent, follow_symlinks=False)


def _write(folder: int, name: str, data: bytes, owner: os.stat_result) -> None:
    temporary = f"{TEMPORARY}{secrets.token_hex(8)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(temporary, flags, 0o644, dir_fd=folder), "wb") as stream:
        os.fchown(stream.fileno(), owner.st_uid, owner.st_gid)
        stream.write(data)
    try:
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        os.unlink(temporary, dir_fd=folder)
        raise


def _read(descriptor: int, path: str, max_bytes: int) -> bytes:
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise InvalidRequest(f"{path!r} is not a regular file.", remedy="Name another.")
        data = stream.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise InvalidRequest(
            f"{path!r} holds more than {max_bytes} bytes.", remedy="Ask for a part of it."
        )
    return data
