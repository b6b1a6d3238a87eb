"""A recorder of CUDA graphs for tests without CUDA."""

from __future__ import annotations

from collections.abc import Callable

import torch

from weft.runtime.engine.cuda import Recording

__all__ = ["FakeCapture"]


class FakeCapture:
    """Replays by running the function again: it reads and writes the memory that a graph would,
    and nothing else of the Tick reaches it."""

    def __init__(self) -> None:
        self.num_recorded = 0
        self.num_replayed = 0

    def record(self, compute: Callable[[], torch.Tensor]) -> Recording:
        out = torch.full_like(compute(), torch.nan)
        self.num_recorded += 1

        def replay() -> None:
            out.copy_(compute())
            self.num_replayed += 1

        return Recording(out, replay)
