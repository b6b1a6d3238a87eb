"""Which cached prefix goes first when memory is short."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from weft.cache.node import RadixNode

__all__ = ["EvictionPriority", "EvictionQueue", "least_recently_used", "released_first"]

LOWER = 1e15
"""More than a tree's clock ever shows; floats still tell neighbouring times apart, twice as far
too."""

EvictionPriority = Callable[[RadixNode], float]
"""Value of keeping a leaf: the smallest goes first. It may rise at any time and is read again
before a leaf goes; a fall is noticed when the leaf is queued anew, or by ``reprice``."""


def least_recently_used(node: RadixNode) -> float:
    return node.last_use


def released_first(node: RadixNode) -> float:
    """The least recently used of what all its owners have released, then of what they have
    demoted, then of all else."""
    standings = {owner.standing for owner in node.owners}
    if not standings or "kept" in standings:
        return node.last_use
    return node.last_use - (LOWER if "demoted" in standings else 2 * LOWER)


class EvictionQueue:
    """Leaves that may be evicted, cheapest first, equals in the order they came.

    An entry is checked when it reaches the front, not when its node changes: using, pinning and
    unpinning a cached prefix cost nothing here. Each node has at most one entry.
    """

    def __init__(self, priority: EvictionPriority) -> None:
        self._priority = priority
        self._heap: list[tuple[float, int, RadixNode]] = []
        self._num_pushed = 0
        self._is_stale = False

    def offer(self, node: RadixNode) -> None:
        """Queue the node if it can be evicted and is not queued; O(log n)."""
        if node.is_evictable and not node.is_queued:
            self._push(node)

    def reprice(self) -> None:
        """Some priorities may have fallen: read all again before the next leaf goes, O(n)."""
        self._is_stale = True

    def pop(self) -> RadixNode | None:
        """Take out the cheapest leaf that can be evicted, ``None`` when there is none."""
        if self._is_stale:
            self._heap = [(self._priority(node), at, node) for _, at, node in self._heap]
            heapq.heapify(self._heap)
            self._is_stale = False
        while self._heap:
            priority, _, node = heapq.heappop(self._heap)
            node.is_queued = False
            if not node.is_evictable:
                continue
            if self._priority(node) > priority:
                self._push(node)
                continue
            return node
        return None

    def purge(self) -> None:
        """Forget the entries of dropped nodes; O(n)."""
        self._heap = [entry for entry in self._heap if not entry[2].is_dropped]
        heapq.heapify(self._heap)

    def _push(self, node: RadixNode) -> None:
        self._num_pushed += 1
        node.is_queued = True
        heapq.heappush(self._heap, (self._priority(node), self._num_pushed, node))
