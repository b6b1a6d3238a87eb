"""Weights as small integers: how they are rounded, and how they are laid out for the kernels.

Shapes: O outputs, I inputs, B blocks of 128 inputs, P panels of 32 outputs, W words of inputs, N
values in a word.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.nn import functional

from weft.runtime.engine.native import Kind

__all__ = ["INT8", "INT13", "IntegerFormat", "RoundedWeight", "lay_out", "round_weight"]

PANEL = 32
"""Outputs of one panel, as in ``product.h``."""
BLOCK = 128
"""Inputs with a scale of their own, as in ``quantised.h``."""
SMALLEST = 1e-30
"""A block whose weights are all below this is taken for zeros: they leave no scale."""


class IntegerFormat(NamedTuple):
    """A kind of integers that ``quantised.h`` multiplies."""

    kind: Kind
    largest: int
    """Values are from ``-largest`` to ``largest``."""
    shift: int
    """The kernels want them so much higher."""
    dtype: torch.dtype
    """Of the shifted values."""
    num_in_word: int
    """How many of them fill four bytes."""


INT8 = IntegerFormat(Kind.INT8, 127, 128, torch.uint8, 4)
INT13 = IntegerFormat(Kind.INT13, 4095, 0, torch.int16, 2)


class RoundedWeight(NamedTuple):
    """Each value times its block's scale is the weight, up to half a scale."""

    values_OI: torch.Tensor
    """int16."""
    scales_OB: torch.Tensor
    """float32; 0 for a block without weights to speak of."""

    def restore(self) -> torch.Tensor:
        """The weight [O, I] that the integers stand for, in float32."""
        scales_OI = self.scales_OB.repeat_interleave(BLOCK, 1)[:, : self.values_OI.shape[1]]
        return self.values_OI * scales_OI


def round_weight(weight_OI: torch.Tensor, form: IntegerFormat) -> RoundedWeight:
    """Round to nearest, every block of 128 inputs of an output by its largest weight."""
    outputs, inputs = weight_OI.shape
    blocks_OBN = functional.pad(weight_OI.float(), (0, -inputs % BLOCK)).view(outputs, -1, BLOCK)
    largest_OB = blocks_OBN.abs().amax(2)
    is_zero_OB = largest_OB < SMALLEST
    steps_OB = torch.where(is_zero_OB, 0, form.largest / largest_OB)
    values_OI = (blocks_OBN * steps_OB[..., None]).round_().to(torch.int16).flatten(1)
    scales_OB = largest_OB.div_(form.largest).masked_fill_(is_zero_OB, 0)
    return RoundedWeight(values_OI[:, :inputs], scales_OB)


def lay_out(weight: RoundedWeight, form: IntegerFormat) -> torch.Tensor:
    """Panels [P, B + W, 32] in words of int32 as ``quantised.h`` reads them: every block's scales
    before its words. Zeros stand where outputs or inputs end early."""
    values_OI, scales_OB = weight
    outputs, inputs = values_OI.shape
    num_in_word = form.num_in_word
    padded_OI = functional.pad(values_OI, (0, -inputs % num_in_word, 0, -outputs % PANEL))
    narrow_PPWN = (
        (padded_OI + form.shift)
        .to(form.dtype)
        .view(-1, PANEL, padded_OI.shape[1] // num_in_word, num_in_word)
    )
    words_PWP = narrow_PPWN.transpose(1, 2).contiguous().view(torch.int32).squeeze(-1)
    padded_OB = functional.pad(scales_OB, (0, 0, 0, -outputs % PANEL))
    scales_PBP = padded_OB.view(len(words_PWP), PANEL, -1).transpose(1, 2).contiguous()
    place_W = torch.arange(words_PWP.shape[1])
    place_W += place_W // (BLOCK // num_in_word) + 1
    num_blocks = scales_PBP.shape[1]
    place_B = torch.arange(num_blocks) * (BLOCK // num_in_word + 1)
    panels = torch.empty(len(words_PWP), num_blocks + len(place_W), PANEL, dtype=torch.int32)
    panels[:, place_B] = scales_PBP.view(torch.int32)
    panels[:, place_W] = words_PWP
    return panels
