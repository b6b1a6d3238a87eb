"""Replaces the parts of a transformers decoder by fused ones."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from weft.runtime.engine.model.families import Family
from weft.runtime.engine.model.foreign import (
    AttentionPart,
    CausalDecoder,
    DecoderLayer,
    GatedPart,
    MixturePart,
)
from weft.runtime.engine.model.fused.attention import AttentionTraits, FusedAttention
from weft.runtime.engine.model.fused.experts import FixedShapeExperts
from weft.runtime.engine.model.fused.linear import pack_linear
from weft.runtime.engine.model.fused.mlp import FusedMLP
from weft.runtime.engine.model.fused.norm import FusedNorm
from weft.runtime.engine.model.fused.rotary import SignedRotary

__all__ = ["fuse"]

MAX_TIED_HEAD = 1 << 26
"""A head tied to the embedding is packed, hence stored twice, up to this many weights."""


def fuse(model: CausalDecoder, family: Family, *, is_deterministic: bool = False) -> None:
    """Mutates ``model``: attention, norms, dense feed-forward layers, rotary embedding and head
    are replaced one by one, each old part freed as it goes. Experts stay as they are, unless
    ``is_deterministic``."""
    decoder = model.model
    for layer in decoder.layers:
        layer.self_attn = _fuse_attention(cast(AttentionPart, layer.self_attn), family)
        _fuse_feed_forward(layer, is_deterministic=is_deterministic)
        for name, part in list(layer.named_children()):
            if type(part).__name__.endswith("RMSNorm"):
                setattr(layer, name, _fuse_norm(part, family))
    decoder.norm = _fuse_norm(decoder.norm, family)
    decoder.rotary_emb = SignedRotary(decoder.rotary_emb)
    head = cast(nn.Linear, model.lm_head)
    is_tied = head.weight is decoder.embed_tokens.weight
    if not is_tied or head.weight.numel() <= MAX_TIED_HEAD:
        model.lm_head = pack_linear(head)


def _fuse_feed_forward(layer: DecoderLayer, *, is_deterministic: bool) -> None:
    if hasattr(layer.mlp, "gate_proj"):
        dense = cast(GatedPart, layer.mlp)
        layer.mlp = FusedMLP(dense.gate_proj, dense.up_proj, dense.down_proj, dense.act_fn)
    elif is_deterministic:
        mixture = cast(MixturePart, layer.mlp)
        mixture.experts = FixedShapeExperts(mixture.experts)


def _fuse_norm(norm: nn.Module, family: Family) -> FusedNorm:
    return FusedNorm(_norm_weight(norm, family), _eps(norm), rounds_late=family.has_offset_norm)


def _norm_weight(norm: nn.Module, family: Family) -> torch.Tensor:
    weight = cast(torch.Tensor, norm.weight).detach()
    return weight.float() + 1.0 if family.has_offset_norm else weight


def _eps(norm: nn.Module) -> float:
    return cast(float, norm.eps if hasattr(norm, "eps") else norm.variance_epsilon)


def _fuse_attention(attention: AttentionPart, family: Family) -> FusedAttention:
    config = attention.config
    traits = AttentionTraits(
        layer=attention.layer_idx,
        num_heads=config.num_attention_heads,
        num_kv_heads=config.num_key_value_heads,
        scale=attention.scaling,
        window=family.window(config, attention.layer_idx),
        softcap=family.softcap(config),
    )
    projections = (attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj)
    norm = _fuse_head_norms(attention, traits, family) if family.has_head_norm else None
    return FusedAttention(projections, norm, traits)


def _fuse_head_norms(
    attention: AttentionPart, traits: AttentionTraits, family: Family
) -> FusedNorm:
    query_D = _norm_weight(attention.q_norm, family)
    key_D = _norm_weight(attention.k_norm, family)
    weight_HD = torch.cat(
        (query_D.expand(traits.num_heads, -1), key_D.expand(traits.num_kv_heads, -1))
    )
    return FusedNorm(weight_HD, _eps(attention.q_norm), rounds_late=family.has_offset_norm)
