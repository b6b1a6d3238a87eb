"""Attention of packed queries over paged keys and values.

Shapes: T packed tokens, H query heads, G query heads of one key-value head, K key-value heads,
D head dimension, S sequences, Q queries of each, N packed rows of a group, L keys.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch.nn import functional

from weft.cache.kv_store import KVStore
from weft.runtime.engine.model.layout import AttentionLayout, QueryGroup
from weft.runtime.engine.model.scratch import Scratch
from weft.runtime.engine.model.spans import KeySpan

__all__ = ["PagedAttention"]

Kernel: TypeAlias = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor
]


class PagedAttention:
    """The attention of one forward: writes what the tokens add, then lets them attend.

    It lives for that forward only. ``kv`` is written, ``scratch`` overwritten.
    """

    def __init__(self, kv: KVStore, layout: AttentionLayout, scratch: Scratch) -> None:
        self._kv = kv
        self._layout = layout
        self._scratch = scratch

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
        self._kv.write(layer, self._layout.slots_T, k_TKD, v_TKD)
        kernel = _kernel(scale, softcap)
        out_THD = torch.empty(0)
        for group in self._layout.groups:
            q_NHD = q_THD if group.rows_N is None else q_THD.index_select(0, group.rows_N)
            o_NHD = self._attend_group(layer, q_NHD, group, group.spans[window], kernel)
            if group.rows_N is None:
                return o_NHD
            if not out_THD.numel():
                out_THD = o_NHD.new_empty(q_THD.shape)
            out_THD.index_copy_(0, group.rows_N, o_NHD)
        return out_THD

    def _attend_group(
        self, layer: int, q_NHD: torch.Tensor, group: QueryGroup, span: KeySpan, kernel: Kernel
    ) -> torch.Tensor:
        k_SLKD, v_SLKD = self._gather(layer, group, span)
        if group.num_queries == 1:
            return _decode(q_NHD, k_SLKD, v_SLKD, span.mask_S1QL, kernel)
        return _prefill(q_NHD, k_SLKD[0], v_SLKD[0], span.mask_S1QL, kernel)

    def _gather(
        self, layer: int, group: QueryGroup, span: KeySpan
    ) -> tuple[torch.Tensor, torch.Tensor]:
        memory = self._kv.layer(layer)
        size = (group.num_sequences, -1, *memory.keys_NHD.shape[1:])
        keys = self._scratch.take_blocks(0, memory.keys_NHD, span.block_size, span.blocks_SN)
        values = self._scratch.take_blocks(1, memory.values_NHD, span.block_size, span.blocks_SN)
        return keys.view(size)[:, : span.num_keys], values.view(size)[:, : span.num_keys]


def _decode(
    q_SHD: torch.Tensor,
    k_SLKD: torch.Tensor,
    v_SLKD: torch.Tensor,
    mask_S11L: torch.Tensor | None,
    kernel: Kernel,
) -> torch.Tensor:
    """The G heads that share a key-value head stand as G queries of it: nothing is copied."""
    num_kv_heads = k_SLKD.shape[2]
    q_SKGD = q_SHD.view(len(q_SHD), num_kv_heads, -1, q_SHD.shape[-1])
    o_SKGD = kernel(q_SKGD, k_SLKD.transpose(1, 2), v_SLKD.transpose(1, 2), mask_S11L)
    return o_SKGD.reshape(q_SHD.shape)


def _prefill(
    q_QHD: torch.Tensor,
    k_LKD: torch.Tensor,
    v_LKD: torch.Tensor,
    mask_11QL: torch.Tensor | None,
    kernel: Kernel,
) -> torch.Tensor:
    """One sequence: key-value heads stand as the batch, and each is shared by a stride of 0."""
    q_KGQD = q_QHD.view(len(q_QHD), k_LKD.shape[1], -1, q_QHD.shape[-1]).permute(1, 2, 0, 3)
    num_groups = q_KGQD.shape[1]
    k_KGLD = k_LKD.transpose(0, 1).unsqueeze(1).expand(-1, num_groups, -1, -1)
    v_KGLD = v_LKD.transpose(0, 1).unsqueeze(1).expand(-1, num_groups, -1, -1)
    o_KGQD = kernel(q_KGQD, k_KGLD, v_KGLD, mask_11QL)
    return o_KGQD.permute(2, 0, 1, 3).reshape(q_QHD.shape)


def _kernel(scale: float, softcap: float | None) -> Kernel:
    def fused(
        q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None
    ) -> torch.Tensor:
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)

    def capped(
        q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None
    ) -> torch.Tensor:
        assert softcap is not None
        scores = torch.matmul(q, k.transpose(-1, -2)).mul_(scale / softcap).tanh_().mul_(softcap)
        if mask is not None:
            scores.add_(mask)
        weights = torch.softmax(scores, -1, dtype=torch.float32).to(v.dtype)
        return torch.matmul(weights, v)

    return fused if softcap is None else capped
