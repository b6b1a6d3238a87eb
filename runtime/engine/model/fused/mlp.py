"""The gated feed-forward layer with one product for gate and up."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from weft.runtime.engine.model.fused.linear import concat_linear, pack_linear

__all__ = ["FusedMLP"]


class FusedMLP(nn.Module):
    """down(act(gate(x)) * up(x)), taken from a module with these four parts."""

    def __init__(
        self,
        gate: nn.Linear,
        up: nn.Linear,
        down: nn.Linear,
        act: Callable[[torch.Tensor], torch.Tensor],
    ) -> None:
        super().__init__()
        self.gate_up = concat_linear([gate, up])
        self.down = pack_linear(down)
        self._act = act

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        both: torch.Tensor = self.gate_up(x)
        gate, up = both.chunk(2, -1)
        out: torch.Tensor = self.down(self._act(gate).mul_(up))
        return out
