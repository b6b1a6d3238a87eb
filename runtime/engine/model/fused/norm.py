"""RMSNorm in place (Zhang and Sennrich, 2019)."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["FusedNorm"]


class FusedNorm(nn.Module):
    """Divides the last dimension by its root mean square, then scales it by ``weight``.

    Computed in float32 whatever the input. ``rounds_late``: the product with the weight is
    rounded to the input's dtype, not the quotient before it (Gemma's order).
    """

    def __init__(self, weight: torch.Tensor, eps: float, *, rounds_late: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.float() if rounds_late else weight, requires_grad=False)
        self._eps = eps
        self._rounds_late = rounds_late

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = x.float()
        inverse = (wide * wide).mean(-1, keepdim=True).add_(self._eps).rsqrt_()
        quotient = wide * inverse
        if self._rounds_late:
            return quotient.mul_(self.weight).to(x.dtype)
        return quotient.to(x.dtype).mul_(self.weight)
