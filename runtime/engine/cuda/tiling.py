"""How large the pieces are in which attention is computed."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LOW_ROWS", "TALL_ROWS", "HeadShape", "Tiling", "tiling_of"]

LOW_ROWS = 16
"""Rows of a matrix product on the smallest tile there is: what a lone decode pays for."""
TALL_ROWS = 64
"""A whole team of threads' product on Hopper: for prompts and for prefixes that many share."""
SPLIT = 256
"""Positions of a split. Short enough that one query of 4096 keys and 8 key-value heads keeps 128
multiprocessors busy, long enough that writing its part is a few percent of reading its keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadShape:
    """The heads of one layer."""

    num_heads: int
    num_kv_heads: int
    head_dim: int

    @property
    def group(self) -> int:
        """Query heads that share a key-value head."""
        return self.num_heads // self.num_kv_heads

    @property
    def padded_dim(self) -> int:
        return max(16, _power_of_two(self.head_dim))

    @property
    def part_bytes(self) -> int:
        """A part of one query: the weighted values, the greatest score, the sum of weights."""
        return self.num_heads * (self.head_dim + 2) * 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiling:
    """A tile's rows and keys, and the positions of a split, a multiple of the keys.

    Bits depend on all three, so deterministic mode keeps to one Tiling per model.
    """

    rows: int
    keys: int
    split: int = SPLIT

    @property
    def num_warps(self) -> int:
        """What a tile's sums need in registers."""
        return 8 if self.rows >= TALL_ROWS else 4

    def num_views(self, heads: HeadShape) -> int:
        """Views of one tile: each takes the rows of a group."""
        return self.rows // heads.group


def tiling_of(heads: HeadShape, itemsize: int, *, is_tall: bool) -> Tiling:
    """``itemsize``: bytes of a stored value; products of 4 bytes have no use for a tall tile. A
    group is never cut, so that its heads read their keys once."""
    rows = max(TALL_ROWS if is_tall and itemsize < 4 else LOW_ROWS, _power_of_two(heads.group))
    return Tiling(rows=rows, keys=64 if heads.padded_dim * itemsize <= 256 else 32)


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()
