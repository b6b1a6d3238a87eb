"""The arguments of one call of the kernels.

Shapes: T packed tokens, S sequences, N views, R rows of block tables.
"""

from __future__ import annotations

from collections.abc import Iterable
from ctypes import Array, addressof, c_void_p

import numpy as np
import numpy.typing as npt
import torch

from weft.cache.kv_store import KVStore
from weft.runtime.engine.batch import PackedBatch, Views
from weft.runtime.engine.native import Paging

__all__ = ["Memory", "own_pasts", "paging_of"]


class Memory:
    """Where the keys and values of every layer of a KVStore lie, which it never moves."""

    __slots__ = ("_arrays", "is_bfloat16", "key_scales", "keys", "store", "value_scales", "values")

    def __init__(self, store: KVStore) -> None:
        self.store = store
        layers = [store.layer(index) for index in range(store.num_layers)]
        self._arrays = [
            _pointers(each.keys_NHD for each in layers),
            _pointers(each.values_NHD for each in layers),
            _pointers(each.key_scales_NH for each in layers),
            _pointers(each.value_scales_NH for each in layers),
        ]
        starts = [addressof(array) if len(array) else None for array in self._arrays]
        self.keys, self.values, self.key_scales, self.value_scales = starts
        self.is_bfloat16 = int(layers[0].keys_NHD.dtype == torch.bfloat16)


def own_pasts(batch: PackedBatch) -> Views:
    """Every query's only view: its own sequence up to itself."""
    num_tokens, num_sequences = len(batch.token_ids_T), len(batch.query_lens_S)
    tables_T = np.arange(num_sequences, dtype=np.int32)
    if num_tokens > num_sequences:
        tables_T = np.repeat(tables_T, batch.query_lens_S)
    positions_T = batch.positions_T
    nothing_T = np.empty(0, np.int64)
    return Views(
        np.arange(num_tokens), tables_T, nothing_T, positions_T + 1, positions_T, positions_T
    )


def paging_of(
    batch: PackedBatch, views: Views, tables_RB: npt.NDArray[np.int32], block_size: int
) -> Paging:
    """What the queries of ``batch`` may read; ``views`` are those of the batch or their own pasts.
    It points into the arrays."""
    bases, masks = batch.tree_bases_T, batch.tree_masks_T
    return Paging(
        num_views=len(views.queries_N),
        num_queries=len(batch.token_ids_T),
        queries=views.queries_N.ctypes.data,
        tables=views.tables_N.ctypes.data,
        positions=views.positions_N.ctypes.data,
        num_keys=views.num_keys_N.ctypes.data,
        first_keys=views.first_keys_N.ctypes.data if len(views.first_keys_N) else None,
        block_tables=tables_RB.ctypes.data,
        table_row=tables_RB.shape[1],
        block_size=block_size,
        tree_bases=None if bases is None else bases.ctypes.data,
        tree_masks=None if masks is None else masks.ctypes.data,
        shares=int(batch.shares_prefixes),
    )


def _pointers(tensors: Iterable[torch.Tensor | None]) -> Array[c_void_p]:
    """The addresses of those that are there."""
    addresses = [each.data_ptr() for each in tensors if each is not None]
    return (c_void_p * len(addresses))(*addresses)
