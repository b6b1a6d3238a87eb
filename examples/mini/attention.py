"""Attention of whole documents, for training: causal, and over segments with many views.

Shape suffixes: B documents, T tokens, P tokens of the first segment, R the others, L tokens of one
segment, H query heads, K key-value heads, G query heads per key-value head, E head size.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from examples.mini.documents import Views

UNSEEN = -1e9
"""Finite, so that padding, which sees nothing, gives no NaN."""

Angles = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From positions, (X, T), to cosines and sines, (X, T, E)."""


class Rotation(NamedTuple):
    """Cosines, and sines whose first half is negated; both (1 or B, T, 1, E)."""

    cos: Tensor
    signed_sin: Tensor


def rotation(angles: Angles, positions_XT: Tensor) -> Rotation:
    """Build what turns heads to positions."""
    cos, sin = angles(positions_XT)
    low, high = sin.chunk(2, -1)
    return Rotation(cos[:, :, None], torch.cat((-low, high), -1)[:, :, None])


def rotate(x_BTHE: Tensor, by: Rotation) -> Tensor:
    """Rotate query or key heads by their positions."""
    swapped = x_BTHE.roll(x_BTHE.shape[-1] // 2, dims=-1)
    return torch.addcmul(x_BTHE * by.cos, swapped, by.signed_sin)


class Causal:
    """Every token sees itself and all before it."""

    def __init__(self, angles: Angles, num_tokens: int, device: torch.device) -> None:
        self._rotation = rotation(angles, torch.arange(num_tokens, device=device)[None])

    def __call__(self, q_BTHE: Tensor, k_BTKE: Tensor, v_BTKE: Tensor) -> Tensor:
        """Return what every head gathers, (B, T, H, E)."""
        q_BTHE, k_BTKE = rotate(q_BTHE, self._rotation), rotate(k_BTKE, self._rotation)
        return causal(q_BTHE, k_BTKE, v_BTKE)


class Segmented:
    """Tokens see of every segment what their views say; the first segment only itself."""

    def __init__(self, angles: Angles, views: Views) -> None:
        device = views.seen_BTS.device
        self._spans = list(pairwise(views.starts))
        self._first = views.starts[1]
        places_T = torch.cat(
            [torch.arange(end - start, device=device) for start, end in self._spans]
        )
        self._key_rotation = rotation(angles, places_T[None])
        seen_BRS = views.seen_BTS[:, self._first :]
        turns_SBR = views.turns_BTS[:, self._first :].unbind(-1)
        self._turns = [rotation(angles, turns_BR) for turns_BR in turns_SBR]
        is_seen_BRT = torch.cat(
            [
                places_T[start:end] < seen_BRS[:, :, segment, None]
                for segment, (start, end) in enumerate(self._spans)
            ],
            dim=-1,
        )
        # (B, K, G, R, T)
        self._bias = torch.where(is_seen_BRT, 0.0, UNSEEN)[:, None, None]

    def __call__(self, q_BTHE: Tensor, k_BTKE: Tensor, v_BTKE: Tensor) -> Tensor:
        """Return what every head gathers, (B, T, H, E)."""
        first = self._first
        k_BTKE = rotate(k_BTKE, self._key_rotation)
        prompt = Rotation(*(part[:, :first] for part in self._key_rotation))
        q_BPHE, q_BRHE = rotate(q_BTHE[:, :first], prompt), q_BTHE[:, first:]
        out_BPHE = causal(q_BPHE, k_BTKE[:, :first], v_BTKE[:, :first])
        return torch.cat((out_BPHE, self._rest(q_BRHE, k_BTKE, v_BTKE)), dim=1)

    def _rest(self, q_BRHE: Tensor, k_BTKE: Tensor, v_BTKE: Tensor) -> Tensor:
        """One softmax over all segments, a query turned anew for each."""
        num_rows, num_kv_heads, size = q_BRHE.shape[1], *k_BTKE.shape[2:]
        k_BKET = k_BTKE.permute(0, 2, 3, 1) * size**-0.5
        scores = torch.cat(
            [
                by_kv_head(rotate(q_BRHE, turn), num_kv_heads) @ k_BKET[..., start:end]
                for turn, (start, end) in zip(self._turns, self._spans, strict=True)
            ],
            dim=-1,
        )
        return gather(scores, self._bias, v_BTKE.transpose(1, 2), num_rows)


def by_kv_head(q_BRHE: Tensor, num_kv_heads: int) -> Tensor:
    """Stack the query heads of one key-value head: (B, K, G * R, E)."""
    batch, _, _, size = q_BRHE.shape
    return q_BRHE.transpose(1, 2).reshape(batch, num_kv_heads, -1, size)


def gather(scores: Tensor, bias: Tensor, values: Tensor, num_rows: int) -> Tensor:
    """Mix values, (B, K, T, E), by scores, (B, K, G * R, T), and a bias to add; (B, R, H, E)."""
    batch, num_kv_heads, _, num_keys = scores.shape
    biased = scores.view(batch, num_kv_heads, -1, num_rows, num_keys) + bias
    mixed = biased.softmax(-1).flatten(2, 3) @ values
    return mixed.view(batch, -1, num_rows, mixed.shape[-1]).transpose(1, 2)


def causal(q_BTHE: Tensor, k_BTKE: Tensor, v_BTKE: Tensor) -> Tensor:
    """Attend causally with heads that are rotated already."""
    out_BHTE = functional.scaled_dot_product_attention(
        q_BTHE.transpose(1, 2),
        k_BTKE.transpose(1, 2),
        v_BTKE.transpose(1, 2),
        is_causal=True,
        enable_gqa=True,
    )
    return out_BHTE.transpose(1, 2)
