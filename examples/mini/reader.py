"""Greedy decoding of several segments with a cache, for looking at what was learnt.

The engine does the same faster; this is short, runs on torch alone and reads the weights of a run
that is still going on.

Shape suffixes: R new tokens, S segments, L places of a segment, H heads, K key-value heads,
E head size, D hidden size; a 1 stands where the forward pass has documents.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import Qwen3ForCausalLM

from examples.mini.attention import UNSEEN, Angles, by_kv_head, gather, rotate, rotation
from examples.mini.segments import Ints
from examples.mini.trunk import Attention, decoder_layer, layer_weights, rms_norm


class Entry(NamedTuple):
    """Tokens that are written to a segment, and what each sees once all of a step are written."""

    segment: int
    first: int
    """Place of the first of them."""
    ids: list[int]
    seen_TS: Ints
    turns_TS: Ints


class Reader:
    """One document that grows, segment by segment, in one cache."""

    def __init__(self, model: Qwen3ForCausalLM, *, num_segments: int, num_places: int) -> None:
        """A segment holds up to `num_places` tokens."""
        self.num_segments = num_segments
        self._model = model.model
        self._head = model.lm_head
        self._eps: float = model.config.rms_norm_eps
        self._weights = [layer_weights(layer) for layer in self._model.layers]
        size = len(self._weights[0]["self_attn.k_norm"])
        num_heads = len(self._weights[0]["self_attn.k_proj"]) // size
        shape = (num_segments, num_places, num_heads, size)
        self._caches = [(torch.zeros(shape), torch.zeros(shape)) for _ in self._weights]

    @torch.inference_mode()
    def feed(self, entries: Sequence[Entry]) -> list[int]:
        """Write the entries of one step; return the likeliest token after each of them."""
        ids_1R = torch.tensor([[token for entry in entries for token in entry.ids]])
        x_1RD = self._model.embed_tokens(ids_1R)

        def angles(positions_XT: Tensor) -> tuple[Tensor, Tensor]:
            cos, sin = self._model.rotary_emb(x_1RD, positions_XT)
            return cos, sin

        views = _Views(entries, angles, self._caches[0][0].shape[1])
        for weights, (keys, values) in zip(self._weights, self._caches, strict=True):
            x_1RD = decoder_layer(x_1RD, weights, views.over(keys, values), self._eps)
        ends = np.cumsum([len(entry.ids) for entry in entries]) - 1
        last_1ND = rms_norm(x_1RD[:, ends], self._model.norm.weight, self._eps)
        return [int(token) for token in self._head(last_1ND)[0].argmax(-1)]


class _Views:
    """What the new tokens of a step see, and where they are stored."""

    def __init__(self, entries: Sequence[Entry], angles: Angles, num_places: int) -> None:
        widths = [len(entry.ids) for entry in entries]
        self._segments_R = torch.tensor([entry.segment for entry in entries]).repeat_interleave(
            torch.tensor(widths)
        )
        self._places_R = torch.cat(
            [torch.arange(entry.first, entry.first + len(entry.ids)) for entry in entries]
        )
        seen_RS = torch.from_numpy(np.concatenate([entry.seen_TS for entry in entries]))
        turns_RS = torch.from_numpy(np.concatenate([entry.turns_TS for entry in entries]))
        self._own = rotation(angles, self._places_R[None])
        self._turns = [rotation(angles, turns_R[None]) for turns_R in turns_RS.unbind(-1)]
        is_seen_RSL = torch.arange(num_places) < seen_RS[..., None]
        self._bias = torch.where(is_seen_RSL, 0.0, UNSEEN).flatten(1)

    def over(self, keys_SLKE: Tensor, values_SLKE: Tensor) -> Attention:
        """Attention of one layer, which stores the new keys and values first."""

        def attend(q_1RHE: Tensor, k_1RKE: Tensor, v_1RKE: Tensor) -> Tensor:
            keys_SLKE[self._segments_R, self._places_R] = rotate(k_1RKE, self._own)[0]
            values_SLKE[self._segments_R, self._places_R] = v_1RKE[0]
            num_rows, num_kv_heads, size = q_1RHE.shape[1], *k_1RKE.shape[2:]
            scores = torch.cat(
                [
                    by_kv_head(rotate(q_1RHE, turn), num_kv_heads) @ keys_LKE.permute(1, 2, 0)
                    for turn, keys_LKE in zip(self._turns, keys_SLKE, strict=True)
                ],
                dim=-1,
            )
            values_KTE = values_SLKE.flatten(0, 1).transpose(0, 1)
            return gather(scores * size**-0.5, self._bias, values_KTE, num_rows)

        return attend
