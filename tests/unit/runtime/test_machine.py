from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from weft.runtime.machine import (
    cpu_features,
    cpu_model,
    gpu_name,
    has_native_bf16,
    memory,
    stolen_s,
)

INTEL = "processor\t: 0\nmodel name\t: Fast 9000\nflags\t\t: fpu amx_bf16 avx2 sse\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd bf16\n"
MEMINFO = "MemTotal:       2048 kB\nMemFree:  1 kB\nMemAvailable:   1024 kB\n"


def test_features_are_the_known_ones_in_their_order() -> None:
    assert cpu_features(INTEL) == ("avx2", "amx_bf16")
    assert cpu_features(ARM) == ("asimd", "bf16")
    assert cpu_features("") == ()


def test_native_bf16_is_read_from_the_features() -> None:
    assert has_native_bf16(INTEL) and has_native_bf16(ARM)
    assert not has_native_bf16("flags\t\t: fpu avx512f avx512_vnni\n")


def test_model_falls_back_to_the_architecture() -> None:
    assert cpu_model(INTEL) == "Fast 9000"
    assert cpu_model(ARM) != ""


@pytest.mark.parametrize(
    ("file", "limit", "wanted"),
    [
        (None, "", (2048 * 1024, 1024 * 1024)),
        ("memory.max", "max\n", (2048 * 1024, 1024 * 1024)),
        ("memory.max", "4096\n", (4096, 4096)),
        ("memory/memory.limit_in_bytes", "1500000\n", (1500000, 1024 * 1024)),
    ],
)
def test_memory_is_bounded_by_the_cgroup(
    tmp_path: Path, file: str | None, limit: str, wanted: tuple[int, int]
) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text(MEMINFO)
    if file:
        path = tmp_path / "sys/fs/cgroup" / file
        path.parent.mkdir(parents=True)
        path.write_text(limit)
    assert memory(tmp_path) == wanted


def test_stolen_time_is_read_in_seconds_and_nothing_where_it_is_not_told(tmp_path: Path) -> None:
    assert stolen_s(tmp_path) == 0.0
    (tmp_path / "proc").mkdir()
    stat = tmp_path / "proc/stat"
    stat.write_text("cpu  1 2 3 4 5 6 7 250 0 0\ncpu0 1 2 3 4 5 6 7 99 0 0\n")
    assert stolen_s(tmp_path) == 250 / os.sysconf("SC_CLK_TCK")
    stat.write_text("cpu  1 2 3 4\n")
    assert stolen_s(tmp_path) == 0.0


@pytest.mark.parametrize("is_there", [True, False])
def test_a_gpu_is_named_where_torch_finds_one(
    monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    cuda = SimpleNamespace(is_available=lambda: is_there, get_device_name=lambda: "Abacus G")
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert gpu_name() == ("Abacus G" if is_there else "")


def test_without_torch_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert gpu_name() == ""
