"""Head and tail of a stream against the whole of it; what a folder holds."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from weft.tools.sandbox.output import KeptOutput
from weft.tools.sandbox.usage import ENTRY_BYTES, MAX_DEPTH, children, used_bytes


@pytest.mark.parametrize("keep_bytes", [1, 2, 7, 1000])
@pytest.mark.parametrize("num_bytes", [0, 1, 6, 8, 999, 1001, 300_000])
def test_head_and_tail(keep_bytes: int, num_bytes: int) -> None:
    rng = random.Random(num_bytes)
    whole = rng.randbytes(num_bytes)
    output, at = KeptOutput(keep_bytes), 0
    while at < num_bytes:
        size = rng.randint(1, 40_000)
        output.add(whole[at : at + size])
        at += size
    half = keep_bytes // 2
    expected = whole
    if num_bytes > keep_bytes:
        expected = whole[: keep_bytes - half] + whole[num_bytes - half :]
    assert output.kept() == expected
    assert output.num_bytes == num_bytes


def test_an_endless_stream_takes_little_memory() -> None:
    output = KeptOutput(1000)
    for _ in range(100):
        output.add(bytes(1 << 16))
        assert len(output.head) + len(output.tail) < 1 << 18
    assert len(output.kept()) == 1000


def measured(folder: Path) -> int:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        return used_bytes(descriptor)
    finally:
        os.close(descriptor)


def test_used_bytes(tmp_path: Path) -> None:
    assert measured(tmp_path) == 0
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "big").write_bytes(os.urandom(100_000))
    os.sync() if False else os.fsync(os.open(tmp_path / "a" / "big", os.O_RDONLY))
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to("/usr")
    used = measured(tmp_path)
    assert 100_000 + 3 * ENTRY_BYTES <= used <= 200_000


def test_a_folder_too_deep_to_walk_counts_as_full(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    for _ in range(MAX_DEPTH + 5):
        os.mkdir("d", dir_fd=folder)
        inner = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)
    assert measured(tmp_path) > 1 << 60


def test_a_thread_that_ends_while_its_children_are_read_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = children(os.getpid())
    listed = os.listdir(f"/proc/{os.getpid()}/task")

    def listed_with_one_more(path: str) -> list[str]:
        return ["999999999", *listed]

    monkeypatch.setattr(os, "listdir", listed_with_one_more)
    assert children(os.getpid()) == there
