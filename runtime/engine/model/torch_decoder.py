"""Packed batches through transformers' modules, most of them replaced by fused ones.

Shapes: T packed tokens, C model width, R wanted rows of logits, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from transformers import PreTrainedModel

from weft.cache.kv_store import KVShape, KVStore
from weft.runtime.engine.batch import PackedBatch
from weft.runtime.engine.cuda import Capture, DecodeGraphs, KernelPath, bucket_of
from weft.runtime.engine.model.adapter import ATTENTION_NAME, register_attention
from weft.runtime.engine.model.attends import Attends
from weft.runtime.engine.model.attention import PagedAttention
from weft.runtime.engine.model.families import Family
from weft.runtime.engine.model.foreign import CausalDecoder
from weft.runtime.engine.model.fused import fuse
from weft.runtime.engine.model.info import ModelInfo
from weft.runtime.engine.model.invariance import check_row_invariance
from weft.runtime.engine.model.layout import plan_fixed, plan_layout
from weft.runtime.engine.model.scratch import Scratch
from weft.runtime.engine.model.spans import Ruler
from weft.runtime.engine.model.tiles import cut_tiles

__all__ = ["TorchDecoder"]

TILE_ROWS = 16
"""Rows of every product in deterministic mode: few enough that a lone decode pays little (1.3
times measured at 1024 x 1024), many enough that a prefill is not read-bound."""


class TorchDecoder:
    """Any verified family on any device. One forward at a time."""

    def __init__(
        self,
        model: PreTrainedModel,
        info: ModelInfo,
        family: Family,
        *,
        is_deterministic: bool = False,
        is_fused: bool = True,
        kernels: KernelPath | None = None,
        capture: Capture | None = None,
    ) -> None:
        """Takes the model over: its attention is replaced and, with ``is_fused``, most of its
        modules are (see ``weft.runtime.engine.model.fused``).

        ``kernels`` compute attention; without them keys are gathered and torch attends.
        ``capture`` records plain decodes, to be replayed; it takes kernels, and does nothing in
        deterministic mode, where whatever computes a row must be the same in every batch.

        ``is_deterministic``: everything runs in tiles of ``TILE_ROWS`` rows and spans of keys
        whose length only the position decides; with ``kernels``, which must then be opened for
        it, keys are cut at fixed positions instead.

        Raises: UnsupportedFeature when the machine's kernels cannot give the same bits in any
        place of a batch.
        """
        decoder = cast(CausalDecoder, model)
        register_attention()
        model.set_attn_implementation(ATTENTION_NAME)  # pyright: ignore[reportUnknownMemberType]
        self._dtype = model.dtype
        self._device = model.device
        self._vocab_size = info.vocab_size
        self._is_deterministic = is_deterministic
        self._windows = tuple(dict.fromkeys(info.windows))
        self._final_softcap: float | None = getattr(model.config, "final_logit_softcapping", None)
        self._scratch = Scratch()
        self._kernels = kernels
        self._graphs = None
        if kernels is not None and capture is not None and not is_deterministic:
            self._graphs = DecodeGraphs(self._decode, kernels, capture)
        if is_fused:
            fuse(decoder, family, is_deterministic=is_deterministic)
        self._model = decoder
        if is_deterministic:
            self._check_invariance([info.kv_shape] * info.num_layers)

    def forward(self, batch: PackedBatch, kv: KVStore) -> torch.Tensor:
        """Logits [R, V] in float32 on the model's device, after writing the batch's keys and
        values into ``kv``. Blocks until computed on the CPU, not on CUDA."""
        assert batch.views is None, "torch sees every sequence by itself"
        with torch.inference_mode():
            if self._is_deterministic:
                return self._forward_tiles(batch, kv)
            hidden_TC = self._replay(batch, kv)
            if hidden_TC is None:
                hidden_TC = self._forward_packed(batch, kv)
            if len(batch.logit_rows_R) < len(hidden_TC):
                hidden_TC = hidden_TC.index_select(0, self._put(batch.logit_rows_R))
            return self._logits(hidden_TC)

    def _forward_tiles(self, batch: PackedBatch, kv: KVStore) -> torch.Tensor:
        logits_RV = torch.empty(
            (len(batch.logit_rows_R), self._vocab_size), dtype=torch.float32, device=self._device
        )
        for tile in cut_tiles(batch, TILE_ROWS):
            hidden_TC = self._forward_packed(tile.batch, kv)
            if tile.wanted.start < tile.wanted.stop:
                rows = self._put(batch.logit_rows_R[tile.wanted] - tile.offset)
                logits_RV[tile.wanted] = self._logits(hidden_TC).index_select(0, rows)
        return logits_RV

    def _replay(self, batch: PackedBatch, kv: KVStore) -> torch.Tensor | None:
        """Hidden states of the batch and of what it is padded with, if it is one to be replayed."""
        num_rows = None if self._graphs is None else bucket_of(batch)
        if self._graphs is None or num_rows is None:
            return None
        [tile] = cut_tiles(batch, num_rows)
        return self._graphs.run(tile.batch, kv)

    def _forward_packed(self, batch: PackedBatch, kv: KVStore) -> torch.Tensor:
        tokens_T, positions_T = self._put(batch.token_ids_T), self._put(batch.positions_T)
        return self._decode(tokens_T, positions_T, self._attention(batch, kv))

    def _attention(self, batch: PackedBatch, kv: KVStore) -> Attends:
        if self._kernels is not None:
            return self._kernels.attention(batch, kv)
        ruler = Ruler(
            block_size=kv.block_size,
            dtype=self._dtype,
            device=self._device,
            is_fixed=self._is_deterministic,
        )
        plan = plan_fixed if self._is_deterministic else plan_layout
        return PagedAttention(kv, plan(batch, self._windows, ruler), self._scratch)

    def _decode(
        self, tokens_T: torch.Tensor, positions_T: torch.Tensor, attention: Attends
    ) -> torch.Tensor:
        output = self._model.model(
            input_ids=tokens_T.unsqueeze(0),
            position_ids=positions_T.unsqueeze(0),
            use_cache=False,
            paged_attention=attention,
        )
        return output.last_hidden_state[0]

    def _logits(self, hidden_RC: torch.Tensor) -> torch.Tensor:
        logits_RV: torch.Tensor = self._model.lm_head(hidden_RC)
        if self._final_softcap is not None:
            logits_RV = (logits_RV / self._final_softcap).tanh() * self._final_softcap
        return logits_RV.float()

    def _put(self, values: object) -> torch.Tensor:
        return torch.as_tensor(values).to(self._device)

    def _check_invariance(self, layers: Sequence[KVShape]) -> None:
        check_row_invariance(
            self.forward,
            layers,
            self._dtype,
            self._device,
            num_rows=TILE_ROWS,
            vocab_size=self._vocab_size,
        )
