"""The attention of one forward through the kernels.

Shapes: T packed tokens, H query heads, K key-value heads, D head dimension.
"""

from __future__ import annotations

import torch

from weft.cache.kv_store import KVStore
from weft.runtime.engine.cuda.launch import Kernels, Launch, attend_planned

__all__ = ["KernelAttention"]


class KernelAttention:
    """Writes what the tokens add, then lets them attend, every key read where it lies.

    It lives for one forward, or as long as the graph that was captured from it. ``kv`` is
    written. The keys come rotated, as the model's own code does it.
    """

    def __init__(
        self, kernels: Kernels, launch: Launch, kv: KVStore, slots_T: torch.Tensor
    ) -> None:
        self._kernels = kernels
        self._launch = launch
        self._kv = kv
        self._slots_T = slots_T

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
        """See ``Attends``."""
        self._kv.write(layer, self._slots_T, k_TKD, v_TKD)
        return attend_planned(
            self._kernels,
            self._launch,
            q_THD,
            self._kv.layer(layer),
            scale=scale,
            window=window,
            softcap=softcap,
        ).out_THD
