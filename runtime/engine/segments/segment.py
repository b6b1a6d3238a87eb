"""What a query may attend to besides its own sequence: stored keys at any offset.

Shapes: T queries, H query heads, K key-value heads, D head dimension, P positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

__all__ = ["Angles", "Attended", "Queries", "Segment", "View"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Consecutive keys, stored rotated at their positions in the segment, 0 … ``num_keys`` - 1."""

    block_ids: tuple[int, ...]
    num_keys: int
    offset: int = 0
    """Position at which the viewing sequence has the segment's first key; below 0 is allowed."""


View: TypeAlias = Sequence[Segment]
"""All that one query may see: of each segment the keys up to the query's own position."""


class Angles(NamedTuple):
    """cos and sin [P, D] of the rotary angles by position, both halves of a head alike."""

    cos_PD: torch.Tensor
    sin_PD: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Queries:
    """Queries before their rotation, with the position and the view of each."""

    q_THD: torch.Tensor
    """float32, not rotated: each segment rotates it by another angle."""
    positions_T: npt.NDArray[np.int64]
    views: Sequence[View]

    def num_visible(self, query: int, segment: Segment) -> int:
        """How many keys of the segment are not after the query."""
        distance = int(self.positions_T[query]) - segment.offset
        return min(max(distance + 1, 0), segment.num_keys)


class Attended(NamedTuple):
    """Attention and the natural logarithm of the sum of exp(score): what merging needs.

    A query that sees nothing has zeros and minus infinity.
    """

    out_THD: torch.Tensor
    lse_TH: torch.Tensor
