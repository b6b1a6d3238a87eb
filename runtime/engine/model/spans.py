"""Which blocks a group of queries reads, and what it may not see there.

Shapes: S sequences, Q queries of each, B blocks in a table, N gathered blocks of each sequence,
L keys kept of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch

__all__ = ["KeySpan", "Ruler"]

Ints: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySpan:
    """The keys of one group under one window."""

    blocks_SN: torch.Tensor
    """Flat: the N block ids of the first sequence, then of the second, …"""
    block_size: int
    num_keys: int
    """L: the first L of the N * block size gathered slots are attended, the rest dropped."""
    mask_S1QL: torch.Tensor | None
    """Added to the scores: 0 or -inf. None: every query sees every key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruler:
    """Measures key spans for one KV memory.

    A span is as short as its queries allow, or, with ``is_fixed``, as long as the position of
    its query alone dictates: then its shape tells nothing about the rest of the batch.
    """

    block_size: int
    dtype: torch.dtype
    device: torch.device
    is_fixed: bool = False
    min_keys: int = 64
    """Fixed spans start at this many keys and double."""

    def by_slot(self) -> Ruler:
        """Spans of as many keys, for tables that name the slot of every key."""
        num_keys = max(1, self.min_keys // self.block_size) * self.block_size
        return replace(self, block_size=1, min_keys=num_keys)

    def fixed_blocks(self, positions_N: Ints) -> Ints:
        """Blocks of the fixed span of a query at each position: a power of two times the
        smallest span."""
        unit = max(1, self.min_keys // self.block_size)
        units_N = (positions_N // self.block_size) // unit
        doublings_N = np.ceil(np.log2(units_N + 1)).astype(np.int64)
        return unit << doublings_N

    def measure(self, tables_SB: Ints, positions_SQ: Ints, window: int | None) -> KeySpan:
        """``positions_SQ`` ascend along Q; with ``is_fixed`` Q is 1 and all spans are equal."""
        last_S = positions_SQ[:, -1] // self.block_size
        first_S = (
            np.zeros_like(last_S) if self.is_fixed else self._first_blocks(positions_SQ, window)
        )
        starts_S = first_S * self.block_size
        if self.is_fixed:
            num_blocks = int(self.fixed_blocks(positions_SQ[:, 0])[0])
            num_keys = num_blocks * self.block_size
        else:
            num_blocks = int((last_S - first_S).max()) + 1
            num_keys = int((positions_SQ[:, -1] - starts_S).max()) + 1
        # A shorter sequence repeats its own last block: no query ever touches another's memory.
        index_SN = np.minimum(first_S[:, None] + np.arange(num_blocks), last_S[:, None])
        return KeySpan(
            blocks_SN=self._put(np.take_along_axis(tables_SB, index_SN, 1).reshape(-1)),
            block_size=self.block_size,
            num_keys=num_keys,
            mask_S1QL=self._mask(starts_S[:, None] + np.arange(num_keys), positions_SQ, window),
        )

    def _first_blocks(self, positions_SQ: Ints, window: int | None) -> Ints:
        if window is None:
            return np.zeros(len(positions_SQ), np.int64)
        return np.maximum(positions_SQ[:, 0] - window + 1, 0) // self.block_size

    def _mask(self, keys_SL: Ints, positions_SQ: Ints, window: int | None) -> torch.Tensor | None:
        is_hidden_SQL = keys_SL[:, None, :] > positions_SQ[:, :, None]
        if window is not None:
            is_hidden_SQL |= keys_SL[:, None, :] <= positions_SQ[:, :, None] - window
        if not self.is_fixed and not is_hidden_SQL.any():
            return None
        mask_SQL = np.where(is_hidden_SQL, np.float32(-np.inf), np.float32(0))
        return torch.as_tensor(mask_SQL).to(self.device, self.dtype).unsqueeze(1)

    def _put(self, indices_N: Ints) -> torch.Tensor:
        return torch.as_tensor(indices_N).to(self.device)
