from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from weft.errors import InvalidRequest
from weft.runtime.monitor.folder import (
    default_folder,
    find_monitors,
    made_folder,
    socket_path,
)


def dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


def abandoned(path: Path) -> None:
    """What a process that was killed leaves: a socket on which nobody listens."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(os.fspath(path))


def test_the_runtime_folder_comes_first_then_a_folder_of_the_users_own(tmp_path: Path) -> None:
    assert default_folder({"XDG_RUNTIME_DIR": str(tmp_path)}) == tmp_path / "weft"
    own = Path(tempfile.gettempdir()) / f"weft-{os.geteuid()}"
    for runtime in ("", "relative", str(tmp_path / "absent")):
        assert default_folder({"XDG_RUNTIME_DIR": runtime}) == own
    assert default_folder({}) == own


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_somebody_elses_runtime_folder_does_not_count(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, -1)
    assert default_folder({"XDG_RUNTIME_DIR": str(tmp_path)}) != tmp_path / "weft"


def test_a_new_folder_is_for_its_user_alone(tmp_path: Path) -> None:
    folder = made_folder(tmp_path / "weft")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert made_folder(folder) == folder


def test_unsafe_folders_are_refused(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(target)
    (tmp_path / "file").touch(mode=0o600)
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o750)
    for name, said in (("link", "a link"), ("file", "no folder"), ("open", "its mode is 750")):
        with pytest.raises(InvalidRequest, match=said):
            made_folder(tmp_path / name)
        with pytest.raises(InvalidRequest, match=said):
            find_monitors(tmp_path / name)
    with pytest.raises(InvalidRequest, match="cannot be made"):
        made_folder(tmp_path / "absent" / "weft")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_somebody_elses_folder_is_refused(tmp_path: Path) -> None:
    folder = made_folder(tmp_path / "weft")
    os.chown(folder, 12345, -1)
    with pytest.raises(InvalidRequest, match="a folder of user 12345"):
        made_folder(folder)


def test_only_those_who_listen_are_found_and_what_the_dead_left_is_removed(tmp_path: Path) -> None:
    folder = made_folder(tmp_path / "weft")
    assert find_monitors(tmp_path / "absent") == ()
    dead, living = socket_path(folder, dead_pid()), socket_path(folder, os.getppid())
    for path in (dead, living, folder / "no-pid.sock"):
        abandoned(path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(socket_path(folder, os.getpid())))
        listener.listen()
        assert [one.pid for one in find_monitors(folder)] == [os.getpid()]
    assert not dead.exists()
    assert living.exists(), "it may be about to listen"
    assert (folder / "no-pid.sock").exists()
