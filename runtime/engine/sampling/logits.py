"""The few operations on a whole [R, V] array that drawing needs, on the host and on a device.

Legend: R rows, V vocabulary, S selected rows, K largest entries, C chunks of CHUNK entries,
P scattered (row, token) pairs. Arrays in and out are numpy's; only the [R, V] array itself stays
where the model left it. Every row is computed from that row alone, in an order that does not
depend on R: this is what makes a draw independent of its neighbours, bit for bit.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

__all__ = ["CHUNK", "Best", "Float32s", "Float64s", "Int64s", "LogitRows", "Top"]

CHUNK = 64

Float32s = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]


class Best(NamedTuple):
    """The largest entry of each row. NaN counts as largest."""

    values_R: Float32s
    ids_R: Int64s
    """The first position that holds it."""


class Top(NamedTuple):
    """The K largest entries of each row, descending."""

    values_RK: Float32s
    ids_RK: Int64s


class LogitRows(Protocol):
    """Float32 logits of one Tick, edited in place and at last turned into weights."""

    def best(self) -> Best: ...

    def gather(self, rows_P: Int64s, ids_P: Int64s) -> Float32s: ...

    def put(self, rows_P: Int64s, ids_P: Int64s, values_P: Float32s) -> None:
        """Overwrite entries; no pair may be given twice."""
        ...

    def mask(self, bitmask: Tensor) -> None:
        """Entries whose bit in ``bitmask`` (int32, [R, ceil(V/32)]) is 0 become -inf."""
        ...

    def select(self, rows_S: Int64s) -> LogitRows:
        """A copy of some rows, which edits to these do not reach; until the next ``select``."""
        ...

    def log_normalisers(self) -> Float64s:
        """log(sum(exp(row))) of each row."""
        ...

    def top(self, k: int) -> Top:
        """The k largest entries of each row."""
        ...

    def exponentiate(self, shift_R: Float32s, scale_R: Float32s | None) -> None:
        """Turn logits into weights: exp((x - shift) / scale). ``None`` is a scale of one."""
        ...

    def largest(self, rows_S: Int64s, k: int) -> Float32s:
        """The k largest entries of the selected rows, descending: [S, K]."""
        ...

    def drop_below(self, rows_S: Int64s, thresholds_S: Float32s) -> None:
        """Entries of the selected rows that are less than the row's threshold become 0."""
        ...

    def chunk_sums(self) -> Float64s:
        """Sums of consecutive CHUNK entries: [R, C]. The last chunk is cut at V, or empty."""
        ...

    def chunk(self, chunks_R: Int64s) -> Float64s:
        """The entries of one chunk of each row, zero past V: [R, CHUNK]."""
        ...
