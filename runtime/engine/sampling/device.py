"""LogitRows on an accelerator: torch where the logits are, small results copied to the host."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from weft.runtime.engine.sampling.logits import CHUNK, Best, Float32s, Float64s, Int64s, Top

__all__ = ["DeviceLogits"]


class DeviceLogits:
    """Implements LogitRows. Overwrites the tensor it is given."""

    def __init__(self, logits_RV: Tensor) -> None:
        self._x_RV = logits_RV.detach()

    def best(self) -> Best:
        values_R, ids_R = self._x_RV.max(dim=1)
        return Best(values_R.cpu().numpy(), ids_R.cpu().numpy())

    def gather(self, rows_P: Int64s, ids_P: Int64s) -> Float32s:
        values: Float32s = self._x_RV[self._up(rows_P), self._up(ids_P)].cpu().numpy()
        return values

    def put(self, rows_P: Int64s, ids_P: Int64s, values_P: Float32s) -> None:
        self._x_RV[self._up(rows_P), self._up(ids_P)] = torch.as_tensor(
            values_P, device=self._x_RV.device
        )

    def mask(self, bitmask: Tensor) -> None:
        bits = torch.arange(32, dtype=torch.int32, device=self._x_RV.device)
        words = bitmask.to(self._x_RV.device, non_blocking=True)
        is_banned_RV = ((words[:, :, None] >> bits) & 1).flatten(1) == 0
        self._x_RV.masked_fill_(is_banned_RV[:, : self._x_RV.shape[1]], -torch.inf)

    def select(self, rows_S: Int64s) -> DeviceLogits:
        return DeviceLogits(self._x_RV[self._up(rows_S)])

    def log_normalisers(self) -> Float64s:
        result: Float64s = torch.logsumexp(self._x_RV.double(), dim=1).cpu().numpy()
        return result

    def top(self, k: int) -> Top:
        values_RK, ids_RK = self._x_RV.topk(k, dim=1)
        return Top(values_RK.cpu().numpy(), ids_RK.cpu().numpy())

    def exponentiate(self, shift_R: Float32s, scale_R: Float32s | None) -> None:
        self._x_RV.sub_(torch.as_tensor(shift_R, device=self._x_RV.device)[:, None])
        if scale_R is not None:
            self._x_RV.div_(torch.as_tensor(scale_R, device=self._x_RV.device)[:, None])
        self._x_RV.exp_()

    def largest(self, rows_S: Int64s, k: int) -> Float32s:
        values: Float32s = self._x_RV[self._up(rows_S)].topk(k, dim=1).values.cpu().numpy()
        return values

    def drop_below(self, rows_S: Int64s, thresholds_S: Float32s) -> None:
        rows = self._up(rows_S)
        x_SV = self._x_RV[rows]
        floor_S1 = torch.as_tensor(thresholds_S, device=x_SV.device)[:, None]
        self._x_RV[rows] = x_SV * (x_SV >= floor_S1)

    def chunk_sums(self) -> Float64s:
        padding = -self._x_RV.shape[1] % CHUNK
        padded = functional.pad(self._x_RV, (0, padding))
        sums_RC = padded.view(len(padded), -1, CHUNK).sum(dim=-1, dtype=torch.float64)
        result: Float64s = sums_RC.cpu().numpy()
        return result

    def chunk(self, chunks_R: Int64s) -> Float64s:
        vocab_size = self._x_RV.shape[1]
        ids_RL = chunks_R[:, None] * CHUNK + np.arange(CHUNK)
        x_RL = self._x_RV.gather(1, self._up(np.minimum(ids_RL, vocab_size - 1)))
        return np.where(ids_RL < vocab_size, x_RL.cpu().numpy(), 0).astype(np.float64)

    def _up(self, indices: Int64s) -> Tensor:
        return torch.as_tensor(indices, device=self._x_RV.device)
