"""Kernels that cannot be had are reported as such, with the reason."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import pytest
import torch

from tests.support.device_kernels import DEVICE
from weft.runtime.engine.cuda import HeadShape, Kernels, load_kernels, open_kernels, path
from weft.runtime.engine.native import KernelsMissing

HEADS = HeadShape(num_heads=2, num_kv_heads=1, head_dim=16)


@pytest.fixture
def unloaded() -> Iterator[None]:
    load_kernels.cache_clear()
    yield
    load_kernels.cache_clear()


@pytest.mark.usefixtures("unloaded")
def test_without_triton_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton.knobs", None)
    with pytest.raises(KernelsMissing, match="Triton does not load"):
        load_kernels()


class _Broken:
    def __getitem__(self, grid: tuple[int, int], /) -> Callable[..., object]:
        def launch(*_: object, **__: object) -> None:
            raise RuntimeError("Failed to find C compiler")

        return launch


def test_without_a_compiler_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path, "load_kernels", lambda: Kernels(_Broken(), _Broken(), False))
    with pytest.raises(KernelsMissing, match="Failed to find C compiler"):
        open_kernels(HEADS, torch.float32, DEVICE, is_deterministic=False)


def test_what_opens_is_ready() -> None:
    opened = open_kernels(HEADS, torch.float32, DEVICE, is_deterministic=True)
    assert opened.planner.low == opened.planner.tall
    half = open_kernels(HEADS, torch.float16, DEVICE, is_deterministic=False).planner
    assert half.low.rows < half.tall.rows
