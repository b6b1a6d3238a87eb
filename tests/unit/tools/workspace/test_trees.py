"""Trees that strangers wrote: removed, copied and told apart."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.tools.workspace.conftest import seen
from weft.tools.workspace.trees import (
    MAX_DEPTH,
    copy_tree,
    fingerprint,
    is_empty,
    opened,
    remove_tree,
    sync_tree,
)


def copy(source: Path, target: Path) -> None:
    target.mkdir()
    with opened(source) as old, opened(target) as new:
        copy_tree(old, new)


def mark(path: Path) -> str:
    with opened(path) as folder:
        return fingerprint(folder)


def dig(path: Path, depth: int) -> None:
    """Nested folders, deeper than a path can say."""
    folder = os.open(path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=folder)
        inner = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)


def test_removal_follows_no_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("kept")
    (tmp_path / "gone" / "a").mkdir(parents=True)
    (tmp_path / "gone" / "a" / "file").symlink_to(outside / "file")
    (tmp_path / "gone" / "folder").symlink_to(outside)
    os.mkfifo(tmp_path / "gone" / "a" / "pipe")
    remove_tree(str(tmp_path / "gone"))
    remove_tree(str(tmp_path / "gone"))
    assert seen(tmp_path) == {"outside": "folder", "outside/file": "kept"}
    (tmp_path / "link").symlink_to(outside)
    with pytest.raises(OSError):
        remove_tree(str(tmp_path / "link"))
    assert (outside / "file").exists()


def test_removal_of_what_is_deep_and_locked(tmp_path: Path) -> None:
    folder = tmp_path / "deep"
    (folder / "shut" / "inner").mkdir(parents=True)
    (folder / "shut" / "inner" / "x").touch()
    (folder / "shut" / "inner").chmod(0)
    (folder / "shut").chmod(0)
    dig(folder, 3 * MAX_DEPTH)
    remove_tree(str(folder))
    assert list(tmp_path.iterdir()) == []


def test_copies_are_the_same_but_apart(base: Path, tmp_path: Path) -> None:
    os.mkfifo(base / "pipe")
    (base / "a").chmod(0o750)
    copy(base, tmp_path / "copy")
    (base / "pipe").unlink()
    assert seen(tmp_path / "copy") == seen(base)
    for name in ("a", "run", "a/b/deep"):
        old, new = (base / name).stat(), (tmp_path / "copy" / name).stat()
        assert (old.st_mode, old.st_mtime_ns) == (new.st_mode, new.st_mtime_ns)
        assert old.st_ino != new.st_ino
    with open(tmp_path / "copy" / "top", "r+") as stream:
        stream.write("own")
    assert (base / "top").read_text() == "top"


def test_large_files_are_whole(tmp_path: Path) -> None:
    (tmp_path / "big").mkdir()
    data = os.urandom(3_000_001)
    (tmp_path / "big" / "file").write_bytes(data)
    copy(tmp_path / "big", tmp_path / "copy")
    assert (tmp_path / "copy" / "file").read_bytes() == data


def test_what_is_too_deep_is_refused(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    dig(tmp_path / "deep", MAX_DEPTH + 5)
    with opened(tmp_path / "deep") as folder:
        for action in (sync_tree, fingerprint):
            with pytest.raises(OSError, match="nested"):
                action(folder)
    with pytest.raises(OSError, match="nested"):
        copy(tmp_path / "deep", tmp_path / "copy")
    remove_tree(str(tmp_path / "deep"))
    remove_tree(str(tmp_path / "copy"))


def test_a_fingerprint_tells_every_change(base: Path) -> None:
    marks = [mark(base)]
    assert mark(base) == marks[0]
    (base / "top").write_text("xxx")
    marks.append(mark(base))
    (base / "a" / "b" / "deep").chmod(0o600)
    marks.append(mark(base))
    (base / "link").unlink()
    marks.append(mark(base))
    (base / "a" / "b" / "new").touch()
    marks.append(mark(base))
    (base / "a" / "b" / "new").rename(base / "a" / "new")
    marks.append(mark(base))
    assert len(set(marks)) == len(marks)


def test_emptiness(base: Path, tmp_path: Path) -> None:
    assert not is_empty(str(base))
    (tmp_path / "empty").mkdir()
    assert is_empty(str(tmp_path / "empty"))
    with opened(base) as folder:
        sync_tree(folder)
