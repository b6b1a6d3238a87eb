"""Rotary position embedding of query and key together (Su et al., 2021).

Shapes: T packed tokens, H heads, D head dimension.
"""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["SignedRotary", "rotate"]


class SignedRotary(nn.Module):
    """Computes cosine and sine as the model's own module does, then lays them out for ``rotate``:
    [T, 1, D] each, the first half of the sine negated."""

    def __init__(self, rotary: nn.Module) -> None:
        super().__init__()
        self.inner = rotary

    def forward(
        self, hidden: torch.Tensor, position_ids: torch.Tensor, *layer_type: str
    ) -> tuple[torch.Tensor, torch.Tensor]:
        cos_1TD, sin_1TD = self.inner(hidden, position_ids, *layer_type)
        sin_T1D = sin_1TD[0].unsqueeze(1)
        sin_T1D[..., : sin_T1D.shape[-1] // 2].neg_()
        return cos_1TD[0].unsqueeze(1), sin_T1D


def rotate(x_THD: torch.Tensor, cos_T1D: torch.Tensor, sin_T1D: torch.Tensor) -> torch.Tensor:
    """Rotate the pairs (d, d + D/2) of every head by its token's angle."""
    half = x_THD.shape[-1] // 2
    swapped_THD = torch.cat((x_THD[..., half:], x_THD[..., :half]), -1)
    return torch.addcmul(x_THD * cos_T1D, swapped_THD, sin_T1D)
