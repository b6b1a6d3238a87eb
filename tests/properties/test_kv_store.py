"""A memory of 8 bits holds what one of floats would, rounded, whatever is done to both."""

from __future__ import annotations

from collections.abc import Sequence

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

blocks = st.integers(0, NUM_BLOCKS - 1)
slots = st.lists(st.integers(0, NUM_SLOTS - 1), max_size=6, unique=True)
copies = st.lists(st.builds(BlockCopy, blocks, blocks), max_size=4)
moves = st.lists(st.integers(0, NUM_SLOTS - 1), max_size=6).flatmap(
    lambda sources: st.tuples(
        st.just(sources), st.permutations(range(NUM_SLOTS)).map(lambda p: p[: len(sources)])
    )
)
exponents = st.integers(-40, 30)


def apply(store: KVStore, operation: tuple[str, object], seed: int) -> None:
    name, what = operation
    match name, what:
        case "copy", list() as pairs:
            store.copy_blocks(pairs)
        case "move", (sources, targets):
            store.move_slots(
                torch.tensor(sources, dtype=torch.int64), torch.tensor(targets, dtype=torch.int64)
            )
        case _, list() as targets:
            write(store, targets, seed)


def write(store: KVStore, targets: Sequence[int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for layer, shape in enumerate(LAYERS):
        size = (len(targets), shape.num_kv_heads, shape.head_dim)
        k, v = (torch.randn(size, generator=generator) for _ in range(2))
        store.write(layer, torch.tensor(targets, dtype=torch.int64), k, v * 100)


@pytest.mark.slow
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("write"), slots),
            st.tuples(st.just("copy"), copies),
            st.tuples(st.just("move"), moves),
        ),
        max_size=8,
    )
)
def test_every_operation_keeps_rows_and_scales_together(
    operations: list[tuple[str, object]],
) -> None:
    narrow, wide = (
        KVStore(NUM_BLOCKS, BLOCK_SIZE, LAYERS, dtype, "cpu")
        for dtype in (torch.int8, torch.float32)
    )
    for seed, operation in enumerate(operations):
        apply(narrow, operation, seed)
        apply(wide, operation, seed)
    everything = torch.arange(NUM_SLOTS)
    for layer in range(len(LAYERS)):
        pairs = zip(narrow.gather(layer, everything), wide.gather(layer, everything), strict=True)
        for got, exact in pairs:
            assert torch.equal(got, round_rows(exact).widen())


@pytest.mark.slow
@given(st.integers(0, 10**6), st.sampled_from([1, 4, 16, 80]), exponents)
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
