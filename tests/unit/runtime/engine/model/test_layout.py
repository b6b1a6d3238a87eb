"""The layout against its definition: which slots each query sees."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from weft.runtime.engine.batch import PackedBatch
from weft.runtime.engine.model.layout import AttentionLayout, plan_fixed, plan_layout
from weft.runtime.engine.model.spans import Ruler

WINDOWS = (None, 1, 5, 64, 1000)


def random_batch(rng: np.random.Generator, block_size: int) -> PackedBatch:
    num_sequences = int(rng.integers(1, 7))
    contexts = rng.integers(1, 600, num_sequences)
    lens = np.array([1 if rng.random() < 0.5 else rng.integers(1, c + 1) for c in contexts])
    width = -(-int(contexts.max()) // block_size)
    tables = 1 + rng.permutation(num_sequences * width).reshape(num_sequences, width)
    positions: list[npt.NDArray[np.int64]] = [
        np.arange(c - n, c) for c, n in zip(contexts, lens, strict=True)
    ]
    slots: list[npt.NDArray[np.int64]] = [
        tables[s][place // block_size] * block_size + place % block_size
        for s, place in enumerate(positions)
    ]
    total = int(lens.sum())
    return PackedBatch(
        token_ids_T=np.zeros(total, np.int64),
        positions_T=np.concatenate(positions),
        slots_T=np.concatenate(slots),
        query_lens_S=lens.astype(np.int32),
        context_lens_S=contexts.astype(np.int32),
        block_tables_SB=tables.astype(np.int32),
        logit_rows_R=np.arange(total),
    )


def visible_slots(
    layout: AttentionLayout, window: int | None, block_size: int
) -> dict[int, set[int]]:
    """By packed row, the slots its query may see, read off the layout."""
    seen: dict[int, set[int]] = {}
    for group in layout.groups:
        span = group.spans[window]
        shape = (group.num_sequences, group.num_queries)
        size = shape[0] * shape[1]
        rows = np.arange(size) if group.rows_N is None else group.rows_N.numpy()
        blocks = span.blocks_SN.numpy().reshape(shape[0], -1)
        slots = (blocks[:, :, None] * block_size + np.arange(block_size)).reshape(shape[0], -1)
        slots = slots[:, : span.num_keys]
        mask = np.zeros((*shape, span.num_keys))
        if span.mask_S1QL is not None:
            mask = mask + span.mask_S1QL[:, 0].numpy()
        for index, row in enumerate(rows):
            sequence, query = divmod(index, group.num_queries)
            seen[int(row)] = {int(s) for s in slots[sequence][mask[sequence, query] == 0]}
    return seen


def defined_slots(batch: PackedBatch, window: int | None, block_size: int) -> dict[int, set[int]]:
    sequences = np.repeat(np.arange(len(batch.query_lens_S)), batch.query_lens_S)
    wanted: dict[int, set[int]] = {}
    for row, sequence in enumerate(sequences):
        position = int(batch.positions_T[row])
        first = 0 if window is None else max(0, position - window + 1)
        places = np.arange(first, position + 1)
        blocks = batch.block_tables_SB[sequence][places // block_size].astype(np.int64)
        wanted[row] = {int(s) for s in blocks * block_size + places % block_size}
    return wanted


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("is_fixed", [False, True])
def test_every_query_sees_exactly_its_past(seed: int, is_fixed: bool) -> None:
    rng = np.random.default_rng(seed)
    block_size = [1, 4, 16][seed % 3]
    batch = random_batch(rng, block_size)
    ruler = Ruler(
        block_size=block_size,
        dtype=torch.float32,
        device=torch.device("cpu"),
        is_fixed=is_fixed,
    )
    layout = (plan_fixed if is_fixed else plan_layout)(batch, WINDOWS, ruler)
    for window in WINDOWS:
        assert visible_slots(layout, window, block_size) == defined_slots(batch, window, block_size)


def test_a_window_is_gathered_alone() -> None:
    ruler = Ruler(block_size=4, dtype=torch.float32, device=torch.device("cpu"))
    tables = np.arange(1, 251)[None]
    span = ruler.measure(tables, np.array([[999]]), 6)
    assert list(map(int, span.blocks_SN)) == [249, 250]


def test_a_fixed_span_depends_on_the_position_alone() -> None:
    ruler = Ruler(block_size=16, dtype=torch.float32, device=torch.device("cpu"), is_fixed=True)
    positions = np.array([0, 63, 64, 127, 128, 255, 256, 1000])
    assert ruler.fixed_blocks(positions).tolist() == [4, 4, 8, 8, 16, 16, 32, 64]
