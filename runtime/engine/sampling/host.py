"""LogitRows on the host: numpy over the tensor's own memory.

Single-threaded on purpose: at a few hundred thousand entries an operation takes about 0.1 ms, and
a team of threads that must meet at a barrier loses more than that whenever a core is busy.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.lib.stride_tricks import as_strided
from torch import Tensor

from weft.runtime.engine.sampling.logits import CHUNK, Best, Float32s, Float64s, Int64s, Top
from weft.runtime.engine.sampling.scratch import Scratch

__all__ = ["HostLogits"]


class HostLogits:
    """Implements LogitRows. Overwrites the tensor it is given and uses ``scratch`` as it likes."""

    def __init__(self, logits_RV: Tensor, scratch: Scratch) -> None:
        self._x_RV: Float32s = logits_RV.detach().numpy()
        self._scratch = scratch

    def best(self) -> Best:
        ids_R = self._x_RV.argmax(axis=1)
        return Best(self._x_RV[np.arange(len(ids_R)), ids_R], ids_R)

    def gather(self, rows_P: Int64s, ids_P: Int64s) -> Float32s:
        return self._x_RV[rows_P, ids_P]

    def put(self, rows_P: Int64s, ids_P: Int64s, values_P: Float32s) -> None:
        self._x_RV[rows_P, ids_P] = values_P

    def mask(self, bitmask: Tensor) -> None:
        # Where most tokens are banned, xgrammar's own kernel takes several times as long.
        banned_RB = ~bitmask.numpy().view(np.uint8)
        vocab_size = self._x_RV.shape[1]
        is_banned_RV = np.unpackbits(banned_RB, axis=1, count=vocab_size, bitorder="little")
        np.putmask(self._x_RV, is_banned_RV.view(np.bool_), np.float32(-np.inf))

    def select(self, rows_S: Int64s) -> HostLogits:
        return HostLogits(torch.as_tensor(self._copy("selected", rows_S)), self._scratch)

    def log_normalisers(self) -> Float64s:
        top_R1 = self._x_RV.max(axis=1, keepdims=True)
        shifted_RV = self._scratch.take("copied", self._x_RV.shape, np.float32)
        np.subtract(self._x_RV, top_R1, out=shifted_RV)
        np.exp(shifted_RV, out=shifted_RV)
        sums_R = HostLogits(torch.as_tensor(shifted_RV), self._scratch).chunk_sums().sum(axis=1)
        normalisers_R: Float64s = np.log(sums_R) + top_R1[:, 0]
        return normalisers_R

    def top(self, k: int) -> Top:
        num_rows = len(self._x_RV)
        floors_R1 = self.largest(np.arange(num_rows), k)[:, -1:]
        # NaN is on neither side of a floor: a row with NaN still gives k entries this way.
        rows_P, ids_P = np.nonzero(~(self._x_RV < floors_R1))
        order_P = np.lexsort((ids_P, -self._x_RV[rows_P, ids_P], rows_P))
        starts_R1 = np.searchsorted(rows_P, np.arange(num_rows))[:, None]
        ids_RK = ids_P[order_P][starts_R1 + np.arange(k)]
        return Top(np.take_along_axis(self._x_RV, ids_RK, axis=1), ids_RK)

    def exponentiate(self, shift_R: Float32s, scale_R: Float32s | None) -> None:
        np.subtract(self._x_RV, shift_R[:, None], out=self._x_RV)
        if scale_R is not None:
            np.divide(self._x_RV, scale_R[:, None], out=self._x_RV)
        np.exp(self._x_RV, out=self._x_RV)

    def largest(self, rows_S: Int64s, k: int) -> Float32s:
        x_SV = self._copy("copied", rows_S)
        x_SV.partition(x_SV.shape[1] - k, axis=1)
        top_SK = x_SV[:, -k:]
        top_SK.sort(axis=1)
        return top_SK[:, ::-1].copy()

    def drop_below(self, rows_S: Int64s, thresholds_S: Float32s) -> None:
        thresholds_R = np.zeros(len(self._x_RV), np.float32)
        thresholds_R[rows_S] = thresholds_S
        is_kept_RV = self._scratch.take("flags", self._x_RV.shape, np.bool_)
        np.greater_equal(self._x_RV, thresholds_R[:, None], out=is_kept_RV)
        np.multiply(self._x_RV, is_kept_RV, out=self._x_RV)

    def chunk_sums(self) -> Float64s:
        num_rows, vocab_size = self._x_RV.shape
        whole = vocab_size - vocab_size % CHUNK
        row_stride, stride = self._x_RV.strides
        chunked_RCL = as_strided(
            self._x_RV,
            (num_rows, whole // CHUNK, CHUNK),
            (row_stride, stride * CHUNK, stride),
            writeable=False,
        )
        # einsum adds in one fixed order per chunk, and three times as fast as sum().
        sums_RC: Float32s = np.einsum("rcl->rc", chunked_RCL)
        tail_R1 = np.einsum("rl->r", self._x_RV[:, whole:])[:, None]
        return np.concatenate([sums_RC, tail_R1], axis=1, dtype=np.float64)

    def chunk(self, chunks_R: Int64s) -> Float64s:
        vocab_size = self._x_RV.shape[1]
        ids_RL = chunks_R[:, None] * CHUNK + np.arange(CHUNK)
        rows_R1 = np.arange(len(chunks_R))[:, None]
        x_RL = self._x_RV[rows_R1, np.minimum(ids_RL, vocab_size - 1)]
        return np.where(ids_RL < vocab_size, x_RL, 0).astype(np.float64)

    def _copy(self, name: str, rows_S: Int64s) -> Float32s:
        shape = (len(rows_S), self._x_RV.shape[1])
        copied_SV: Float32s = self._scratch.take(name, shape, np.float32)
        if len(rows_S) == len(self._x_RV):
            np.copyto(copied_SV, self._x_RV)
        else:
            np.take(self._x_RV, rows_S, axis=0, out=copied_SV, mode="clip")
        return copied_SV
