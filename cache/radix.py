"""The prefix index: which blocks already hold the KV of a token sequence.

A radix tree over whole blocks, after RadixAttention (Zheng et al., SGLang, 2023).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count
from typing import NamedTuple

from weft.cache.eviction import EvictionPriority, EvictionQueue, least_recently_used
from weft.cache.lease import Lease
from weft.cache.namespace import Namespace
from weft.cache.node import RadixNode
from weft.cache.owner import KvOwner
from weft.cache.pool import BlockPool

__all__ = ["Insertion", "PrefixMatch", "RadixTree"]


class PrefixMatch(NamedTuple):
    """The longest indexed prefix of some tokens, in whole blocks.

    The blocks may be evicted and reused at any later ``evict`` or ``clear`` unless ``node`` is
    locked or the blocks are acquired from the pool before.
    """

    block_ids: list[int]
    num_tokens: int
    node: RadixNode
    """What to lock to keep exactly this prefix."""


class Insertion(NamedTuple):
    """What the index holds after an insert."""

    num_known_blocks: int
    """Leading blocks that were indexed before."""
    block_ids: list[int]
    """The index's blocks for the inserted tokens: where they differ from the caller's, the
    caller holds a duplicate and may swap."""
    node: RadixNode


GiveUp = Callable[[RadixNode, Sequence[int]], None]
"""A leaf, whose edge still spells all that it held, and its last blocks, which go."""


class RadixTree:
    """Indexes full blocks by (namespace, tokens) and holds one pool reference on each.

    Not thread-safe: the thread that owns the pool owns the tree. Nothing here blocks.
    """

    def __init__(
        self,
        pool: BlockPool,
        *,
        priority: EvictionPriority = least_recently_used,
        clock: Callable[[], int] | None = None,
        on_give_up: GiveUp | None = None,
    ) -> None:
        """``clock`` must rise with every call; by default a counter from 1. ``on_give_up`` is
        called for blocks as they leave the index, while they still hold what they held."""
        self._pool = pool
        self._clock = clock if clock is not None else count(1).__next__
        self._roots: dict[Namespace, RadixNode] = {}
        self._queue = EvictionQueue(priority)
        self._on_give_up = on_give_up
        self._width = pool.block_size * array("q").itemsize
        self._num_cached = 0
        self._num_pinned = 0

    @property
    def num_cached_blocks(self) -> int:
        """Blocks the index holds a reference on."""
        return self._num_cached

    @property
    def num_evictable_blocks(self) -> int:
        """Blocks outside every leased path. ``evict`` can free all of them if whoever else holds
        a cached block also leases it; a block with another holder is given up but not freed."""
        return self._num_cached - self._num_pinned

    @property
    def num_namespaces(self) -> int:
        """Namespaces with a cached block: one whose last block went costs nothing."""
        return len(self._roots)

    def match(self, namespace: Namespace, tokens: Sequence[int]) -> PrefixMatch:
        """Find the longest indexed prefix and mark it as used now.

        Mutates: a node may be split so that the match ends at one.
        """
        path = self._walk(namespace, self._encode(tokens))
        block_ids = [block_id for node in path for block_id in node.block_ids]
        return PrefixMatch(block_ids, len(block_ids) * self._pool.block_size, path[-1])

    def insert(
        self,
        namespace: Namespace,
        tokens: Sequence[int],
        block_ids: Sequence[int],
        *,
        owner: KvOwner | None = None,
    ) -> Insertion:
        """Index the full blocks of ``tokens``, whose KV must be written already.

        ``block_ids[i]`` holds tokens ``i * block_size`` onwards. The index takes its own
        reference on each block it adopts; the caller keeps all of its references.
        """
        key = self._encode(tokens)
        num_full = len(key) // self._width
        assert len(block_ids) >= num_full, f"{len(block_ids)} blocks for {len(tokens)} tokens"
        path = self._walk(namespace, key)
        known = [block_id for node in path for block_id in node.block_ids]
        adopted = list(block_ids[len(known) : num_full])
        node = path[-1]
        if adopted:
            self._roots.setdefault(namespace, path[0])
            node = self._add_leaf(node, key[len(known) * self._width :], adopted)
        if owner is not None and owner not in node.owners:
            others = (one for one in node.owners if one.standing != "released")
            node.owners = (*others, owner)
        return Insertion(len(known), known + adopted, node)

    def lock(self, node: RadixNode) -> Lease:
        """Pin the node and its ancestors: never evicted nor cleared until the Lease is released.

        O(depth). The node must come from a match or an insert with no eviction since.
        """
        assert not node.is_dropped, "the node was evicted before it was locked"
        for pinned in node.path():
            if pinned.num_pins == 0:
                self._num_pinned += len(pinned.block_ids)
            pinned.num_pins += 1
        return Lease(partial(self._unlock, node))

    def evict(self, num_blocks: int) -> int:
        """Give up unpinned blocks, leaves first, by priority, until ``num_blocks`` became free.

        Returns how many did: fewer when nothing unpinned is left. A leaf loses only as many
        blocks at its end as are needed. O(log n) per leaf.
        """
        num_freed = 0
        while num_freed < num_blocks:
            node = self._queue.pop()
            if node is None:
                break
            num_freed += self._give_up(node, num_blocks - num_freed)
        return num_freed

    def reprice(self) -> None:
        """Owners stand lower than before: read all priorities again, O(leaves), once."""
        self._queue.reprice()

    def clear(self, namespace: Namespace | None = None) -> int:
        """Give up every unpinned block of one namespace, or of all; returns how many became free.

        O(nodes).
        """
        num_freed = 0
        for node in reversed(list(self.nodes(namespace))):
            if node.is_evictable:
                num_freed += self._give_up(node, len(node.block_ids) + 1)
        self._queue.purge()
        return num_freed

    def nodes(self, namespace: Namespace | None = None) -> Iterator[RadixNode]:
        """Every node but the roots, parents before children, of one namespace or of all."""
        stack = [
            child
            for name, root in self._roots.items()
            if namespace is None or name == namespace
            for child in root.children.values()
        ]
        while stack:
            node = stack.pop()
            stack.extend(node.children.values())
            yield node

    def _encode(self, tokens: Sequence[int]) -> bytes:
        """The full blocks of the tokens, so that runs compare and hash as bytes."""
        num_full = len(tokens) // self._pool.block_size * self._pool.block_size
        return array("q", tokens[:num_full]).tobytes()

    def _walk(self, namespace: Namespace, key: bytes) -> list[RadixNode]:
        """Nodes from the root that spell the longest prefix of ``key``, split to end there."""
        now = self._clock()
        node = self._roots.get(namespace) or RadixNode(namespace)
        node.last_use = now
        path = [node]
        start = 0
        while child := node.children.get(key[start : start + self._width]):
            num_shared = self._num_shared(child.edge, key, start)
            node = self._split(child, num_shared) if num_shared < len(child.block_ids) else child
            node.last_use = now
            path.append(node)
            start += len(node.edge)
        return path

    def _num_shared(self, edge: bytes, key: bytes, start: int) -> int:
        """Leading blocks of ``edge`` equal to those of ``key`` from ``start``."""
        if key.startswith(edge, start):
            return len(edge) // self._width
        width = self._width
        limit = min(len(edge), len(key) - start)
        for at in range(0, limit, width):
            if edge[at : at + width] != key[start + at : start + at + width]:
                return at // width
        return limit // width

    def _split(self, node: RadixNode, num_blocks: int) -> RadixNode:
        """Put a new node with the first ``num_blocks`` above; ``node`` keeps the rest, so that
        Leases on it still cover the whole prefix."""
        parent, at = node.parent, num_blocks * self._width
        assert parent is not None, "a root has no edge to split"
        upper = RadixNode(node.namespace, parent, node.edge[:at], node.block_ids[:num_blocks])
        upper.last_use, upper.num_pins = node.last_use, node.num_pins
        upper.owners = node.owners
        parent.children[upper.edge[: self._width]] = upper
        node.parent, node.edge = upper, node.edge[at:]
        node.block_ids = node.block_ids[num_blocks:]
        upper.children[node.edge[: self._width]] = node
        return upper

    def _add_leaf(self, parent: RadixNode, edge: bytes, block_ids: list[int]) -> RadixNode:
        self._pool.acquire(block_ids)
        leaf = RadixNode(parent.namespace, parent, edge, block_ids)
        leaf.last_use = parent.last_use
        parent.children[edge[: self._width]] = leaf
        self._num_cached += len(block_ids)
        self._queue.offer(leaf)
        return leaf

    def _unlock(self, node: RadixNode) -> None:
        for pinned in node.path():
            pinned.num_pins -= 1
            if pinned.num_pins == 0:
                self._num_pinned -= len(pinned.block_ids)
        self._queue.offer(node)

    def _give_up(self, leaf: RadixNode, num_wanted: int) -> int:
        """Give up blocks from the leaf's end until enough became free or the leaf is gone."""
        if any(owner.standing == "demoted" for owner in leaf.owners):
            # Copied at once, and none of it is worth more than the rest.
            num_wanted = len(leaf.block_ids)
        num_freed, given_up = 0, list[int]()
        while leaf.block_ids and num_freed < num_wanted:
            given_up.append(leaf.block_ids.pop())
            num_freed += self._pool.release(given_up[-1:])
            self._num_cached -= 1
        if self._on_give_up is not None:
            self._on_give_up(leaf, given_up[::-1])
        if leaf.block_ids:
            leaf.edge = leaf.edge[: len(leaf.block_ids) * self._width]
            self._queue.offer(leaf)
        else:
            self._drop(leaf)
        return num_freed

    def _drop(self, leaf: RadixNode) -> None:
        """Take an emptied leaf out of the tree; its parent may become a leaf by it."""
        parent = leaf.parent
        assert parent is not None, "a root is no leaf"
        del parent.children[leaf.edge[: self._width]]
        leaf.is_dropped = True
        self._queue.offer(parent)
        if parent.is_root and not parent.children:
            del self._roots[parent.namespace]
