from __future__ import annotations

import pytest
import torch

from weft.cache import BlockCopy
from weft.cache.kv_store import KVShape, KVStore
from weft.errors import InvalidRequest

LAYERS = (KVShape(num_kv_heads=2, head_dim=3), KVShape(num_kv_heads=1, head_dim=5))


def store(num_blocks: int = 6, dtype: torch.dtype = torch.float32) -> KVStore:
    return KVStore(num_blocks, 4, LAYERS, dtype, "cpu")


def filled() -> KVStore:
    """Every slot holds its own number in every place; values are the negated keys."""
    made = store()
    for layer, shape in enumerate(LAYERS):
        size = (24, shape.num_kv_heads, shape.head_dim)
        k = torch.arange(24.0)[:, None, None].expand(size)
        made.write(layer, torch.arange(24), k, -k)
    return made


def blocks_of(made: KVStore, layer: int) -> list[int]:
    """Per block, the number of the block its first slot's content came from."""
    keys, values = made.gather(layer, torch.arange(0, 24, 4))
    assert torch.equal(keys, -values)
    return [int(number) // 4 for number in keys[:, 0, 0]]


def test_what_is_written_is_gathered_in_the_asked_order() -> None:
    made = store()
    k = torch.randn(3, 2, 3, generator=torch.Generator().manual_seed(0))
    slots = torch.tensor([9, 4, 17])
    made.write(0, slots, k, k + 1)
    keys, values = made.gather(0, slots[[2, 0]])
    assert torch.equal(keys, k[[2, 0]])
    assert torch.equal(values, k[[2, 0]] + 1)
    assert int(made.layer(0).keys_NHD.count_nonzero()) == k.numel()
    assert int(made.layer(1).keys_NHD.count_nonzero()) == 0


def test_copying_blocks_copies_every_slot_of_every_layer() -> None:
    made = filled()
    made.copy_blocks([BlockCopy(1, 4), BlockCopy(2, 5)])
    for layer in range(made.num_layers):
        keys, _ = made.gather(layer, torch.arange(16, 24))
        assert [int(number) for number in keys[:, 0, 0]] == list(range(4, 12))
        assert blocks_of(made, layer) == [0, 1, 2, 3, 1, 2]


@pytest.mark.parametrize(
    "copies",
    [
        [(1, 2), (2, 3)],
        [(1, 2), (3, 1)],
        [(1, 2), (3, 2)],
        [(1, 2), (2, 1), (1, 5), (4, 2)],
        [],
    ],
)
def test_dependent_copies_have_the_effect_of_one_after_the_other(
    copies: list[tuple[int, int]],
) -> None:
    expected = list(range(6))
    for source, target in copies:
        expected[target] = expected[source]
    made = filled()
    made.copy_blocks([BlockCopy(*pair) for pair in copies])
    assert blocks_of(made, 0) == blocks_of(made, 1) == expected


@pytest.mark.parametrize(
    ("sources", "targets"),
    [([9, 11, 12], [8, 9, 10]), ([3, 4, 5], [4, 5, 6]), ([1, 2], [2, 1]), ([7], [7]), ([], [])],
)
def test_slots_move_all_at_once(sources: list[int], targets: list[int]) -> None:
    made = filled()
    expected = torch.arange(24.0)
    expected[targets] = expected[sources].clone()
    made.move_slots(
        torch.tensor(sources, dtype=torch.int64), torch.tensor(targets, dtype=torch.int64)
    )
    for layer in range(made.num_layers):
        keys, values = made.gather(layer, torch.arange(24))
        assert torch.equal(keys, expected[:, None, None].expand_as(keys))
        assert torch.equal(values, -keys)


def test_the_size_is_that_of_its_blocks() -> None:
    made = store(6, torch.bfloat16)
    block_bytes = KVStore.block_bytes(4, LAYERS, torch.bfloat16)
    assert block_bytes == 4 * 2 * (2 * 3 + 1 * 5) * 2
    assert made.size_bytes == 6 * block_bytes


def test_a_freed_store_holds_nothing() -> None:
    store = KVStore(2, 4, [KVShape(num_kv_heads=1, head_dim=2)], torch.float32, "cpu")
    assert store.size_bytes > 0
    store.free()
    store.free()
    assert store.size_bytes == 0


def test_a_budget_is_rounded_down_to_blocks() -> None:
    block_bytes = KVStore.block_bytes(4, LAYERS, torch.float32)
    budget_bytes = 7 * block_bytes + block_bytes - 1
    assert KVStore.num_blocks_in(budget_bytes, 4, LAYERS, torch.float32) == 7


def test_a_budget_too_small_for_one_sequence_is_refused_with_what_it_needs() -> None:
    block_bytes = KVStore.block_bytes(4, LAYERS, torch.float32)
    with pytest.raises(InvalidRequest, match=f"at least {4 * block_bytes} bytes"):
        KVStore.num_blocks_in(3 * block_bytes, 4, LAYERS, torch.float32, min_tokens=9)
    assert KVStore.num_blocks_in(4 * block_bytes, 4, LAYERS, torch.float32, min_tokens=9) == 4


def test_memory_that_is_not_there_is_refused() -> None:
    shape = KVShape(num_kv_heads=1 << 20, head_dim=1 << 20)
    with pytest.raises(InvalidRequest, match="smaller KV budget"):
        KVStore(1 << 10, 1 << 10, [shape], torch.float32, "cpu")


def test_in_int8_every_head_of_a_token_has_its_scale() -> None:
    made = store(dtype=torch.int8)
    k = torch.zeros(2, 2, 3)
    k[0, 1] = torch.tensor([1.0, -2.0, 0.5])
    made.write(0, torch.tensor([9, 4]), k, 10 * k)
    layer = made.layer(0)
    assert layer.keys_NHD[9].tolist() == [[0, 0, 0], [64, -127, 32]]
    assert layer.key_scales_NH is not None and layer.value_scales_NH is not None
    assert layer.key_scales_NH.nonzero().tolist() == [[9, 1]]
    keys, values = made.gather(0, torch.tensor([4, 9]))
    assert keys.dtype == torch.float32 and not keys[0].any()
    assert (keys[1] - k[0]).abs().max() <= 2 / 254
    torch.testing.assert_close(values, 10 * keys)


def test_int8_takes_a_byte_for_a_value_and_a_float_for_a_row() -> None:
    made = store(6, torch.int8)
    token_bytes = 2 * 2 * (3 + 4) + 2 * 1 * (5 + 4)
    assert KVStore.block_bytes(4, LAYERS, torch.int8) == 4 * token_bytes
    assert made.size_bytes == 24 * token_bytes
    assert KVStore.num_blocks_in(8 * token_bytes + 7, 4, LAYERS, torch.int8) == 2
