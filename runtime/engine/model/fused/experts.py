"""A mixture of experts whose result for a row does not depend on the other rows.

Shapes: R rows, C model width, I expert width, E experts, A active experts of a row.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from weft.runtime.engine.model.foreign import ExpertsPart

__all__ = ["FixedShapeExperts"]


class FixedShapeExperts(nn.Module):
    """Sends all rows through every expert that any row chose, then keeps what each row chose.

    So every product has R rows, whichever rows share the batch. A row adds an exact zero for an
    expert it did not choose. Costs up to E / A times the products of sparse routing.
    """

    def __init__(self, experts: nn.Module) -> None:
        """``experts``: transformers' module, whose stacked weights are shared, not copied."""
        super().__init__()
        self.inner = experts

    def forward(
        self, x_RC: torch.Tensor, chosen_RA: torch.Tensor, weights_RA: torch.Tensor
    ) -> torch.Tensor:
        out_RC = torch.zeros_like(x_RC)
        for expert in np.unique(chosen_RA.cpu().numpy()):
            weight_R1 = (weights_RA * (chosen_RA == int(expert))).sum(-1, keepdim=True)
            expert_RC = self._run(int(expert), x_RC) * weight_R1
            out_RC += torch.where(weight_R1 == 0, 0.0, expert_RC).to(out_RC.dtype)
        return out_RC

    def _run(self, expert: int, x_RC: torch.Tensor) -> torch.Tensor:
        inner = cast(ExpertsPart, self.inner)
        gate_RI, up_RI = functional.linear(x_RC, inner.gate_up_proj[expert]).chunk(2, -1)
        return functional.linear(inner.act_fn(gate_RI) * up_RI, inner.down_proj[expert])
