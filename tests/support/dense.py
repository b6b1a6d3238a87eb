"""A forward over all tokens at once in which any token may see any other, from any distance: what
keys that are stored and shared are held to.

Shapes: T tokens, V vocabulary, H query heads, K key-value heads, D head dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from weft.programs.past import Past, Segment
from weft.runtime.engine.model.foreign import AttentionPart, CausalDecoder, DecoderConfig
from weft.runtime.engine.model.info import head_dim_of

__all__ = ["dense_forward", "dense_past", "packed_past"]

Ints = npt.NDArray[np.int64]


def dense_forward(
    model: PreTrainedModel, tokens: list[int], distances_TT: Ints, is_seen_TT: torch.Tensor
) -> torch.Tensor:
    """Every query is turned once for every key, by their distance."""
    decoder = cast(CausalDecoder, model)
    config = cast(DecoderConfig, model.config)
    size = head_dim_of(config)
    shape = (len(tokens), -1, size)
    group = config.num_attention_heads // config.num_key_value_heads
    distances_1P = torch.arange(int(distances_TT.max()) + 1)[None]
    with torch.inference_mode():
        cos_1PD, sin_1PD = decoder.model.rotary_emb(torch.empty(0), distances_1P)
        # Scaled variants of the angles lengthen what they turn, queries and keys alike.
        length = float((cos_1PD[0, 0] ** 2 + sin_1PD[0, 0] ** 2).mean() ** 0.5)
        cos_TTD, sin_TTD = (
            angles[0][torch.from_numpy(distances_TT)] for angles in (cos_1PD, sin_1PD)
        )
        x_TC = decoder.model.embed_tokens(torch.tensor(tokens))
        for layer in decoder.model.layers:
            attention = cast(AttentionPart, layer.self_attn)
            parts = dict(layer.named_children())
            normed_TC = parts["input_layernorm"](x_TC)
            q_THD = attention.q_proj(normed_TC).view(shape)
            k_TKD = attention.k_proj(normed_TC).view(shape)
            v_THD = attention.v_proj(normed_TC).view(shape).repeat_interleave(group, 1)
            if hasattr(attention, "q_norm"):
                q_THD, k_TKD = attention.q_norm(q_THD), attention.k_norm(k_TKD)
            k_THD = k_TKD.repeat_interleave(group, 1) * length
            low, high = q_THD.chunk(2, -1)
            turned_TTHD = (
                q_THD[:, None] * cos_TTD[:, :, None]
                + torch.cat((-high, low), -1)[:, None] * sin_TTD[:, :, None]
            )
            scores_HTT = torch.einsum("tshd,shd->hts", turned_TTHD, k_THD) * attention.scaling
            weights_HTT = torch.softmax(scores_HTT.masked_fill(~is_seen_TT, -torch.inf), -1)
            mixed_THD = torch.einsum("hts,shd->thd", weights_HTT, v_THD)
            x_TC = x_TC + attention.o_proj(mixed_THD.reshape(len(tokens), -1))
            x_TC = x_TC + layer.mlp(parts["post_attention_layernorm"](x_TC))
        return cast(torch.Tensor, decoder.lm_head(decoder.model.norm(x_TC)))


def packed_past(past: Past, stream: Sequence[int]) -> tuple[list[int], Ints, npt.NDArray[np.bool_]]:
    """All segments and the stream behind them in one row: tokens, distances and what is seen."""
    segments = [*past.segments, Segment(tokens=tuple(stream))]
    tokens = [token for segment in segments for token in segment.tokens]
    ends = list(accumulate(len(segment.tokens) for segment in segments))
    distances_TT = np.zeros((len(tokens), len(tokens)), np.int64)
    is_seen_TT = np.zeros((len(tokens), len(tokens)), np.bool_)
    for frame, segment, end in zip(past.frames, segments, ends, strict=True):
        length = len(segment.tokens)
        rows = np.arange(end - length, end)
        positions = frame.end + np.arange(length)
        distances_TT[np.ix_(rows, rows)] = np.maximum(positions[:, None] - positions, 0)
        is_seen_TT[np.ix_(rows, rows)] = positions[:, None] >= positions
        for number, start in frame.starts.items():
            keys = len(segments[number].tokens)
            columns = np.arange(ends[number] - keys, ends[number])
            distances_TT[np.ix_(rows, columns)] = positions[:, None] - start - np.arange(keys)
            is_seen_TT[np.ix_(rows, columns)] = True
    return tokens, distances_TT, is_seen_TT


def dense_past(model: PreTrainedModel, past: Past, stream: Sequence[int]) -> torch.Tensor:
    """[stream, V]: the logits of the stream's tokens."""
    tokens, distances_TT, is_seen_TT = packed_past(past, stream)
    logits_TV = dense_forward(model, tokens, distances_TT, torch.from_numpy(is_seen_TT))
    return logits_TV[-len(stream) :]
