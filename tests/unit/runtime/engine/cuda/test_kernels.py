"""One layer of attention through the kernels: equal to torch's, and the same bits anyhow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.support.device_kernels import TINY, OneLayer, path_for
from tests.unit.runtime.engine.model.cases import Packer
from tests.unit.runtime.engine.model.test_trees import Tree, random_tree, with_trees
from weft.runtime.engine.batch import PackedBatch
from weft.runtime.engine.cuda import HeadShape, Tiling, load_kernels

HEADS = HeadShape(num_heads=2, num_kv_heads=1, head_dim=16)


def layer(heads: HeadShape = HEADS, max_parts: int = 1000, **changes: object) -> OneLayer:
    return replace(OneLayer(path=path_for(heads, max_parts=max_parts)), **changes)  # type: ignore[arg-type]


def alone(one: OneLayer, packer: Packer, sequence: int, place: int) -> torch.Tensor:
    return one.forward(packer.pack({sequence: (place, place + 1)}), packer.kv)[0]


def rows_of(batch: PackedBatch, out: torch.Tensor) -> list[torch.Tensor]:
    lens: list[int] = batch.query_lens_S.tolist()
    return [*torch.split(out, lens)]


@pytest.mark.slow
@pytest.mark.parametrize("window", [None, 21])
@pytest.mark.parametrize("softcap", [None, 1.5])
def test_decodes_and_prompts_equal_torchs(window: int | None, softcap: float | None) -> None:
    one = layer(window=window, softcap=softcap)
    packer = one.packer([70, 20, 50, 40], np.random.default_rng(0))
    batch = packer.pack({0: (69, 70), 1: (0, 20), 2: (45, 50), 3: (39, 40)})
    got = one.forward(batch, packer.kv)
    torch.testing.assert_close(got, one.gathered(batch, packer.kv), atol=1e-5, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("heads", "kv_heads", "head_dim"),
    [(1, 1, 24), (2, 2, 64), (6, 2, 16), (7, 1, 128), (20, 1, 16)],
)
def test_any_shape_of_heads_equals_torchs(heads: int, kv_heads: int, head_dim: int) -> None:
    shape = HeadShape(num_heads=heads, num_kv_heads=kv_heads, head_dim=head_dim)
    tiling = replace(TINY, rows=32) if heads > 16 else TINY
    one = OneLayer(path=path_for(shape, tiling))
    packer = one.packer([50, 20], np.random.default_rng(1), block_size=16)
    batch = packer.pack({0: (49, 50), 1: (12, 20)})
    got = one.forward(batch, packer.kv)
    torch.testing.assert_close(got, one.gathered(batch, packer.kv), atol=1e-5, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_short_numbers_equal_torchs_up_to_their_rounding(dtype: torch.dtype) -> None:
    one = layer(dtype=dtype)
    packer = one.packer([70, 20], np.random.default_rng(2))
    batch = packer.pack({0: (69, 70), 1: (12, 20)})
    got = one.forward(batch, packer.kv)
    assert got.dtype == dtype
    tolerance = 4 * torch.finfo(dtype).eps
    torch.testing.assert_close(got, one.gathered(batch, packer.kv), atol=tolerance, rtol=0)


def family_of_sequences(one: OneLayer, rng: np.random.Generator) -> Packer:
    """One alone, two over 36 shared tokens, three over 80 that begin with these."""
    packer = one.packer([70, 50, 41, 90, 101, 83], rng)
    packer.tables[[2, 3, 4, 5], :9] = packer.tables[1, :9]
    packer.tables[[4, 5], :20] = packer.tables[3, :20]
    return packer


@pytest.mark.slow
@pytest.mark.parametrize("window", [None, 40])
@pytest.mark.parametrize("max_parts", [1000, 1])
def test_bits_depend_neither_on_company_nor_on_who_joins_splits(
    window: int | None, max_parts: int
) -> None:
    """One part: no split is kept apart."""
    one, packed = layer(window=window), layer(window=window, max_parts=max_parts)
    packer = family_of_sequences(one, np.random.default_rng(3))
    pieces = {4: (100, 101), 0: (60, 69), 3: (89, 90), 1: (49, 50), 5: (82, 83), 2: (40, 41)}
    batch = packer.pack(pieces)
    together = packed.forward(batch, packer.kv)
    apart = packed.forward(replace(batch, shares_prefixes=False), packer.kv)
    assert torch.equal(together, apart)
    for (sequence, (start, stop)), rows in zip(
        pieces.items(), rows_of(batch, together), strict=True
    ):
        for place in {start, stop - 1}:
            assert torch.equal(alone(one, packer, sequence, place), rows[place - start])


@pytest.mark.slow
def test_a_nodes_bits_are_those_of_its_path() -> None:
    one = layer(window=30)
    rng = np.random.default_rng(4)
    packer = one.packer([45, 20, 5], rng)
    trees = {0: random_tree(rng, 33, 12), 2: random_tree(rng, 0, 5)}
    batch = with_trees(packer.pack({0: (33, 45), 1: (15, 20), 2: (0, 5)}), trees)
    got = one.forward(batch, packer.kv)
    torch.testing.assert_close(got, one.gathered(batch, packer.kv), atol=1e-5, rtol=0)
    for node in (5, 11):
        assert torch.equal(got[node], on_its_path(one, packer, trees[0], node))


def on_its_path(one: OneLayer, packer: Packer, tree: Tree, node: int) -> torch.Tensor:
    """The node's path moved to where it would lie if it were the sequence, then its last token
    decoded."""
    slots = torch.as_tensor(packer.pack({0: (tree.base, 45)}).slots_T).to(one.device)
    path = tree.path(node)
    packer.kv.move_slots(slots[path], slots[: len(path)])
    tokens = packer.sequences[0].copy()
    packer.sequences[0] = tokens[tree.places(node)]
    place = len(packer.sequences[0]) - 1
    result = alone(one, packer, 0, place)
    packer.sequences[0] = tokens
    whole = with_trees(packer.pack({0: (tree.base, 45)}), {0: tree})
    one.forward(whole, packer.kv)
    return result


@pytest.mark.slow
@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_neighbours_broken_memory_stays_its_own(broken: float) -> None:
    one = layer()
    packer = family_of_sequences(one, np.random.default_rng(5))
    batch = packer.pack({3: (89, 90), 4: (100, 101), 2: (40, 41)})
    clean = one.forward(batch, packer.kv)
    own = int(packer.tables[4, 20]) * 4
    for tensor_NHD in (packer.kv.layer(0).keys_NHD, packer.kv.layer(0).values_NHD):
        tensor_NHD[own] = broken
    # What no sequence has written yet may hold anything.
    packer.kv.layer(0).values_NHD[int(packer.tables[3, 22]) * 4 + 2] = broken
    with np.errstate(invalid="ignore"):
        spoilt = one.forward(batch, packer.kv)
    assert torch.equal(spoilt[[0, 2]], clean[[0, 2]])
    assert not spoilt[1].isfinite().any()


def test_the_heights_of_a_tile_hold_a_group() -> None:
    assert (
        Tiling(rows=16, keys=16).num_views(HeadShape(num_heads=28, num_kv_heads=4, head_dim=8)) == 2
    )
    assert not load_kernels().is_interpreted or not torch.cuda.is_available()
