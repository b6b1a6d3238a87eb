"""The files of a workspace, reached beneath it only, whatever sandboxed code has put there."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from weft.errors import InvalidRequest

__all__ = ["Entry", "WorkspaceTree"]

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
MAX_DEPTH = 64
KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}


class Entry(NamedTuple):
    """Something in a workspace."""

    path: str
    """From the workspace on."""
    kind: str
    """``file``, ``folder``, ``link``, or ``special`` for pipes, sockets and devices."""
    size_bytes: int


class WorkspaceTree:
    """Opens folders one from the other, follows no link, and reads nothing but regular files.

    Raises InvalidRequest for what is not there, is something else, or lies outside. What it writes
    belongs to the owner of the workspace, so that sandboxed code can go on with it.
    """

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace

    @contextmanager
    def open(self, path: str) -> Generator[BinaryIO]:
        """A regular file, to be read."""
        parts = _parts(path)
        with self._told(path), self._folder(parts[:-1]) as folder:
            stream = os.fdopen(os.open(parts[-1], FILE, dir_fd=folder), "rb")
        with stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise InvalidRequest(f"{path!r} is no regular file.", remedy="Name another.")
            yield stream

    def write(self, path: str, data: bytes) -> bool:
        """Put a whole file in the place of what has that name; says whether it is a new one.

        Folders on the way are made. Readers see the old file or the new one, never a part.
        """
        parts = _parts(path)
        with self._told(path), self._folder(parts[:-1], makes=True) as folder:
            before = _state(parts[-1], folder)
            mode = stat.S_IMODE(before.st_mode) if before and _is_file(before) else 0o644
            temporary = f".weft-{secrets.token_hex(8)}"
            descriptor = os.open(temporary, NEW_FILE, 0o600, dir_fd=folder)
            try:
                with os.fdopen(descriptor, "wb") as stream:
                    stream.write(data)
                    self._give(descriptor)
                    os.fchmod(descriptor, mode & 0o777)
                os.rename(temporary, parts[-1], src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with suppress(OSError):
                    os.unlink(temporary, dir_fd=folder)
                raise
        return before is None

    def walk(self, path: str, *, is_deep: bool) -> Iterator[Entry]:
        """What is in a folder, sorted, and with ``is_deep`` in those below it."""
        parts = () if PurePosixPath(path) == PurePosixPath(".") else _parts(path)
        with self._told(path), self._folder(parts) as folder:
            yield from _walk(folder, "".join(f"{part}/" for part in parts), is_deep, MAX_DEPTH)

    @contextmanager
    def _folder(self, parts: tuple[str, ...], *, makes: bool = False) -> Generator[int]:
        folder = os.open(self._workspace, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in parts:
                inner = self._inner(part, folder, makes)
                os.close(folder)
                folder = inner
            yield folder
        finally:
            os.close(folder)

    def _inner(self, part: str, folder: int, makes: bool) -> int:
        if makes and _state(part, folder) is None:
            os.mkdir(part, 0o755, dir_fd=folder)
            made = os.open(part, FOLDER, dir_fd=folder)
            self._give(made)
            return made
        return os.open(part, FOLDER, dir_fd=folder)

    def _give(self, descriptor: int) -> None:
        owner = self._workspace.stat()
        if os.fstat(descriptor).st_uid != owner.st_uid:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)

    @contextmanager
    def _told(self, path: str) -> Generator[None]:
        try:
            yield
        except OSError as error:
            raise InvalidRequest(
                f"{path!r} cannot be reached: {error.strerror}.",
                remedy="List the folder to see what is there; links are not followed.",
            ) from error


def _parts(path: str) -> tuple[str, ...]:
    pure = PurePosixPath(path)
    if not pure.parts or pure.is_absolute() or ".." in pure.parts or "\0" in path:
        raise InvalidRequest(
            f"The path is {path!r}.", remedy="Name something inside the workspace, without '..'."
        )
    return pure.parts


def _state(name: str, folder: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _is_file(state: os.stat_result) -> bool:
    return stat.S_ISREG(state.st_mode)


def _walk(folder: int, before: str, is_deep: bool, depth: int) -> Iterator[Entry]:
    for name in sorted(os.listdir(folder)):
        state = _state(name, folder)
        if state is None:
            continue
        kind = KINDS.get(stat.S_IFMT(state.st_mode), "special")
        shown = name.encode(errors="replace").decode()
        yield Entry(f"{before}{shown}", kind, state.st_size if kind == "file" else 0)
        if kind == "folder" and is_deep and depth:
            with suppress(OSError):
                inner = os.open(name, FOLDER, dir_fd=folder)
                try:
                    yield from _walk(inner, f"{before}{shown}/", is_deep, depth - 1)
                finally:
                    os.close(inner)
