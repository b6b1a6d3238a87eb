"""How much memory keys and values may take when nobody says."""

from __future__ import annotations

import os

import torch

__all__ = ["kv_budget_bytes"]

_HOST_SHARE = 0.25
_HOST_MOST = 8 << 30
_DEVICE_SHARE = 0.85


def kv_budget_bytes(device: torch.device) -> int:
    """A share of the memory that is free now: most of a GPU's, a quarter of the host's.

    The host's is touched only as blocks are used, so the figure is a limit there, not a cost.
    """
    if device.type == "cuda":
        num_free, _ = torch.cuda.mem_get_info(device)
        return int(num_free * _DEVICE_SHARE)
    num_free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(int(num_free * _HOST_SHARE), _HOST_MOST)
