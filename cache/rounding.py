"""Keys and values of 8 bits: how a row of numbers becomes whole ones.

Shapes: T tokens, H key-value heads, D head dimension.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

__all__ = ["RoundedRows", "round_rows"]

LARGEST = 127
SMALLEST = 1e-30
"""A row whose values are all this small is taken for zeros: they leave no scale."""


class RoundedRows(NamedTuple):
    """``values_THD * scales_TH[..., None]`` are the rows, each up to half its scale."""

    values_THD: torch.Tensor
    """int8 in -127 … 127."""
    scales_TH: torch.Tensor
    """float32; 0 for a row of zeros, NaN for a row with a value that is no finite number."""

    def widen(self) -> torch.Tensor:
        """The rows as float32, [T, H, D]; all NaN where the scale is."""
        return self.values_THD * self.scales_TH[..., None]


def round_rows(x_THD: torch.Tensor) -> RoundedRows:
    """Round to nearest, every row of D values by its own largest: no other token has a say in it,
    so the result does not depend on when the row is written or on what stands beside it."""
    x_THD = x_THD.float()
    largest_TH = x_THD.abs().amax(-1)
    is_zero_TH = largest_TH <= SMALLEST
    is_lost_TH = ~largest_TH.isfinite()
    steps_TH = (LARGEST / largest_TH).masked_fill_(is_zero_TH | is_lost_TH, 0)
    values_THD = (x_THD * steps_TH[..., None]).round_().nan_to_num_(0)
    scales_TH = (largest_TH / LARGEST).masked_fill_(is_zero_TH, 0)
    return RoundedRows(values_THD.to(torch.int8), scales_TH.masked_fill_(is_lost_TH, torch.nan))
