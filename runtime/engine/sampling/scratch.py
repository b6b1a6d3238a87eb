"""Memory kept between Ticks: a fresh array of a few MB costs more in page faults than its use."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Scratch"]


class Scratch:
    """Named buffers that grow to the largest shape asked for. For one thread."""

    def __init__(self) -> None:
        self._buffers: dict[str, npt.NDArray[Any]] = {}

    def take(self, name: str, shape: tuple[int, int], dtype: type) -> npt.NDArray[Any]:
        """Uninitialised memory of that shape, valid until ``name`` is taken again.

        One name always goes with one dtype.
        """
        size = shape[0] * shape[1]
        if name not in self._buffers or len(self._buffers[name]) < size:
            self._buffers[name] = np.empty(size, dtype)
        return self._buffers[name][:size].reshape(shape)
