from __future__ import annotations

import pytest

from weft.cache import PADDING_BLOCK, BlockPool
from weft.errors import InvalidRequest


def test_every_block_but_the_padding_block_can_be_allocated_once() -> None:
    pool = BlockPool(5, 4)
    block_ids = pool.try_allocate(4)
    assert block_ids is not None
    assert sorted(block_ids) == [1, 2, 3, 4]
    assert PADDING_BLOCK not in block_ids
    assert (pool.num_free, pool.num_used) == (0, 4)


def test_allocation_is_all_or_nothing() -> None:
    pool = BlockPool(4, 4)
    assert pool.try_allocate(4) is None
    assert pool.num_free == 3
    assert pool.try_allocate(0) == []


def test_a_block_is_free_only_after_its_last_holder_released_it() -> None:
    pool = BlockPool(3, 4)
    block_ids = pool.try_allocate(1)
    assert block_ids is not None
    pool.acquire(block_ids)
    assert pool.is_shared(block_ids[0])
    assert pool.release(block_ids) == 0
    assert (pool.refcount(block_ids[0]), pool.num_used) == (1, 1)
    assert pool.release(block_ids) == 1
    assert (pool.refcount(block_ids[0]), pool.num_used) == (0, 0)


def test_releasing_a_free_block_is_caught() -> None:
    pool = BlockPool(3, 4)
    block_ids = pool.try_allocate(1)
    assert block_ids is not None
    pool.release(block_ids)
    with pytest.raises(AssertionError, match="nobody holds it"):
        pool.release(block_ids)
    with pytest.raises(AssertionError, match="nobody holds it"):
        pool.acquire(block_ids)


@pytest.mark.parametrize(("num_blocks", "block_size"), [(1, 4), (-3, 4), (8, 0)])
def test_a_pool_that_could_hold_nothing_is_refused(num_blocks: int, block_size: int) -> None:
    with pytest.raises(InvalidRequest, match="at least"):
        BlockPool(num_blocks, block_size)
