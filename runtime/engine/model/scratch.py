"""Memory that one forward gathers keys and values into, kept for the next."""

from __future__ import annotations

import torch

__all__ = ["Scratch"]


class Scratch:
    """Grows to the largest gather and stays; on the CPU a fresh allocation of that size costs
    several times the copy in page faults.

    What ``take_blocks`` returns is overwritten by the next call with the same ``part``.
    """

    def __init__(self) -> None:
        self._parts: dict[int, torch.Tensor] = {}

    def take_blocks(
        self, part: int, memory_NHD: torch.Tensor, block_size: int, blocks: torch.Tensor
    ) -> torch.Tensor:
        """[len(blocks), block_size * H * D]: copies of whole blocks of ``memory_NHD``."""
        blocks_NX = memory_NHD.view(memory_NHD.shape[0] // block_size, -1)
        if memory_NHD.device.type != "cpu":
            return blocks_NX.index_select(0, blocks)
        out = self._room(part, len(blocks) * blocks_NX.shape[1], memory_NHD.dtype)
        out = out.view(len(blocks), -1)
        torch.index_select(blocks_NX, 0, blocks, out=out)
        return out

    def _room(self, part: int, size: int, dtype: torch.dtype) -> torch.Tensor:
        room = self._parts.get(part)
        if room is None or room.numel() < size or room.dtype != dtype:
            room = torch.empty(size, dtype=dtype)
            self._parts[part] = room
        return room[:size]
