"""Decoders of the Llama kind through the engine's own kernels, on a processor.

Shapes: T packed tokens, S sequences, B blocks in a table, C model width, H query heads, K key-value
heads, D head dimension, R rows of logits, V vocabulary, O outputs, I inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import byref
from typing import cast

import numpy as np
import torch
from torch import nn

from weft.cache.kv_store import KVStore
from weft.runtime.engine.batch import PackedBatch
from weft.runtime.engine.model.calls import Memory, own_pasts, paging_of
from weft.runtime.engine.model.families import Family
from weft.runtime.engine.model.foreign import (
    AttentionPart,
    CausalDecoder,
    DecoderConfig,
    DecoderLayer,
    GatedPart,
)
from weft.runtime.engine.model.info import head_dim_of
from weft.runtime.engine.model.quantise import INT8, INT13, IntegerFormat, lay_out, round_weight
from weft.runtime.engine.native import Batch, Decoder, Kind, Layer, Weight, load_kernels

__all__ = ["NativeDecoder", "has_fast_bfloat16", "why_not_native"]

SMALL_PRODUCTS = 5 << 20
"""Fewer multiplications than these are left to one thread, which has nobody to wait for."""


def why_not_native(config: DecoderConfig, family: Family, device: torch.device) -> str:
    """What keeps such a model from the kernels; empty when nothing does."""
    if not family.is_llama_kind:
        return f"{family.model_type} has layers of its own"
    head_dim = head_dim_of(config)
    rope = config.rope_parameters or {}
    reasons = {
        "its rotary angles depend on the length": rope.get("rope_type") == "dynamic",
        f"its heads have {head_dim} values": head_dim % 16 != 0,
        f"its gate is {config.hidden_act}": config.hidden_act != "silu",
        f"its feed-forward width is {config.intermediate_size}": config.intermediate_size % 16 != 0,
        f"it is on {device.type}": device.type != "cpu",
    }
    return next((reason for reason, applies in reasons.items() if applies), "")


def has_fast_bfloat16() -> bool:
    """Whether the kernels multiply what is in bfloat16 faster than float32. Raises:
    KernelsMissing."""
    return bool(load_kernels().weft_has_integer_products())


class NativeDecoder:
    """A model packed for the kernels. One forward at a time.

    Computes in float32 from weights as they are stored, and from keys and values in float32,
    bfloat16 or int8, as the memory is. In bfloat16 the matrices of the layers and the head, and
    the rows that they multiply, become integers of 13 bits where the processor multiplies these
    faster: closer to the float32 product than rows rounded to bfloat16 are. A token's logits do
    not depend on what shares its batch, to the last bit: every sum has one order, or is of
    integers.

    Sequences whose tables hold the same blocks, full chunks of 256 positions of them, read these
    together: one product of all their queries with keys that are read and laid out once. The
    rule needs no threshold, because the kernel is the same with more rows. The plan follows from
    the tables and costs a sort where nothing is shared.
    """

    def __init__(
        self,
        model: CausalDecoder,
        config: DecoderConfig,
        family: Family,
        *,
        dtype: torch.dtype,
        is_int8: bool = False,
    ) -> None:
        """Packs the model's weights and takes its layers out, each freed as it goes.

        ``is_int8``: the layers' matrices and the head's are rounded to 8 bits, and so are the
        rows that they multiply; embeddings and norms are not.

        Raises: KernelsMissing, before anything is changed.
        """
        self._library = load_kernels()
        self._form: IntegerFormat | None = INT8 if is_int8 else None
        if self._form is None and dtype == torch.bfloat16 and has_fast_bfloat16():
            self._form = INT13
        self._kept: list[torch.Tensor] = []
        self._rotary = model.model.rotary_emb
        self._cos_PD = self._sin_PD = torch.empty(0, head_dim_of(config))
        self._scratch = torch.empty(0)
        self._memory: Memory | None = None
        layers = cast("nn.ModuleList", model.model.layers)
        scale = cast(AttentionPart, layers[0].self_attn).scaling
        packed: list[Layer] = []
        for index, layer in enumerate(layers):
            window = family.window(config, index)
            packed.append(self._pack_layer(cast(DecoderLayer, layer), config, window))
            layers[index] = nn.Identity()
        self._layers = (Layer * len(packed))(*packed)
        embeddings_VC = model.model.embed_tokens.weight.detach().contiguous()
        if embeddings_VC.dtype != torch.bfloat16:
            embeddings_VC = embeddings_VC.float()
        self._kept.append(embeddings_VC)
        head = cast(nn.Linear, model.lm_head)
        self._vocab_size = head.out_features
        self._decoder = Decoder(
            num_layers=len(packed),
            width=config.hidden_size,
            num_heads=config.num_attention_heads,
            num_kv_heads=config.num_key_value_heads,
            head_dim=head_dim_of(config),
            mlp_width=config.intermediate_size,
            norm_eps=config.rms_norm_eps,
            scale=scale,
            layers=self._layers,
            embeddings=embeddings_VC.data_ptr(),
            embeds_bfloat16=int(embeddings_VC.dtype == torch.bfloat16),
            norm=self._keep(cast(torch.Tensor, model.model.norm.weight)),
            head=self._pack([head]),
        )
        self._library.weft_trim()
        self._num_products = sum(
            weight.outputs * weight.inputs
            for layer in packed
            for weight in (layer.qkv, layer.out, layer.gate_up, layer.down)
        )

    def forward(self, batch: PackedBatch, kv: KVStore) -> torch.Tensor:
        """Logits [R, V] in float32, after writing the batch's keys and values into ``kv``."""
        num_tokens = len(batch.token_ids_T)
        logits_RV = torch.empty(len(batch.logit_rows_R), self._vocab_size)
        tables_RB = np.ascontiguousarray(batch.block_tables_SB)
        views = batch.views or own_pasts(batch)
        self._reach(int(max(batch.positions_T.max(), views.turns_N.max())) + 1)
        if self._memory is None or self._memory.store is not kv:
            self._memory = Memory(kv)
        memory = self._memory
        call = Batch(
            paging=paging_of(batch, views, tables_RB, kv.block_size),
            num_tokens=num_tokens,
            token_ids=batch.token_ids_T.ctypes.data,
            cos=self._cos_PD.data_ptr(),
            sin=self._sin_PD.data_ptr(),
            positions=batch.positions_T.ctypes.data,
            turns=None if batch.views is None else views.turns_N.ctypes.data,
            slots=batch.slots_T.ctypes.data,
            keys=memory.keys,
            values=memory.values,
            key_scales=memory.key_scales,
            value_scales=memory.value_scales,
            num_rows=len(batch.logit_rows_R),
            rows=batch.logit_rows_R.ctypes.data,
            logits=logits_RV.data_ptr(),
            scratch=self._room(num_tokens).data_ptr(),
        )
        is_small = num_tokens * self._num_products < SMALL_PRODUCTS
        self._library.weft_forward(
            byref(self._decoder),
            byref(call),
            memory.is_bfloat16,
            1 if is_small else torch.get_num_threads(),
        )
        return logits_RV

    def _pack_layer(self, layer: DecoderLayer, config: DecoderConfig, window: int | None) -> Layer:
        attention = cast(AttentionPart, layer.self_attn)
        mlp = cast(GatedPart, layer.mlp)
        parts = dict(layer.named_children())
        return Layer(
            attention_norm=self._keep(cast(torch.Tensor, parts["input_layernorm"].weight)),
            head_norm=self._keep_head_norm(attention, config),
            mlp_norm=self._keep(cast(torch.Tensor, parts["post_attention_layernorm"].weight)),
            qkv=self._pack([attention.q_proj, attention.k_proj, attention.v_proj]),
            out=self._pack([attention.o_proj]),
            gate_up=self._pack([mlp.gate_proj, mlp.up_proj]),
            down=self._pack([mlp.down_proj]),
            window=window or 0,
        )

    def _keep_head_norm(self, attention: AttentionPart, config: DecoderConfig) -> int | None:
        if not hasattr(attention, "q_norm"):
            return None
        query_D = cast(torch.Tensor, attention.q_norm.weight)
        key_D = cast(torch.Tensor, attention.k_norm.weight)
        heads = (config.num_attention_heads, config.num_key_value_heads)
        return self._keep(torch.cat((query_D.repeat(heads[0]), key_D.repeat(heads[1]))))

    def _pack(self, linears: Sequence[nn.Linear]) -> Weight:
        """One weight whose outputs are those of the given layers, side by side."""
        weight_OI = torch.cat([linear.weight.detach() for linear in linears]).contiguous()
        # torch types the attribute as always there.
        biases = [cast("torch.Tensor | None", linear.bias) for linear in linears]
        given = [bias.detach() for bias in biases if bias is not None]
        bias_O = torch.cat(given) if given else None
        weight = Weight(bias=None if bias_O is None else self._keep(bias_O))
        weight.outputs, weight.inputs = weight_OI.shape
        if self._form is None:
            panels = self._pack_floats(weight_OI)
            weight.kind = Kind.BFLOAT16 if panels.dtype == torch.bfloat16 else Kind.FLOAT32
        else:
            panels = lay_out(round_weight(weight_OI, self._form), self._form)
            weight.kind = self._form.kind
        weight.panels = panels.data_ptr()
        self._kept.append(panels)
        return weight

    def _pack_floats(self, weight_OI: torch.Tensor) -> torch.Tensor:
        outputs, inputs = weight_OI.shape
        size: int = self._library.weft_packed_size(outputs, inputs)
        panels = torch.empty(size, dtype=weight_OI.dtype)
        is_bfloat16 = int(weight_OI.dtype == torch.bfloat16)
        self._library.weft_pack(
            weight_OI.data_ptr(), outputs, inputs, is_bfloat16, panels.data_ptr()
        )
        return panels

    def _keep(self, values: torch.Tensor) -> int:
        """The address of the values as float32, valid as long as this decoder."""
        kept = values.detach().float().contiguous().clone()
        self._kept.append(kept)
        return kept.data_ptr()

    def _reach(self, num_positions: int) -> None:
        """Have the rotary angles of that many positions; they grow by doubling."""
        if len(self._cos_PD) >= num_positions:
            return
        num_positions = 1 << max(9, (num_positions - 1).bit_length())
        positions_1P = torch.arange(num_positions)[None]
        cos_1PD, sin_1PD = self._rotary(torch.empty(0, dtype=torch.float32), positions_1P)
        self._cos_PD = cos_1PD[0].contiguous()
        self._sin_PD = sin_1PD[0].contiguous()
        self._sin_PD[:, : self._sin_PD.shape[1] // 2].neg_()

    def _room(self, num_tokens: int) -> torch.Tensor:
        size: int = self._library.weft_scratch_size(byref(self._decoder), num_tokens)
        if self._scratch.numel() < size:
            self._scratch = torch.empty(size)
        return self._scratch
