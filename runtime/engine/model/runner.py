"""Runs packed batches through a model.

Shapes: T packed tokens, C model width, R wanted rows of logits, V vocabulary.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from transformers import PreTrainedModel

from weft.cache.kv_store import KVShape, KVStore
from weft.runtime.engine.batch import PackedBatch
from weft.runtime.engine.model.adapter import ATTENTION_NAME, register_attention
from weft.runtime.engine.model.attention import PagedAttention
from weft.runtime.engine.model.checkpoint import open_checkpoint
from weft.runtime.engine.model.families import family_of
from weft.runtime.engine.model.foreign import CausalDecoder, DecoderConfig
from weft.runtime.engine.model.fused import fuse
from weft.runtime.engine.model.info import ModelInfo, describe
from weft.runtime.engine.model.invariance import check_row_invariance
from weft.runtime.engine.model.layout import AttentionLayout, plan_fixed, plan_layout
from weft.runtime.engine.model.loading import load_weights, move
from weft.runtime.engine.model.placement import (
    DeviceChoice,
    DtypeChoice,
    choose_device,
    choose_dtype,
)
from weft.runtime.engine.model.scratch import Scratch
from weft.runtime.engine.model.spans import Ruler
from weft.runtime.engine.model.tiles import cut_tiles

__all__ = ["ModelRunner"]

TILE_ROWS = 16
"""Rows of every product in deterministic mode: few enough that a lone decode pays little (1.3
times measured at 1024 x 1024), many enough that a prefill is not read-bound."""


class ModelRunner:
    """One model on one device. Not thread-safe: one forward at a time.

    ``forward`` writes the KVStore it is given, which must have this runner's ``layers``,
    ``dtype`` and ``device``.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        info: ModelInfo,
        *,
        is_deterministic: bool = False,
        is_fused: bool = True,
    ) -> None:
        """Takes the model over: its attention is replaced and, with ``is_fused``, most of its
        modules are (see ``weft.runtime.engine.model.fused``).

        Raises: ModelLoadError when the architecture is not verified; UnsupportedFeature when
        the machine's kernels cannot give the same bits in any place of a batch.
        """
        config = cast(DecoderConfig, model.config)
        family = family_of(config.model_type)
        family.check(config)
        decoder = cast(CausalDecoder, model)
        register_attention()
        model.set_attn_implementation(ATTENTION_NAME)  # pyright: ignore[reportUnknownMemberType]
        self.dtype = model.dtype
        self.device = model.device
        self.info = info
        self.is_deterministic = is_deterministic
        self._windows = tuple(dict.fromkeys(info.windows))
        self._final_softcap: float | None = getattr(model.config, "final_logit_softcapping", None)
        self._scratch = Scratch()
        if is_fused:
            fuse(decoder, family, is_deterministic=is_deterministic)
        self._model = decoder
        if is_deterministic:
            check_row_invariance(
                self.forward,
                self.layers,
                self.dtype,
                self.device,
                num_rows=TILE_ROWS,
                vocab_size=self.vocab_size,
            )

    @classmethod
    def load(
        cls,
        source: str | Path | PreTrainedModel,
        *,
        dtype: DtypeChoice = "auto",
        device: DeviceChoice = "auto",
        num_threads: int | None = None,
        deterministic: bool = False,
        revision: str | None = None,
    ) -> ModelRunner:
        """Load ``mini``, a folder or a hub id, or take over a model that is already in memory.

        ``dtype``: see ``choose_dtype``; a model in memory keeps its own with ``auto``.
        ``num_threads`` sets torch's threads for the whole process.

        ``deterministic``: the logits of a token are bit-identical whatever shares its batch,
        however its prompt was cut, and whether its prefix was computed or found in the cache, on
        one machine with one number of threads. Everything then runs in tiles of ``TILE_ROWS``
        rows and spans of keys whose length only the position decides: see there for the price.

        Raises: ModelLoadError; UnsupportedFeature when this machine cannot be deterministic.
        """
        if num_threads is not None:
            torch.set_num_threads(num_threads)
        place = choose_device(device)
        if isinstance(source, PreTrainedModel):
            model, info = _adopt(source, dtype, place)
        else:
            checkpoint = open_checkpoint(source, revision=revision)
            info = checkpoint.info
            model = load_weights(checkpoint, choose_dtype(dtype, info.dtype, place), place)
        return cls(model, info, is_deterministic=deterministic)

    @property
    def layers(self) -> list[KVShape]:
        """What the KV memory must hold, by layer."""
        shape = KVShape(num_kv_heads=self.info.num_kv_heads, head_dim=self.info.head_dim)
        return [shape] * self.info.num_layers

    @property
    def vocab_size(self) -> int:
        """V: tokens 0 … V - 1 may be fed, and have logits."""
        return self.info.vocab_size

    @property
    def max_context(self) -> int:
        """Positions 0 … ``max_context`` - 1 may be fed."""
        return self.info.max_context

    def forward(self, batch: PackedBatch, kv: KVStore) -> torch.Tensor:
        """Logits [R, V] in float32 on the runner's device, after writing the batch's keys and
        values into ``kv``. Blocks until computed on the CPU, not on CUDA."""
        with torch.inference_mode():
            ruler = Ruler(
                block_size=kv.block_size,
                dtype=self.dtype,
                device=self.device,
                is_fixed=self.is_deterministic,
            )
            if self.is_deterministic:
                return self._forward_tiles(batch, kv, ruler)
            hidden_TC = self._decode(batch, kv, plan_layout(batch, self._windows, ruler))
            if len(batch.logit_rows_R) < len(batch.token_ids_T):
                hidden_TC = hidden_TC.index_select(0, self._put(batch.logit_rows_R))
            return self._logits(hidden_TC)

    def _forward_tiles(self, batch: PackedBatch, kv: KVStore, ruler: Ruler) -> torch.Tensor:
        logits_RV = torch.empty(
            (len(batch.logit_rows_R), self.vocab_size), dtype=torch.float32, device=self.device
        )
        for tile in cut_tiles(batch, TILE_ROWS):
            layout = plan_fixed(tile.batch, self._windows, ruler)
            hidden_TC = self._decode(tile.batch, kv, layout)
            if tile.wanted.start < tile.wanted.stop:
                rows = self._put(batch.logit_rows_R[tile.wanted] - tile.offset)
                logits_RV[tile.wanted] = self._logits(hidden_TC).index_select(0, rows)
        return logits_RV

    def _decode(self, batch: PackedBatch, kv: KVStore, layout: AttentionLayout) -> torch.Tensor:
        output = self._model.model(
            input_ids=self._put(batch.token_ids_T).unsqueeze(0),
            position_ids=self._put(batch.positions_T).unsqueeze(0),
            use_cache=False,
            paged_attention=PagedAttention(kv, layout, self._scratch),
        )
        return output.last_hidden_state[0]

    def _logits(self, hidden_RC: torch.Tensor) -> torch.Tensor:
        logits_RV: torch.Tensor = self._model.lm_head(hidden_RC)
        if self._final_softcap is not None:
            logits_RV = (logits_RV / self._final_softcap).tanh() * self._final_softcap
        return logits_RV.float()

    def _put(self, values: object) -> torch.Tensor:
        return torch.as_tensor(values).to(self.device)


def _adopt(
    model: PreTrainedModel, dtype: DtypeChoice, device: torch.device
) -> tuple[PreTrainedModel, ModelInfo]:
    family = family_of(model.config.model_type)
    stored = str(model.dtype).removeprefix("torch.")
    wanted = model.dtype if dtype == "auto" else choose_dtype(dtype, stored, device)
    move(model, device)
    # Not model.to(dtype): that would round the rotary frequencies, which stay in float32.
    for parameter in model.parameters():
        parameter.data = parameter.data.to(wanted)
    info = describe(
        cast(DecoderConfig, model.config),
        family,
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        dtype=stored,
        generation=model.generation_config.to_dict() if model.generation_config else {},
    )
    return model, info
