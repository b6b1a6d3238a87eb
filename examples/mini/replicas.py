"""Data-parallel training: replicas of one process each, their gradients added every step.

Single-threaded replicas share a busy machine better than threads that wait for each other.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, distributed


class Replicas:
    """The group of processes that `torch.distributed.run` started, or this one alone."""

    def __init__(self) -> None:
        self._is_group = distributed.is_torchelastic_launched()
        if self._is_group:
            distributed.init_process_group("gloo")
        self.rank = distributed.get_rank() if self._is_group else 0
        self.count = distributed.get_world_size() if self._is_group else 1

    def add(self, parameters: Sequence[Tensor], numbers: Sequence[float]) -> list[float]:
        """Replace every gradient by its sum over the replicas; return the sums of `numbers`.

        Blocks until every replica calls it. A missing gradient counts as zero.
        """
        if not self._is_group:
            return list(numbers)
        grads = [torch.zeros_like(item) if item.grad is None else item.grad for item in parameters]
        extra = torch.tensor(numbers, device=grads[0].device)
        flat = torch.cat([*(grad.flatten() for grad in grads), extra])
        distributed.all_reduce(flat)  # pyright: ignore[reportUnknownMemberType]
        parts = torch.split(flat, [*(grad.numel() for grad in grads), len(numbers)])
        for item, part in zip(parameters, parts, strict=False):
            item.grad = part.view_as(item)
        return [float(value) for value in parts[-1]]

    def close(self) -> None:
        """Leave the group."""
        if self._is_group:
            distributed.destroy_process_group()
