"""A vertex of the prefix index."""

from __future__ import annotations

from collections.abc import Iterator

from weft.cache.namespace import Namespace
from weft.cache.owner import KvOwner

__all__ = ["RadixNode"]


class RadixNode:
    """A run of cached blocks below ``parent``; together, root to here, they spell a prefix.

    ``edge`` holds the run's tokens as bytes, a fixed width per block; ``children`` is keyed by
    the first block of each child's edge. Only the RadixTree changes a node; others may read it,
    for instance to give it an eviction priority.
    """

    __slots__ = (
        "block_ids",
        "children",
        "edge",
        "is_dropped",
        "is_queued",
        "last_use",
        "namespace",
        "num_pins",
        "owners",
        "parent",
    )

    def __init__(
        self,
        namespace: Namespace,
        parent: RadixNode | None = None,
        edge: bytes = b"",
        block_ids: list[int] | None = None,
    ) -> None:
        self.namespace = namespace
        self.parent = parent
        """``None`` for the root of a namespace, whose edge is empty."""
        self.edge = edge
        self.block_ids = block_ids or []
        self.children: dict[bytes, RadixNode] = {}
        self.last_use = 0
        """The tree's clock when a match or an insert last passed through."""
        self.num_pins = 0
        """Leases on this node or below it."""
        self.owners: tuple[KvOwner, ...] = ()
        """Whose tokens end here, or did before a split."""
        self.is_queued = False
        """Has an entry in the queue of eviction candidates."""
        self.is_dropped = False
        """No longer in the tree: its blocks may be anybody's."""

    @property
    def is_root(self) -> bool:
        return self.parent is None

    @property
    def is_evictable(self) -> bool:
        """An unpinned leaf of the tree."""
        return not (self.is_dropped or self.num_pins or self.children or self.is_root)

    def spelled(self) -> bytes:
        """The tokens from the root to the end of this run, as the edges have them."""
        return b"".join([node.edge for node in self.path()][::-1])

    def path(self) -> Iterator[RadixNode]:
        """This node and its ancestors, without the root."""
        node = self
        while node.parent is not None:
            yield node
            node = node.parent
