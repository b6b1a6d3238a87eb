"""Records CUDA graphs."""

from __future__ import annotations

from collections.abc import Callable

import torch

from weft.runtime.engine.cuda.graphs import Recording

__all__ = ["CudaCapture"]

NUM_TRIALS = 2
"""Runs before recording: what is compiled, chosen or allocated at a first use is so by then."""


class CudaCapture:
    """Implements Capture. All recordings take their temporary memory from one pool: they run one
    after the other, so each may overwrite what another left there."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def record(self, compute: Callable[[], torch.Tensor]) -> Recording:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(NUM_TRIALS):
                compute()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Other threads of the process may go on using the device.
        with torch.cuda.graph(graph, self._pool, capture_error_mode="thread_local"):
            out = compute()
        return Recording(out, graph.replay)
