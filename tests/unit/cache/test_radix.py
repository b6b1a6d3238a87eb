from __future__ import annotations

import pytest

from weft.cache import BlockPool, Namespace, RadixNode, RadixTree

BLOCK = 4
NAMESPACE = Namespace(tenant="a")


def tokens(*blocks: int) -> tuple[int, ...]:
    """One block of four tokens per number: (1, 2) gives 10 11 12 13 20 21 22 23."""
    return tuple(10 * block + i for block in blocks for i in range(BLOCK))


def insert(tree: RadixTree, pool: BlockPool, *blocks: int) -> list[int]:
    """Index a fresh sequence whose holder then goes away; returns the index's blocks."""
    block_ids = pool.try_allocate(len(blocks))
    assert block_ids is not None
    canonical = tree.insert(NAMESPACE, tokens(*blocks), block_ids).block_ids
    pool.release(block_ids)
    return canonical


@pytest.fixture
def pool() -> BlockPool:
    return BlockPool(17, BLOCK)


@pytest.fixture
def tree(pool: BlockPool) -> RadixTree:
    return RadixTree(pool)


def test_only_full_blocks_are_indexed_and_matched(tree: RadixTree, pool: BlockPool) -> None:
    block_ids = pool.try_allocate(2)
    assert block_ids is not None
    assert tree.insert(NAMESPACE, (*tokens(1), 7), block_ids).block_ids == block_ids[:1]
    match = tree.match(NAMESPACE, (*tokens(1), 7, 7, 7))
    assert (match.block_ids, match.num_tokens) == (block_ids[:1], BLOCK)
    assert tree.match(NAMESPACE, tokens(1)[:3]).block_ids == []


def test_diverging_sequences_share_their_common_blocks(tree: RadixTree, pool: BlockPool) -> None:
    first = insert(tree, pool, 1, 2, 3)
    second = insert(tree, pool, 1, 2, 4)
    assert second[:2] == first[:2]
    assert second[2] != first[2]
    assert tree.match(NAMESPACE, tokens(1, 2, 4, 9)).block_ids == second
    assert tree.match(NAMESPACE, tokens(1, 2, 3)).block_ids == first
    assert tree.num_cached_blocks == pool.num_used == 4


def test_a_duplicate_stays_with_its_owner(tree: RadixTree, pool: BlockPool) -> None:
    known = insert(tree, pool, 1, 2)
    mine = pool.try_allocate(3)
    assert mine is not None
    insertion = tree.insert(NAMESPACE, tokens(1, 2, 3), mine)
    assert insertion.num_known_blocks == 2
    assert insertion.block_ids == [*known, mine[2]]
    assert [pool.refcount(block_id) for block_id in mine] == [1, 1, 2]


@pytest.mark.parametrize(
    "other",
    [
        Namespace(tenant="b"),
        Namespace(tenant="a", weights_version=1),
        Namespace(tenant="a", adapter="x"),
    ],
)
def test_namespaces_never_share(tree: RadixTree, pool: BlockPool, other: Namespace) -> None:
    insert(tree, pool, 1)
    assert tree.match(other, tokens(1)).block_ids == []
    assert tree.match(NAMESPACE, tokens(1)).num_tokens == BLOCK


def test_the_least_recently_used_leaf_goes_first_from_its_end(
    tree: RadixTree, pool: BlockPool
) -> None:
    insert(tree, pool, 1, 2, 3)
    insert(tree, pool, 4, 5)
    assert tree.evict(1) == 1
    assert tree.match(NAMESPACE, tokens(1, 2, 3)).num_tokens == 2 * BLOCK
    tree.match(NAMESPACE, tokens(1, 2))
    assert tree.evict(2) == 2
    assert tree.match(NAMESPACE, tokens(4)).num_tokens == 0
    assert tree.match(NAMESPACE, tokens(1, 2)).num_tokens == 2 * BLOCK


def test_a_leased_prefix_is_never_evicted(tree: RadixTree, pool: BlockPool) -> None:
    insert(tree, pool, 1, 2, 3)
    with tree.lock(tree.match(NAMESPACE, tokens(1, 2)).node):
        assert tree.num_evictable_blocks == 1
        assert tree.evict(9) == 1
        assert tree.clear() == 0
        assert tree.match(NAMESPACE, tokens(1, 2)).num_tokens == 2 * BLOCK
    assert tree.evict(9) == 2
    assert tree.num_cached_blocks == pool.num_used == 0


def test_a_lease_covers_its_prefix_after_the_node_is_split(
    tree: RadixTree, pool: BlockPool
) -> None:
    insert(tree, pool, 1, 2, 3)
    lease = tree.lock(tree.match(NAMESPACE, tokens(1, 2, 3)).node)
    insert(tree, pool, 1, 4)
    assert tree.num_evictable_blocks == 1
    assert tree.evict(9) == 1
    lease.release()
    assert tree.num_evictable_blocks == 3


def test_blocks_with_another_holder_are_given_up_but_not_counted_as_freed(
    tree: RadixTree, pool: BlockPool
) -> None:
    mine = pool.try_allocate(1)
    assert mine is not None
    tree.insert(NAMESPACE, tokens(1), mine)
    insert(tree, pool, 2)
    assert tree.evict(1) == 1
    assert tree.num_cached_blocks == 0
    assert pool.refcount(mine[0]) == 1


def test_clearing_one_namespace_leaves_the_others(tree: RadixTree, pool: BlockPool) -> None:
    other = Namespace(tenant="b")
    insert(tree, pool, 1, 2)
    block_ids = pool.try_allocate(1)
    assert block_ids is not None
    tree.insert(other, tokens(1), block_ids)
    pool.release(block_ids)
    assert tree.clear(NAMESPACE) == 2
    assert tree.match(NAMESPACE, tokens(1)).num_tokens == 0
    assert tree.match(other, tokens(1)).num_tokens == BLOCK
    assert tree.clear() == 1


def test_a_node_locked_after_its_eviction_is_caught(tree: RadixTree, pool: BlockPool) -> None:
    insert(tree, pool, 1)
    node = tree.match(NAMESPACE, tokens(1)).node
    tree.evict(1)
    with pytest.raises(AssertionError, match="evicted before it was locked"):
        tree.lock(node)


def test_an_empty_match_can_be_locked(tree: RadixTree, pool: BlockPool) -> None:
    with tree.lock(tree.match(NAMESPACE, tokens(1)).node):
        insert(tree, pool, 1)
        assert tree.evict(1) == 1


def test_another_priority_can_replace_recency(pool: BlockPool) -> None:
    def longest_edge_first(node: RadixNode) -> float:
        return -len(node.block_ids)

    tree = RadixTree(pool, priority=longest_edge_first)
    insert(tree, pool, 1)
    insert(tree, pool, 2, 3)
    assert tree.evict(1) == 1
    assert tree.match(NAMESPACE, tokens(1)).num_tokens == BLOCK
    assert tree.match(NAMESPACE, tokens(2, 3)).num_tokens == BLOCK


@pytest.mark.slow
def test_a_long_chain_of_turns_is_cleared_without_recursion() -> None:
    pool = BlockPool(1202, 1)
    tree = RadixTree(pool)
    block_ids = pool.try_allocate(1200)
    assert block_ids is not None
    for end in range(1, 1201):
        tree.insert(NAMESPACE, tuple(range(end)), block_ids[:end])
    pool.release(block_ids)
    assert sum(1 for _ in tree.nodes()) == 1200
    assert tree.clear() == 1200
