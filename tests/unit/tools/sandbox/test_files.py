"""Reading what sandboxed code wrote: it must not lead the reader out, nor stop it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.tools.sandbox.conftest import Opener
from weft.errors import InvalidRequest
from weft.tools.sandbox import SandboxLevel, read_beneath, write_beneath


def test_files_are_read(workspace: Path) -> None:
    (workspace / "a" / "b").mkdir(parents=True)
    (workspace / "a" / "b" / "c").write_bytes(b"12345")
    assert read_beneath(workspace, "a/b/c", max_bytes=5) == b"12345"
    assert read_beneath(workspace, "./a//b/c", max_bytes=99) == b"12345"
    with pytest.raises(InvalidRequest, match="more than 4 bytes"):
        read_beneath(workspace, "a/b/c", max_bytes=4)


@pytest.mark.parametrize(
    "path", ["", ".", "..", "../secret", "a/../../secret", "/etc/passwd", "a\0"]
)
def test_paths_out_are_refused(workspace: Path, path: str) -> None:
    (workspace.parent / "secret").write_text("sesame")
    with pytest.raises(InvalidRequest):
        read_beneath(workspace, path, max_bytes=100)
    with pytest.raises(InvalidRequest):
        write_beneath(workspace, path, b"taken")
    assert (workspace.parent / "secret").read_text() == "sesame"


def test_files_are_written_and_replaced(workspace: Path) -> None:
    write_beneath(workspace, "a/b/c", b"one")
    write_beneath(workspace, "a/b/c", b"two")
    assert read_beneath(workspace, "a/b/c", max_bytes=9) == b"two"
    assert [path.name for path in (workspace / "a" / "b").iterdir()] == ["c"]
    with pytest.raises(InvalidRequest, match="cannot be written"):
        write_beneath(workspace, "a/b", b"a folder")
    assert [path.name for path in (workspace / "a").iterdir()] == ["b"]


async def test_commands_may_change_what_was_written(sandbox_at: Opener, workspace: Path) -> None:
    async with sandbox_at(SandboxLevel.LANDLOCK) as sandbox:
        write_beneath(workspace, "new/file", b"one\n")
        result = await sandbox.run(["sh", "-c", "echo two >> new/file; touch new/x; cat new/file"])
    assert (result.stdout, result.stderr) == (b"one\ntwo\n", b"")


async def test_what_a_command_plants_is_refused(
    sandbox_at: Opener, workspace: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("sesame")
    script = f"""
    ln -s {secret} file; ln -s {tmp_path} folder; ln -s ../secret up; mkfifo pipe; mkdir real
    ln -s /proc/self/environ environ; ln -s real inner; echo x > real/y; ln -s /dev/zero endless
    """
    async with sandbox_at(SandboxLevel.LANDLOCK) as sandbox:
        assert (await sandbox.run(["sh", "-c", script])).exit_code == 0
    planted = ["file", "folder/secret", "up", "pipe", "environ", "endless", "inner/y", "real"]
    for path in planted:
        with pytest.raises(InvalidRequest):
            read_beneath(workspace, path, max_bytes=100)
    assert read_beneath(workspace, "real/y", max_bytes=100) == b"x\n"
    for path in ("folder/secret", "up/x", "inner/y", "pipe/x", "environ/x"):
        with pytest.raises(InvalidRequest):
            write_beneath(workspace, path, b"taken")
    for path in ("file", "pipe", "folder"):
        write_beneath(workspace, path, b"own")
        assert read_beneath(workspace, path, max_bytes=100) == b"own"
    assert secret.read_text() == "sesame"


async def test_handing_the_workspace_over_follows_no_link(
    sandbox_at: Opener, workspace: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").touch()
    (workspace / "file").symlink_to(outside / "file")
    (workspace / "folder").symlink_to(outside)
    async with sandbox_at(SandboxLevel.LANDLOCK):
        pass
    for path in (outside, outside / "file"):
        assert path.stat().st_uid == os.getuid()
