"""One loaded model: what it is, where it computes, and its forward pass.

Shapes: T packed tokens, R wanted rows of logits, V vocabulary.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, cast

import torch
from transformers import PreTrainedModel

from weft.cache.kv_store import KVShape, KVStore
from weft.errors import UnsupportedFeature
from weft.runtime.engine.batch import PackedBatch
from weft.runtime.engine.config import DeviceName, DTypeName, KVDTypeName, WeightsName
from weft.runtime.engine.cuda import CudaCapture, HeadShape, KernelPath, open_kernels
from weft.runtime.engine.model.checkpoint import open_checkpoint
from weft.runtime.engine.model.families import Family, family_of
from weft.runtime.engine.model.foreign import CausalDecoder, DecoderConfig
from weft.runtime.engine.model.info import ModelInfo, describe
from weft.runtime.engine.model.loading import load_weights, move
from weft.runtime.engine.model.native import NativeDecoder, has_fast_bfloat16, why_not_native
from weft.runtime.engine.model.placement import (
    choose_device,
    choose_dtype,
    choose_kv_dtype,
    wants_int8,
)
from weft.runtime.engine.model.torch_decoder import TorchDecoder
from weft.runtime.engine.native import KernelsMissing, load_kernels

__all__ = ["ComputePath", "ModelRunner"]

log = logging.getLogger(__name__)

ComputePath: TypeAlias = Literal["native", "fused", "plain"]
"""The engine's own kernels; torch with fused modules; transformers' own modules."""


class _Decoder(Protocol):
    def forward(self, batch: PackedBatch, kv: KVStore) -> torch.Tensor: ...


class ModelRunner:
    """One model on one device. Not thread-safe: one forward at a time.

    ``forward`` writes the KVStore it is given, which must have this runner's ``layers``,
    ``kv_dtype`` and ``device``.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        info: ModelInfo,
        *,
        dtype: torch.dtype | None = None,
        is_deterministic: bool = False,
        path: ComputePath | None = None,
        weights: WeightsName = "stored",
        kv_dtype: KVDTypeName = "auto",
    ) -> None:
        """Takes the model over and changes it.

        ``dtype``: of what is computed, the weights' own unless given; only the native path takes
        weights of another. ``path``: the fastest there is, unless given. ``weights`` and
        ``kv_dtype``: see ``load``.

        Raises: ModelLoadError when the architecture is not verified; UnsupportedFeature when
        the machine's kernels cannot give the same bits in any place of a batch, or when nothing
        here computes with such weights or such a KV memory.
        """
        config = cast(DecoderConfig, model.config)
        family = family_of(config.model_type)
        family.check(config)
        self.dtype = dtype or model.dtype
        self.device = model.device
        self.info = info
        self.kv_dtype = choose_kv_dtype(kv_dtype, self.dtype)
        int8_parts = _int8_parts(weights, kv_dtype)
        self.path = path or best_path(config, family, self.device, int8_parts)
        self.is_deterministic = is_deterministic or self.path == "native"
        self._decoder: _Decoder
        if self.path == "native":
            self._decoder = NativeDecoder(
                cast(CausalDecoder, model),
                config,
                family,
                dtype=self.dtype,
                is_int8=wants_int8(weights),
            )
        elif int8_parts:
            raise _no_int8(int8_parts, f"its path is {self.path!r}")
        else:
            self._decoder = TorchDecoder(
                model,
                info,
                family,
                is_deterministic=is_deterministic,
                is_fused=self.path == "fused",
                kernels=_device_kernels(
                    _heads(config, info), self.dtype, self.device, is_deterministic=is_deterministic
                ),
                capture=CudaCapture() if self.device.type == "cuda" else None,
            )

    @classmethod
    def load(
        cls,
        source: str | Path | PreTrainedModel,
        *,
        dtype: DTypeName = "auto",
        device: DeviceName = "auto",
        num_threads: int | None = None,
        deterministic: bool = False,
        revision: str | None = None,
        path: ComputePath | None = None,
        weights: WeightsName = "stored",
        kv_dtype: KVDTypeName = "auto",
    ) -> ModelRunner:
        """Load ``mini``, a folder or a hub id, or take over a model that is already in memory.

        ``dtype``: see ``choose_dtype``; a model in memory keeps its own with ``auto``.
        ``num_threads`` sets torch's threads for the whole process.

        ``deterministic``: the logits of a token are bit-identical whatever shares its batch,
        however its prompt was cut, and whether its prefix was computed or found in the cache, on
        one machine with one number of threads. The native path is so by itself; the others then
        run in small tiles, at a price.

        ``weights``: as they are stored, or rounded to 8 bits as they are loaded, in blocks of 128
        inputs by the largest of each; every row they multiply is then rounded likewise. It is less
        memory and more speed for slightly other logits.

        ``kv_dtype``: of the KV memory, that of what is computed unless it is ``int8``: then every
        key and value is rounded to 8 bits, each of a token and head by its own largest number.

        Raises: ModelLoadError; UnsupportedFeature when this machine cannot be deterministic, or
        the model or the machine is not one that the kernels for 8 bits serve.
        """
        if num_threads is not None:
            torch.set_num_threads(num_threads)
        place = choose_device(device)
        compute = None
        if isinstance(source, PreTrainedModel):
            model, info = _adopt(source, dtype, place)
        else:
            checkpoint = open_checkpoint(source, revision=revision)
            info = checkpoint.info
            compute = choose_dtype(dtype, info.dtype, place)
            config = cast(DecoderConfig, checkpoint.config)
            int8_parts = _int8_parts(weights, kv_dtype)
            path = path or best_path(config, checkpoint.family, place, int8_parts)
            # The kernels take bfloat16 as it is, whatever they compute in.
            is_narrow = path == "native" and info.dtype == "bfloat16"
            if is_narrow and dtype == "auto" and has_fast_bfloat16():
                compute = torch.bfloat16
            model = load_weights(checkpoint, torch.bfloat16 if is_narrow else compute, place)
        return cls(
            model,
            info,
            dtype=compute,
            is_deterministic=deterministic,
            path=path,
            weights=weights,
            kv_dtype=kv_dtype,
        )

    @property
    def layers(self) -> list[KVShape]:
        """What the KV memory must hold, by layer."""
        return [self.info.kv_shape] * self.info.num_layers

    @property
    def vocab_size(self) -> int:
        """V: tokens 0 … V - 1 may be fed, and have logits."""
        return self.info.vocab_size

    @property
    def max_context(self) -> int:
        """Positions 0 … ``max_context`` - 1 may be fed."""
        return self.info.max_context

    @property
    def sees_branches(self) -> bool:
        """A batch may have ``views``."""
        return self.path == "native"

    def forward(self, batch: PackedBatch, kv: KVStore) -> torch.Tensor:
        """Logits [R, V] in float32 on the runner's device, after writing the batch's keys and
        values into ``kv``. Blocks until computed on the CPU, not on CUDA."""
        with torch.inference_mode():
            return self._decoder.forward(batch, kv)


def best_path(
    config: DecoderConfig,
    family: Family,
    device: torch.device,
    int8_parts: str = "",
) -> ComputePath:
    """The fastest way to compute such a model here. Compiles the kernels at their first use.

    ``int8_parts``: what is wanted in 8 bits, which the kernels alone serve.

    Raises: UnsupportedFeature when nothing computes with such parts.
    """
    reason = why_not_native(config, family, device)
    if int8_parts and reason:
        raise _no_int8(int8_parts, reason)
    if reason:
        return "fused"
    try:
        load_kernels()
    except KernelsMissing as missing:
        if int8_parts:
            reason = f"weft's own kernels are missing, because {missing}"
            raise _no_int8(int8_parts, reason) from None
        log.warning(
            "weft's own kernels are not in use, because %s. Models run on torch alone, slower."
            " `weft doctor` says what to do.",
            missing,
        )
        return "fused"
    return "native"


def _int8_parts(weights: WeightsName, kv_dtype: KVDTypeName) -> str:
    """What is wanted in 8 bits, in words; empty when nothing is. Raises: ModelLoadError."""
    parts = {"weights='int8'": wants_int8(weights), "kv_dtype='int8'": kv_dtype == "int8"}
    return " and ".join(part for part, is_wanted in parts.items() if is_wanted)


def _heads(config: DecoderConfig, info: ModelInfo) -> HeadShape:
    return HeadShape(
        num_heads=config.num_attention_heads,
        num_kv_heads=info.kv_shape.num_kv_heads,
        head_dim=info.kv_shape.head_dim,
    )


def _device_kernels(
    heads: HeadShape, dtype: torch.dtype, device: torch.device, *, is_deterministic: bool
) -> KernelPath | None:
    """What computes attention on a GPU; None: torch's own operations do."""
    if device.type != "cuda":
        return None
    try:
        return open_kernels(heads, dtype, device, is_deterministic=is_deterministic)
    except KernelsMissing as missing:
        log.warning(
            "weft's kernels for CUDA are not in use, because %s. Attention runs on torch alone,"
            " slower. `weft doctor` says what to do.",
            missing,
        )
        return None


def _no_int8(parts: str, reason: str) -> UnsupportedFeature:
    return UnsupportedFeature(
        f"Nothing here computes this model with {parts}: {reason}.",
        remedy="Leave weights='stored' and kv_dtype='auto'.",
    )


def _adopt(
    model: PreTrainedModel, dtype: DTypeName, device: torch.device
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
