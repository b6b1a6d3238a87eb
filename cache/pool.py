"""Which blocks of KV memory are in use, and by how many holders."""

from __future__ import annotations

from collections.abc import Iterable

from weft.errors import InvalidRequest

__all__ = ["PADDING_BLOCK", "BlockPool"]

PADDING_BLOCK = 0
"""Never allocated: packed block tables are padded with it, so its slots may be read and written
by anybody without harm."""


class BlockPool:
    """Hands out block ids 1 … ``num_blocks - 1`` and counts who holds each of them.

    A block belongs to its holders together and is free again when the last one releases it.
    Every operation costs O(1) per block. Not thread-safe: one engine thread owns it.
    """

    def __init__(self, num_blocks: int, block_size: int) -> None:
        """Raises: InvalidRequest when no block would be left beside the padding block."""
        if num_blocks < 2:
            raise InvalidRequest(
                f"num_blocks is {num_blocks!r}.", remedy="Give at least 2: one is for padding."
            )
        if block_size < 1:
            raise InvalidRequest(f"block_size is {block_size!r}.", remedy="Give at least 1.")
        self._block_size = block_size
        self._free = list(range(num_blocks - 1, PADDING_BLOCK, -1))
        self._refcounts = [0] * num_blocks

    @property
    def block_size(self) -> int:
        """Slots (token positions) per block."""
        return self._block_size

    @property
    def num_blocks(self) -> int:
        """All blocks, the padding block among them."""
        return len(self._refcounts)

    @property
    def num_free(self) -> int:
        return len(self._free)

    @property
    def num_used(self) -> int:
        """Blocks with at least one holder; with ``num_free`` it adds up to all but padding."""
        return len(self._refcounts) - 1 - len(self._free)

    def refcount(self, block_id: int) -> int:
        return self._refcounts[block_id]

    def is_shared(self, block_id: int) -> bool:
        """Has more than one holder, so that nobody may write it."""
        return self._refcounts[block_id] > 1

    def try_allocate(self, num_blocks: int) -> list[int] | None:
        """``num_blocks`` fresh blocks with the caller as their only holder; ``None``, and nothing
        taken, when fewer are free. What the blocks contain is undefined."""
        assert num_blocks >= 0, f"cannot allocate {num_blocks} blocks"
        if num_blocks > len(self._free):
            return None
        start = len(self._free) - num_blocks
        block_ids = self._free[start:]
        block_ids.reverse()
        del self._free[start:]
        for block_id in block_ids:
            self._refcounts[block_id] = 1
        return block_ids

    def acquire(self, block_ids: Iterable[int]) -> None:
        """Add one holder to each block, which must already have one."""
        refcounts = self._refcounts
        for block_id in block_ids:
            assert refcounts[block_id] > 0, f"block {block_id} is acquired but nobody holds it"
            refcounts[block_id] += 1

    def release(self, block_ids: Iterable[int]) -> int:
        """Take one holder from each block; returns how many blocks became free by it."""
        refcounts = self._refcounts
        num_free_before = len(self._free)
        for block_id in block_ids:
            assert refcounts[block_id] > 0, f"block {block_id} is released but nobody holds it"
            refcounts[block_id] -= 1
            if refcounts[block_id] == 0:
                self._free.append(block_id)
        return len(self._free) - num_free_before
