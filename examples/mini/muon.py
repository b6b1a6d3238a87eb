"""Muon: momentum whose update is made orthogonal, all layers of one shape at a time.

Shape suffixes: L matrices of one shape, R rows, C columns.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Newton-Schulz polynomial of Jordan et al.: fast, and close enough to orthogonal."""
NUM_ITERATIONS = 5
UPDATE_RMS = 0.2
"""Root mean square of an update per unit of learning rate, as AdamW's usually is."""


def orthogonalise(update_LRC: Tensor) -> Tensor:
    """Map each matrix near the closest one with equal singular values, by Newton-Schulz."""
    a, b, c = COEFFICIENTS
    is_tall = update_LRC.shape[-2] > update_LRC.shape[-1]
    x: Tensor = update_LRC.mT if is_tall else update_LRC
    x = x / (x.square().sum((-2, -1), keepdim=True).sqrt() + 1e-7)
    for _ in range(NUM_ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if is_tall else x


class Muon(torch.optim.Optimizer):
    """Optimizes weight matrices; mutates them in place at `step`."""

    def __init__(
        self, params: Iterable[Tensor], *, lr: float, momentum: float, weight_decay: float
    ) -> None:
        matrices = list(params)
        shapes: dict[torch.Size, list[Tensor]] = {}
        for matrix in matrices:
            shapes.setdefault(matrix.shape, []).append(matrix)
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__([{"params": group} for group in shapes.values()], defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Apply one update; every matrix must have a gradient."""
        if closure is not None:
            raise ValueError("Muon takes no closure; compute the gradients before step()")
        for group in self.param_groups:
            self._step_shape(group["params"], group["lr"], group["momentum"], group["weight_decay"])

    def _step_shape(
        self, matrices: Sequence[Tensor], lr: float, momentum: float, weight_decay: float
    ) -> None:
        updates: list[Tensor] = []
        for matrix in matrices:
            if matrix.grad is None:
                raise ValueError(f"matrix of shape {tuple(matrix.shape)} has no gradient")
            state = self.state[matrix]
            if not state:
                state["velocity"] = torch.zeros_like(matrix)
            velocity: Tensor = state["velocity"]
            velocity.lerp_(matrix.grad, 1 - momentum)
            updates.append(matrix.grad.lerp(velocity, momentum))
        scale = UPDATE_RMS * max(matrices[0].shape) ** 0.5
        for matrix, update in zip(matrices, orthogonalise(torch.stack(updates)), strict=True):
            matrix.mul_(1 - lr * weight_decay)
            matrix.add_(update, alpha=-lr * scale)
