"""Reading from a workspace without being led out of it."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath

from weft.errors import InvalidRequest

__all__ = ["read_beneath"]


def read_beneath(workspace: Path, path: str, *, max_bytes: int) -> bytes:
    """The content of a regular file in a workspace that sandboxed code may have filled.

    No link is followed, neither as the file nor on the way to it, and nothing but a regular file
    is opened for reading: a pipe would block, a device would act. Raises InvalidRequest for a path
    that leaves the workspace, is missing, is no such file, or holds more than ``max_bytes``.
    """
    parts = PurePosixPath(path).parts
    if not parts or PurePosixPath(path).is_absolute() or ".." in parts or "\0" in path:
        raise InvalidRequest(f"The path is {path!r}.", remedy="Name a file inside the workspace.")
    try:
        return _read(_walk(workspace, parts), path, max_bytes)
    except OSError as error:
        raise InvalidRequest(
            f"The file {path!r} cannot be read: {error.strerror}.",
            remedy="It must be a regular file, reached through no link.",
        ) from error


def _walk(workspace: Path, parts: tuple[str, ...]) -> int:
    """An open descriptor of the last part, opened one folder after the other."""
    folder = os.open(workspace, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts[:-1]:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
            inner = os.open(part, flags, dir_fd=folder)
            os.close(folder)
            folder = inner
        return os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    finally:
        os.close(folder)


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
