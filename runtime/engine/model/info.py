"""What a checkpoint is, for people and for the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from weft.cache.kv_store import KVShape
from weft.runtime.engine.model.families import Family
from weft.runtime.engine.model.foreign import DecoderConfig

__all__ = ["ModelInfo", "describe", "head_dim_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """The facts of one checkpoint."""

    model_type: str
    architecture: str
    num_parameters: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    hidden_size: int
    vocab_size: int
    max_context: int
    """Most positions the rotary embedding was made for. With dynamic scaling this is the
    unscaled range: beyond it, keys would depend on when they were computed."""
    windows: tuple[int | None, ...]
    """By layer: how many last tokens it sees; None: all."""
    dtype: str
    """Of most weights as stored: ``float32``, ``bfloat16`` or ``float16``."""
    eos_ids: tuple[int, ...]
    """Tokens that end a sequence, from the generation config first, else from the config."""
    generation_defaults: Mapping[str, float | int | bool] = field(default_factory=dict[str, float])
    """Sampling values the checkpoint recommends, by transformers' names."""

    @property
    def kv_shape(self) -> KVShape:
        """What one layer keeps of one token."""
        return KVShape(num_kv_heads=self.num_kv_heads, head_dim=self.head_dim)


def describe(
    config: DecoderConfig,
    family: Family,
    *,
    num_parameters: int,
    dtype: str,
    generation: Mapping[str, object],
) -> ModelInfo:
    """``generation``: the content of generation_config.json, empty when there is none."""
    return ModelInfo(
        model_type=family.model_type,
        architecture=family.class_name,
        num_parameters=num_parameters,
        num_layers=config.num_hidden_layers,
        num_heads=config.num_attention_heads,
        num_kv_heads=config.num_key_value_heads,
        head_dim=head_dim_of(config),
        hidden_size=config.hidden_size,
        vocab_size=config.vocab_size,
        max_context=config.max_position_embeddings,
        windows=tuple(family.window(config, layer) for layer in range(config.num_hidden_layers)),
        dtype=dtype,
        eos_ids=_token_ids(generation.get("eos_token_id", config.eos_token_id)),
        generation_defaults=_sampling(generation),
    )


def head_dim_of(config: DecoderConfig) -> int:
    """Width of one attention head."""
    head_dim: int | None = getattr(config, "head_dim", None)
    return head_dim or config.hidden_size // config.num_attention_heads


def _token_ids(value: object) -> tuple[int, ...]:
    if isinstance(value, int):
        return (value,)
    if isinstance(value, list):
        return tuple(token for token in cast(list[object], value) if isinstance(token, int))
    return ()


def _sampling(generation: Mapping[str, object]) -> dict[str, float | int | bool]:
    names = ("do_sample", "temperature", "top_k", "top_p", "min_p", "repetition_penalty")
    values = {name: generation.get(name) for name in names}
    return {name: value for name, value in values.items() if isinstance(value, int | float)}
