"""Which cached prefix goes first when memory is short."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from weft.cache.node import RadixNode

__all__ = ["EvictionPriority", "EvictionQueue", "least_recently_used"]

EvictionPriority = Callable[[RadixNode], float]
"""Value of keeping a leaf: the smallest goes first. It may rise at any time and is read again
before a leaf goes; a fall is noticed only when the leaf is queued anew."""


def least_recently_used(node: RadixNode) -> float:
    return node.last_use


class EvictionQueue:
    """Leaves that may be evicted, cheapest first, equals in the order they came.

    An entry is checked when it reaches the front, not when its node changes: using, pinning and
    unpinning a cached prefix cost nothing here. Each node has at most one entry.
    """

    def __init__(self, priority: EvictionPriority) -> None:
        self._priority = priority
        self._heap: list[tuple[float, int, RadixNode]] = []
        self._num_pushed = 0

    def offer(self, node: RadixNode) -> None:
        """Queue the node if it can be evicted and is not queued; O(log n)."""
        if node.is_evictable and not node.is_queued:
            self._push(node)

    def pop(self) -> RadixNode | None:
        """Take out the cheapest leaf that can be evicted, ``None`` when there is none."""
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
