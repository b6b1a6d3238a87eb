"""What a decoder's layers ask for attention.

Shapes: T packed tokens, H query heads, K key-value heads, D head dimension.
"""

from __future__ import annotations

from typing import Protocol

import torch

__all__ = ["Attends"]


class Attends(Protocol):
    """The attention of one forward: ``PagedAttention`` or, on CUDA, ``KernelAttention``."""

    def attend(
        self,
        layer: int,
        q_THD: torch.Tensor,
        k_TKD: torch.Tensor,
        v_TKD: torch.Tensor,
        *,
        scale: float,
        window: int | None = None,
        softcap: float | None = None,
    ) -> torch.Tensor:
        """[T, H, D]: every token's attention over its sequence up to itself, itself included,
        after writing keys and values.

        Query and key are already rotated. ``window``: how many last keys are seen, own included.
        ``softcap`` c bends the scaled scores to c * tanh(score / c).
        """
        ...
