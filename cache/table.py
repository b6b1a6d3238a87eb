"""Where one Sequence's KV lies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from weft.cache.pool import BlockPool

__all__ = ["BlockCopy", "BlockTable"]

_INITIAL_CAPACITY = 16


class BlockCopy(NamedTuple):
    """The content of block ``source`` must be copied to ``target`` before anything is written."""

    source: int
    target: int


class BlockTable:
    """The ordered blocks of one Sequence and how many tokens they are to hold.

    Token ``i`` lives at offset ``i % block_size`` of the block at index ``i // block_size``. The
    table is one holder of each of its blocks; it must be freed. Not thread-safe.
    """

    __slots__ = ("_block_size", "_num_blocks", "_num_tokens", "_row")

    def __init__(self, block_size: int) -> None:
        self._block_size = block_size
        self._num_blocks = 0
        self._num_tokens = 0
        self._row = np.zeros(_INITIAL_CAPACITY, dtype=np.int32)

    @classmethod
    def sharing(cls, pool: BlockPool, block_ids: Sequence[int]) -> BlockTable:
        """A table that starts with full blocks held by somebody else too (a prefix match)."""
        table = cls(pool.block_size)
        pool.acquire(block_ids)
        table._extend(block_ids)
        table._num_tokens = len(block_ids) * pool.block_size
        return table

    @property
    def num_tokens(self) -> int:
        return self._num_tokens

    @property
    def num_blocks(self) -> int:
        return self._num_blocks

    @property
    def block_ids(self) -> list[int]:
        """A copy, in order."""
        ids: list[int] = self._row[: self._num_blocks].tolist()
        return ids

    def num_missing_blocks(self, num_tokens: int) -> int:
        """How many blocks ``try_grow`` to that many tokens would allocate."""
        return max(0, -(-num_tokens // self._block_size) - self._num_blocks)

    def try_grow(self, pool: BlockPool, num_tokens: int) -> bool:
        """Make room for ``num_tokens`` tokens in all; False, and nothing changed, when the pool
        lacks blocks. Amortised O(1) per token."""
        assert num_tokens >= self._num_tokens, f"{num_tokens} tokens is no growth"
        num_missing = self.num_missing_blocks(num_tokens)
        if num_missing:
            fresh = pool.try_allocate(num_missing)
            if fresh is None:
                return False
            self._extend(fresh)
        self._num_tokens = num_tokens
        return True

    def slot(self, position: int) -> int:
        """The slot of one token."""
        assert 0 <= position < self._num_tokens, f"no token {position} of {self._num_tokens}"
        index, offset = divmod(position, self._block_size)
        return int(self._row[index]) * self._block_size + offset

    def slots_for(self, start: int, end: int) -> npt.NDArray[np.int64]:
        """The slots of tokens ``start`` … ``end - 1``."""
        assert 0 <= start <= end <= self._num_tokens, f"no tokens {start} to {end}"
        indices, offsets = np.divmod(np.arange(start, end, dtype=np.int64), self._block_size)
        return self._row[indices].astype(np.int64) * self._block_size + offsets

    def write_row(self, out_row_B: npt.NDArray[np.int32]) -> None:
        """Write the block ids into a row of a packed batch, padded with 0."""
        out_row_B[: self._num_blocks] = self._row[: self._num_blocks]
        out_row_B[self._num_blocks :] = 0

    def fork(self, pool: BlockPool) -> BlockTable:
        """A second table over the same blocks. Either side must call ``try_make_writable``
        before it writes on."""
        twin = BlockTable(self._block_size)
        twin._row = self._row.copy()
        twin._num_blocks, twin._num_tokens = self._num_blocks, self._num_tokens
        pool.acquire(self.block_ids)
        return twin

    def try_make_writable(
        self, pool: BlockPool, start: int | None = None
    ) -> list[BlockCopy] | None:
        """Replace every shared block that holds positions from ``start`` on by one of its own.

        ``start`` is the first position that will be written, by default ``num_tokens``: then
        only the last, partial block can be concerned. Returns the copies to make, in order and
        before any write of the same Tick; ``None``, and nothing changed, when the pool lacks
        blocks.
        """
        first = (self._num_tokens if start is None else start) // self._block_size
        shared = [i for i in range(first, self._num_blocks) if pool.is_shared(int(self._row[i]))]
        if not shared:
            return []
        targets = pool.try_allocate(len(shared))
        if targets is None:
            return None
        copies = [BlockCopy(int(self._row[i]), to) for i, to in zip(shared, targets, strict=True)]
        pool.release(copy.source for copy in copies)
        self._row[shared] = targets
        return copies

    def swap_prefix(self, pool: BlockPool, block_ids: Sequence[int]) -> None:
        """Hold these blocks instead of the leading ones, whose content is equal: gives back the
        duplicates that an insert into the prefix index found."""
        assert len(block_ids) <= self._num_blocks, "more blocks than the table has"
        pool.acquire(block_ids)
        pool.release(self._row[: len(block_ids)].tolist())
        self._row[: len(block_ids)] = block_ids

    def truncate(self, pool: BlockPool, num_tokens: int) -> None:
        """Forget the tokens from ``num_tokens`` on and release the blocks they alone needed."""
        assert 0 <= num_tokens <= self._num_tokens, f"{num_tokens} tokens is no truncation"
        num_kept = -(-num_tokens // self._block_size)
        pool.release(self._row[num_kept : self._num_blocks].tolist())
        self._num_blocks, self._num_tokens = num_kept, num_tokens

    def free(self, pool: BlockPool) -> None:
        """Release everything. Idempotent; the table is empty afterwards and may be used again."""
        self.truncate(pool, 0)

    def _extend(self, block_ids: Sequence[int]) -> None:
        num_blocks = self._num_blocks + len(block_ids)
        if num_blocks > len(self._row):
            row = np.zeros(max(num_blocks, 2 * len(self._row)), dtype=np.int32)
            row[: self._num_blocks] = self._row[: self._num_blocks]
            self._row = row
        self._row[self._num_blocks : num_blocks] = block_ids
        self._num_blocks = num_blocks
