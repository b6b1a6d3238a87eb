"""The memory that blocks stand for: keys and values of every layer.

Shapes: N slots, T tokens, H key-value heads, D head dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from weft.cache.rounding import RoundedRows, round_rows
from weft.cache.table import BlockCopy
from weft.errors import InvalidRequest

__all__ = ["KVShape", "KVStore", "LayerKV"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KVShape:
    """What one layer keeps of one token, twice: key and value."""

    num_kv_heads: int
    head_dim: int

    def token_bytes(self, dtype: torch.dtype) -> int:
        """Bytes of one token's key and value; in int8 each head of both has a scale."""
        scale_bytes = torch.float32.itemsize if dtype == torch.int8 else 0
        return 2 * self.num_kv_heads * (self.head_dim * dtype.itemsize + scale_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerKV:
    """One layer's memory, live: attention reads it in place."""

    keys_NHD: torch.Tensor
    values_NHD: torch.Tensor
    key_scales_NH: torch.Tensor | None = None
    """What 1 stands for in each key, float32; ``None`` unless the memory is int8."""
    value_scales_NH: torch.Tensor | None = None

    @property
    def tensors(self) -> list[torch.Tensor]:
        """All that a slot consists of, by slot."""
        scales = (self.key_scales_NH, self.value_scales_NH)
        return [self.keys_NHD, self.values_NHD, *(each for each in scales if each is not None)]

    def gather(self, slots_T: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Copies of the keys and values in these slots, [T, H, D] each; float32 where the memory
        is int8."""
        return (
            _gather(self.keys_NHD, self.key_scales_NH, slots_T),
            _gather(self.values_NHD, self.value_scales_NH, slots_T),
        )


class KVStore:
    """Keys and values by slot, in one dtype on one device; zero at first, so that no slot ever
    holds a NaN that a masked product would spread.

    In int8 every key and value of a token and head has a scale of its own (see ``round_rows``).

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

    def take_blocks(self, other: KVStore, sources: Sequence[int], targets: Sequence[int]) -> None:
        """Copy block ``sources[i]`` of another store of the same shape and dtype, on any device,
        to block ``targets[i]`` of this one; the targets are distinct."""
        for mine, theirs in zip(self._layers, other._layers, strict=True):
            for target, source in zip(mine.tensors, theirs.tensors, strict=True):
                from_S = torch.tensor(sources, device=source.device)
                to_S = torch.tensor(targets, device=target.device)
                blocks = source.view(-1, self._block_size, *source.shape[1:])
                taken = blocks.index_select(0, from_S).to(target.device)
                target.view(-1, self._block_size, *target.shape[1:]).index_copy_(0, to_S, taken)

    @staticmethod
    def block_bytes(block_size: int, layers: Sequence[KVShape], dtype: torch.dtype) -> int:
        """Bytes of one block over all layers."""
        return block_size * sum(shape.token_bytes(dtype) for shape in layers)

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
        return sum(tensor.nbytes for kv in self._layers for tensor in kv.tensors)

    def free(self) -> None:
        """Give the memory back now, whoever still refers to the store. Nothing may read or write
        afterwards. Idempotent."""
        self._layers.clear()

    def layer(self, layer: int) -> LayerKV:
        """The layer's tensors themselves, not a copy."""
        return self._layers[layer]

    def write(
        self, layer: int, slots_T: torch.Tensor, k_THD: torch.Tensor, v_THD: torch.Tensor
    ) -> None:
        """Put token t's key and value into slot ``slots_T[t]`` (int64, on the store's device),
        rounded where the memory is int8; apart from slots of the padding block the slots are
        distinct."""
        kv = self._layers[layer]
        _put(kv.keys_NHD, kv.key_scales_NH, slots_T, k_THD)
        _put(kv.values_NHD, kv.value_scales_NH, slots_T, v_THD)

    def gather(self, layer: int, slots_T: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As ``LayerKV.gather``."""
        return self._layers[layer].gather(slots_T)

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
            for tensor in kv.tensors:
                tensor.index_copy_(0, targets_T, tensor.index_select(0, sources_T))

    def _copy_at_once(self, copies: Sequence[BlockCopy]) -> None:
        pairs_C2 = torch.tensor(copies, device=self._layers[0].keys_NHD.device)
        sources_C, targets_C = pairs_C2.unbind(1)
        for kv in self._layers:
            for tensor in kv.tensors:
                blocks = tensor.view(-1, self._block_size, *tensor.shape[1:])
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


def _put(
    rows_NHD: torch.Tensor,
    scales_NH: torch.Tensor | None,
    slots_T: torch.Tensor,
    x_THD: torch.Tensor,
) -> None:
    if scales_NH is not None:
        x_THD, scales_TH = round_rows(x_THD)
        scales_NH.index_copy_(0, slots_T, scales_TH)
    rows_NHD.index_copy_(0, slots_T, x_THD.to(rows_NHD.dtype))


def _gather(
    rows_NHD: torch.Tensor, scales_NH: torch.Tensor | None, slots_T: torch.Tensor
) -> torch.Tensor:
    rows_THD = rows_NHD.index_select(0, slots_T)
    if scales_NH is None:
        return rows_THD
    return RoundedRows(rows_THD, scales_NH.index_select(0, slots_T)).widen()


def _allocate(
    num_slots: int, layers: Sequence[KVShape], dtype: torch.dtype, device: torch.device | str
) -> list[LayerKV]:
    def zeros(shape: KVShape) -> torch.Tensor:
        size = (num_slots, shape.num_kv_heads, shape.head_dim)
        return torch.zeros(size, dtype=dtype, device=device)

    def scales(shape: KVShape) -> torch.Tensor | None:
        size = (num_slots, shape.num_kv_heads)
        return torch.zeros(size, device=device) if dtype == torch.int8 else None

    try:
        return [
            LayerKV(
                keys_NHD=zeros(shape),
                values_NHD=zeros(shape),
                key_scales_NH=scales(shape),
                value_scales_NH=scales(shape),
            )
            for shape in layers
        ]
    except RuntimeError as error:
        size_bytes = KVStore.block_bytes(num_slots, layers, dtype)
        raise InvalidRequest(
            f"{device!s} has no room for {size_bytes} bytes of KV memory.",
            remedy="Give a smaller KV budget.",
        ) from error
