"""A memory of 8 bits holds what one of floats would, rounded, whatever is done to both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from weft.cache import BlockCopy
from weft.cache.kv_store import KVShape, KVStore
from weft.cache.rounding import round_rows

NUM_BLOCKS, BLOCK_SIZE = 5, 3
NUM_SLOTS = NUM_BLOCKS * BLOCK_SIZE
LAYERS = (KVShape(num_kv_heads=2, head_dim=16), KVShape(num_kv_heads=1, head_dim=4))

Operation: TypeAlias = Callable[[KVStore, int], None]
"""Does something to a store; the number seeds what is written."""


def write(slots: Sequence[int], store: KVStore, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for layer, shape in enumerate(LAYERS):
        size = (len(slots), shape.num_kv_heads, shape.head_dim)
        k, v = (torch.randn(size, generator=generator) for _ in range(2))
        store.write(layer, torch.tensor(slots, dtype=torch.int64), k, v * 100)


def copy(copies: Sequence[BlockCopy], store: KVStore, _: int) -> None:
    store.copy_blocks(copies)


def move(pairs: Sequence[tuple[int, int]], store: KVStore, _: int) -> None:
    sources_T, targets_T = torch.tensor(pairs, dtype=torch.int64).view(-1, 2).unbind(1)
    store.move_slots(sources_T, targets_T)


def operations() -> st.SearchStrategy[Operation]:
    blocks, slots = st.integers(0, NUM_BLOCKS - 1), st.integers(0, NUM_SLOTS - 1)
    copies = st.lists(st.builds(BlockCopy, blocks, blocks), max_size=4)
    moves = st.lists(st.tuples(slots, slots), max_size=6, unique_by=lambda pair: pair[1])
    return st.one_of(
        st.builds(partial[None], st.just(write), st.lists(slots, max_size=6, unique=True)),
        st.builds(partial[None], st.just(copy), copies),
        st.builds(partial[None], st.just(move), moves),
    )


@pytest.mark.slow
@given(st.lists(operations(), max_size=8))
def test_every_operation_keeps_rows_and_scales_together(wanted: list[Operation]) -> None:
    narrow, wide = (
        KVStore(NUM_BLOCKS, BLOCK_SIZE, LAYERS, dtype, "cpu")
        for dtype in (torch.int8, torch.float32)
    )
    for seed, operate in enumerate(wanted):
        operate(narrow, seed)
        operate(wide, seed)
    everything = torch.arange(NUM_SLOTS)
    for layer in range(len(LAYERS)):
        held, exact = narrow.gather(layer, everything), wide.gather(layer, everything)
        assert torch.equal(held[0], round_rows(exact[0]).widen())
        assert torch.equal(held[1], round_rows(exact[1]).widen())


@pytest.mark.slow
@given(st.integers(0, 10**6), st.sampled_from([1, 4, 16, 80]), st.integers(-40, 30))
def test_rounding_errs_by_half_a_step_and_keeps_order(seed: int, size: int, exponent: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(7, 2, size, generator=generator) * 10.0**exponent
    rounded = round_rows(x)
    largest = x.abs().amax(-1, keepdim=True)
    # Floats themselves err: by some 1e-7 of what they hold, and by what is left of tiny rows.
    bound = largest / 254 * (1 + 1e-4) + 1e-30
    assert bool(((rounded.widen() - x).abs() <= bound).all())
    assert int(rounded.values_THD.abs().max()) <= 127
    order = x.sort(-1).indices
    assert bool((rounded.values_THD.int().gather(-1, order).diff(dim=-1) >= 0).all())
    assert torch.equal(round_rows(-x).values_THD, -rounded.values_THD)
