"""Where monitors are found: sockets in a folder that nobody but their user can enter."""

from __future__ import annotations

import errno
import os
import socket
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from weft.errors import InvalidRequest

__all__ = [
    "MonitorAddress",
    "check_folder",
    "default_folder",
    "find_monitors",
    "is_answered",
    "made_folder",
    "socket_path",
]

SUFFIX = ".sock"
CONNECT_S = 1.0


class MonitorAddress(NamedTuple):
    pid: int
    path: Path


def default_folder(environ: Mapping[str, str] | None = None) -> Path:
    """``weft`` in the user's runtime folder, else a folder of theirs beside temporary files.

    XDG_RUNTIME_DIR counts only where it is a folder of this user: after ``su`` it is another's.
    """
    runtime = Path((os.environ if environ is None else environ).get("XDG_RUNTIME_DIR", ""))
    if runtime.is_absolute() and runtime.is_dir() and runtime.stat().st_uid == os.geteuid():
        return runtime / "weft"
    return Path(tempfile.gettempdir()) / f"weft-{os.geteuid()}"


def made_folder(folder: Path) -> Path:
    """The folder, made if it is not there. Raises InvalidRequest where it is not safe."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise InvalidRequest(
            f"The monitors' folder {str(folder)!r} cannot be made: {error.strerror}.",
            remedy="Set XDG_RUNTIME_DIR to a folder of yours.",
        ) from error
    check_folder(folder)
    return folder


def check_folder(folder: Path) -> None:
    """Raises InvalidRequest for what is no folder, somebody else's, or open to others.

    Nobody else can then put anything into it, or watch what is in it.
    """
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        what = "no folder, or a link to one"
    elif found.st_uid != os.geteuid():
        what = f"a folder of user {found.st_uid}"
    elif found.st_mode & 0o077:
        what = f"open to others: its mode is {stat.S_IMODE(found.st_mode):o}"
    else:
        return
    raise InvalidRequest(
        f"The monitors' folder {str(folder)!r} is {what}.",
        remedy="Remove it, or set XDG_RUNTIME_DIR to a folder of yours.",
    )


def socket_path(folder: Path, pid: int) -> Path:
    return folder / f"{pid}{SUFFIX}"


def find_monitors(folder: Path | None = None) -> tuple[MonitorAddress, ...]:
    """Those of processes that live, by pid; what dead ones have left is removed.

    Raises InvalidRequest for a folder that is not safe.
    """
    folder = folder or default_folder()
    try:
        check_folder(folder)
    except FileNotFoundError:
        return ()
    addresses = (
        MonitorAddress(int(path.stem), path)
        for path in folder.glob(f"*{SUFFIX}")
        if path.stem.isdecimal()
    )
    return tuple(sorted(address for address in addresses if _is_running(address)))


def is_answered(path: Path) -> bool:
    """Whether somebody listens. Raises FileNotFoundError where there is nothing."""
    with socket.socket(socket.AF_UNIX) as tried:
        tried.settimeout(CONNECT_S)
        try:
            tried.connect(os.fspath(path))
        except (TimeoutError, BlockingIOError):
            return True  # so many ask that it cannot take one more
        except OSError as error:
            if error.errno in (errno.ECONNREFUSED, errno.ENOTSOCK):
                return False
            raise
    return True


def _is_running(address: MonitorAddress) -> bool:
    try:
        if is_answered(address.path):
            return True
    except OSError:
        return False  # it has gone meanwhile, or is not for us
    # One that lives is just about to listen.
    if not _is_alive(address.pid):
        address.path.unlink(missing_ok=True)
    return False


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True
