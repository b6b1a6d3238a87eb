from __future__ import annotations

import numpy as np
import pytest

from weft.cache import BlockCopy, BlockPool, BlockTable

BLOCK = 4


@pytest.fixture
def pool() -> BlockPool:
    return BlockPool(12, BLOCK)


def grown(pool: BlockPool, num_tokens: int) -> BlockTable:
    table = BlockTable(BLOCK)
    assert table.try_grow(pool, num_tokens)
    return table


def test_tokens_lie_in_the_blocks_in_order(pool: BlockPool) -> None:
    table = grown(pool, 6)
    first, second = table.block_ids
    expected = [first * 4, first * 4 + 1, first * 4 + 2, first * 4 + 3, second * 4, second * 4 + 1]
    assert table.slots_for(0, 6).tolist() == expected
    assert table.slots_for(0, 6).dtype == np.int64
    assert [table.slot(i) for i in range(6)] == expected
    assert table.slots_for(3, 5).tolist() == expected[3:5]
    assert table.slots_for(6, 6).tolist() == []


def test_growth_fails_whole_when_the_pool_is_short(pool: BlockPool) -> None:
    table = grown(pool, 5)
    assert not table.try_grow(pool, 100)
    assert (table.num_tokens, table.num_blocks, pool.num_used) == (5, 2, 2)
    assert table.try_grow(pool, 8)
    assert pool.num_used == 2


def test_growth_token_by_token_allocates_only_at_block_ends(pool: BlockPool) -> None:
    table = BlockTable(BLOCK)
    counts: list[int] = []
    for num_tokens in range(1, 10):
        counts.append(table.num_missing_blocks(num_tokens))
        assert table.try_grow(pool, num_tokens)
    assert counts == [1, 0, 0, 0, 1, 0, 0, 0, 1]


def test_a_table_longer_than_its_first_capacity_keeps_its_blocks() -> None:
    pool = BlockPool(100, 1)
    table = BlockTable(1)
    for num_tokens in range(1, 90):
        assert table.try_grow(pool, num_tokens)
    assert table.block_ids == list(range(1, 90))


def test_a_row_is_padded_with_zeros(pool: BlockPool) -> None:
    row = np.full(5, 99, dtype=np.int32)
    table = grown(pool, 5)
    table.write_row(row)
    assert row.tolist() == [*table.block_ids, 0, 0, 0]


def test_a_fork_shares_until_it_is_made_writable(pool: BlockPool) -> None:
    parent = grown(pool, 6)
    child = parent.fork(pool)
    assert child.block_ids == parent.block_ids
    assert pool.num_used == 2
    copies = child.try_make_writable(pool)
    assert copies == [BlockCopy(parent.block_ids[1], child.block_ids[1])]
    assert child.block_ids[0] == parent.block_ids[0]
    assert child.block_ids[1] != parent.block_ids[1]
    assert parent.try_make_writable(pool) == []
    parent.free(pool)
    child.free(pool)
    assert pool.num_used == 0


def test_a_fork_at_a_block_end_needs_no_copy(pool: BlockPool) -> None:
    parent = grown(pool, 8)
    assert parent.fork(pool).try_make_writable(pool) == []


def test_an_earlier_start_makes_every_block_from_there_writable(pool: BlockPool) -> None:
    parent = grown(pool, 12)
    child = parent.fork(pool)
    copies = child.try_make_writable(pool, 5)
    assert copies is not None
    assert [copy.source for copy in copies] == parent.block_ids[1:]
    assert [copy.target for copy in copies] == child.block_ids[1:]


def test_making_writable_fails_whole_when_the_pool_is_short() -> None:
    pool = BlockPool(3, BLOCK)
    parent = grown(pool, 6)
    child = parent.fork(pool)
    assert child.try_make_writable(pool) is None
    assert child.block_ids == parent.block_ids


def test_truncation_releases_only_whole_blocks(pool: BlockPool) -> None:
    table = grown(pool, 12)
    table.truncate(pool, 5)
    assert (table.num_tokens, table.num_blocks, pool.num_used) == (5, 2, 2)
    table.truncate(pool, 4)
    assert pool.num_used == 1
    table.free(pool)
    table.free(pool)
    assert pool.num_used == 0


def test_a_match_is_shared_and_its_last_block_copied_when_rewritten(pool: BlockPool) -> None:
    owner = grown(pool, 8)
    table = BlockTable.sharing(pool, owner.block_ids)
    assert table.num_tokens == 8
    table.truncate(pool, 7)
    copies = table.try_make_writable(pool)
    assert copies == [BlockCopy(owner.block_ids[1], table.block_ids[1])]


def test_swapping_a_prefix_gives_back_the_duplicates(pool: BlockPool) -> None:
    canonical, table = grown(pool, 8), grown(pool, 10)
    last = table.block_ids[2]
    table.swap_prefix(pool, canonical.block_ids)
    assert table.block_ids == [*canonical.block_ids, last]
    assert pool.num_used == 3
    table.swap_prefix(pool, canonical.block_ids)
    assert pool.refcount(canonical.block_ids[0]) == 2


def test_positions_outside_the_table_are_caught(pool: BlockPool) -> None:
    table = grown(pool, 5)
    with pytest.raises(AssertionError):
        table.slot(5)
    with pytest.raises(AssertionError):
        table.slots_for(3, 6)
