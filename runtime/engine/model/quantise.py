"""Weights of 8 bits: how they are rounded, and how they are laid out for the kernels.

Shapes: O outputs, I inputs, P panels of 32 outputs, F fours of inputs.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.nn import functional

__all__ = ["PANEL", "QuantisedWeight", "lay_out", "pad_outputs", "quantise"]

PANEL = 32
"""Outputs of one panel, as in ``product.h``."""
FOUR = 4
LARGEST = 127
SHIFT = 128
"""The kernels want weights without sign."""
SMALLEST = 1e-30
"""An output whose weights are all below this is taken for zeros: they leave no scale."""


class QuantisedWeight(NamedTuple):
    """``values_OI * scales_O[:, None]`` is the weight, up to half a scale."""

    values_OI: torch.Tensor
    """int8 in -127 … 127."""
    scales_O: torch.Tensor
    """float32; 0 for an output without weights to speak of."""


def quantise(weight_OI: torch.Tensor) -> QuantisedWeight:
    """Round to nearest, every output by the largest of its own weights."""
    weight_OI = weight_OI.float()
    largest_O = weight_OI.abs().amax(1)
    is_zero_O = largest_O < SMALLEST
    steps_O = torch.where(is_zero_O, 0, LARGEST / largest_O)
    values_OI = (weight_OI * steps_O[:, None]).round_()
    return QuantisedWeight(
        values_OI.to(torch.int8), largest_O.div_(LARGEST).masked_fill_(is_zero_O, 0)
    )


def lay_out(values_OI: torch.Tensor) -> torch.Tensor:
    """Panels [P, F, 32, 4] in uint8 as ``quantised.h`` reads them: four inputs of one output
    together, everything 128 higher; zeros stand where outputs or inputs end early."""
    outputs, inputs = values_OI.shape
    padded_OI = functional.pad(values_OI, (0, -inputs % FOUR, 0, -outputs % PANEL))
    raised_OI = (padded_OI.short() + SHIFT).to(torch.uint8)
    return raised_OI.view(-1, PANEL, padded_OI.shape[1] // FOUR, FOUR).transpose(1, 2).contiguous()


def pad_outputs(values_O: torch.Tensor) -> torch.Tensor:
    """To whole panels, with zeros."""
    return functional.pad(values_O, (0, -len(values_O) % PANEL))
