"""The attention layer with one product, one norm and one rotation for query and key.

Shapes: T packed tokens, C model width, H query heads, K key-value heads, D head dimension.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from weft.runtime.engine.model.attends import Attends
from weft.runtime.engine.model.fused.linear import concat_linear, pack_linear
from weft.runtime.engine.model.fused.rotary import rotate

__all__ = ["AttentionTraits", "FusedAttention"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionTraits:
    """What one layer's attention does, apart from its weights."""

    layer: int
    num_heads: int
    num_kv_heads: int
    scale: float
    window: int | None
    softcap: float | None


class FusedAttention(nn.Module):
    """Stands where transformers' attention module stood; expects ``SignedRotary``'s angles."""

    def __init__(
        self,
        projections: tuple[nn.Linear, nn.Linear, nn.Linear, nn.Linear],
        norm: nn.Module | None,
        traits: AttentionTraits,
    ) -> None:
        """``projections``: query, key, value, output. ``norm``: over [T, H + K, D], or None."""
        super().__init__()
        *inputs, output = projections
        self.qkv = concat_linear(inputs)
        self.out = pack_linear(output)
        self.norm = norm
        self._traits = traits

    def forward(
        self,
        hidden_states: torch.Tensor,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        paged_attention: Attends,
        **_: object,
    ) -> tuple[torch.Tensor, None]:
        traits = self._traits
        num_heads, num_rotated = traits.num_heads, traits.num_heads + traits.num_kv_heads
        flat: torch.Tensor = self.qkv(hidden_states[0])
        qkv = flat.view(len(flat), num_rotated + traits.num_kv_heads, -1)
        qk = qkv[:, :num_rotated]
        qk = rotate(qk if self.norm is None else self.norm(qk), *position_embeddings)
        out_THD = paged_attention.attend(
            traits.layer,
            qk[:, :num_heads],
            qk[:, num_heads:],
            qkv[:, num_rotated:],
            scale=traits.scale,
            window=traits.window,
            softcap=traits.softcap,
        )
        out: torch.Tensor = self.out(out_THD.flatten(1))
        return out.unsqueeze(0), None
