"""The kernels where a context is long enough to be shared out among threads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.support.views import Scene, fast, random_scene, slow
from weft.runtime.engine.segments import Segment


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def long_scene(dtype: torch.dtype = torch.float32) -> Scene:
    """Three queries that see one segment of 9000 keys to different ends, and a short one."""
    scene = random_scene(
        1, num_kv_heads=1, block_size=16, max_keys=9000, num_queries=3, dtype=dtype
    )
    long = Segment(block_ids=tuple(range(563)), num_keys=9000)
    short = Segment(block_ids=tuple(range(600, 610)), num_keys=150, offset=9000)
    queries = replace(
        scene.queries,
        positions_T=np.array([8999, 4096, 9100]),
        views=[[long], [long], [long, short]],
    )
    return replace(scene, queries=queries)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8])
@pytest.mark.parametrize("window", [None, 300, 5000])
def test_a_long_context_equals_the_definition(window: int | None, dtype: torch.dtype) -> None:
    scene = long_scene(dtype)
    for got, exact in zip(fast(scene, window), slow(scene, window), strict=True):
        torch.testing.assert_close(got.double(), exact, atol=1e-4, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.int8])
def test_bits_depend_neither_on_threads_nor_on_company(dtype: torch.dtype) -> None:
    scene = long_scene(dtype)
    torch.set_num_threads(1)
    one = fast(scene)
    torch.set_num_threads(2)
    assert torch.equal(fast(scene).out_THD, one.out_THD)
    for query in range(3):
        assert torch.equal(fast(scene.alone(query)).out_THD[0], one.out_THD[query])
