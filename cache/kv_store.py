"""The memory that blocks stand for: keys and values of every layer.

Shapes: N slots, T tokens, H key-value heads, D head dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from weft.cache.table import BlockCopy
from weft.errors import InvalidRequest

__all__ = ["KVShape", "KVStore", "LayerKV"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KVShape:
    """What one layer keeps of one token, twice: key and value."""

    num_kv_heads: int
    head_dim: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerKV:
    """One layer's memory, live: attention reads it in place."""

    keys_NHD: torch.Tensor
    values_NHD: torch.Tensor


class KVStore:
    """Keys and values by slot, in one dtype on one device; zero at first, so that no slot ever
    holds a NaN that a masked product would spread.

    All calls are ordered with the caller's other work on the device; none waits for it.
    """

    def __init__(
        self,
        num_blocks: int,
        block_size: int,
        layers: Sequence[KVShape],
        dtype: torch.dtype,
        device: torch.device | str,
    ) -> None:
        """Raises: InvalidRequest when the device cannot give that much memory."""
        self._block_size = block_size
        self._layers = _allocate(num_blocks * block_size, layers, dtype, device)

    @staticmethod
    def block_bytes(block_size: int, layers: Sequence[KVShape], dtype: torch.dtype) -> int:
        """Bytes of one block over all layers."""
        num_values = sum(2 * shape.num_kv_heads * shape.head_dim for shape in layers)
        return block_size * num_values * dtype.itemsize

    @staticmethod
    def num_blocks_in(
        budget_bytes: int,
        block_size: int,
        layers: Sequence[KVShape],
        dtype: torch.dtype,
        *,
        min_tokens: int = 1,
    ) -> int:
        """How many blocks a budget holds, the padding block among them.

        Raises: InvalidRequest when one sequence of ``min_tokens`` would not fit.
        """
        block_bytes = KVStore.block_bytes(block_size, layers, dtype)
        num_blocks = budget_bytes // block_bytes
        num_needed = 1 - (-min_tokens // block_size)
        if num_blocks < num_needed:
            raise InvalidRequest(
                f"A KV budget of {budget_bytes!r} bytes holds {num_blocks} blocks of"
                f" {block_bytes} bytes, but {min_tokens} tokens need {num_needed}.",
                remedy=f"Give at least {num_needed * block_bytes} bytes.",
            )
        return num_blocks

    @property
    def num_layers(self) -> int:
        return len(self._layers)

    @property
    def block_size(self) -> int:
        """Slots of one block."""
        return self._block_size

    @property
    def size_bytes(self) -> int:
        return sum(kv.keys_NHD.nbytes + kv.values_NHD.nbytes for kv in self._layers)

    def layer(self, layer: int) -> LayerKV:
        """The layer's tensors themselves, not a copy."""
        return self._layers[layer]

    def write(
        self, layer: int, slots_T: torch.Tensor, k_THD: torch.Tensor, v_THD: torch.Tensor
    ) -> None:
        """Put token t's key and value into slot ``slots_T[t]`` (int64, on the store's device);
        apart from slots of the padding block the slots are distinct."""
        kv = self._layers[layer]
        kv.keys_NHD.index_copy_(0, slots_T, k_THD)
        kv.values_NHD.index_copy_(0, slots_T, v_THD)

    def gather(self, layer: int, slots_T: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Copies of the keys and values in these slots, [T, H, D] each."""
        kv = self._layers[layer]
        return kv.keys_NHD.index_select(0, slots_T), kv.values_NHD.index_select(0, slots_T)

    def copy_blocks(self, copies: Sequence[BlockCopy]) -> None:
        """Copy whole blocks in every layer, with the effect of doing one after the other."""
        for run in _independent_runs(copies):
            self._copy_at_once(run)

    def move_slots(self, sources_T: torch.Tensor, targets_T: torch.Tensor) -> None:
        """Copy slot ``sources_T[t]`` to slot ``targets_T[t]`` in every layer, all at once: what a
        source held before is what its target holds after, overlap or not.

        int64, on the store's device; the targets are distinct.
        """
        for kv in self._layers:
            for tensor_NHD in (kv.keys_NHD, kv.values_NHD):
                tensor_NHD.index_copy_(0, targets_T, tensor_NHD.index_select(0, sources_T))

    def _copy_at_once(self, copies: Sequence[BlockCopy]) -> None:
        pairs_C2 = torch.tensor(copies, device=self._layers[0].keys_NHD.device)
        sources_C, targets_C = pairs_C2.unbind(1)
        for kv in self._layers:
            for tensor_NHD in (kv.keys_NHD, kv.values_NHD):
                blocks = tensor_NHD.view(-1, self._block_size, *tensor_NHD.shape[1:])
                blocks.index_copy_(0, targets_C, blocks.index_select(0, sources_C))


def _independent_runs(copies: Sequence[BlockCopy]) -> list[list[BlockCopy]]:
    """Cut the list where a copy touches a target of its own run: inside a run order is free."""
    runs: list[list[BlockCopy]] = []
    targets: set[int] = set()
    for copy in copies:
        if not runs or targets & {copy.source, copy.target}:
            runs.append([])
            targets = set()
        runs[-1].append(copy)
        targets.add(copy.target)
    return runs


def _allocate(
    num_slots: int, layers: Sequence[KVShape], dtype: torch.dtype, device: torch.device | str
) -> list[LayerKV]:
    def zeros(shape: KVShape) -> torch.Tensor:
        size = (num_slots, shape.num_kv_heads, shape.head_dim)
        return torch.zeros(size, dtype=dtype, device=device)

    try:
        return [LayerKV(keys_NHD=zeros(shape), values_NHD=zeros(shape)) for shape in layers]
    except RuntimeError as error:
        size_bytes = KVStore.block_bytes(num_slots, layers, dtype)
        raise InvalidRequest(
            f"{device!s} has no room for {size_bytes} bytes of KV memory.",
            remedy="Give a smaller KV budget.",
        ) from error
