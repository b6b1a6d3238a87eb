"""What weft touches of transformers' decoders, as types: theirs say little to a checker.

The protocols describe modules of the verified families; they are met by construction, so values
enter by ``cast`` at the place where a model is built or adopted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import torch
from torch import nn

from weft.runtime.engine.model.attends import Attends

__all__ = [
    "AttentionPart",
    "CausalDecoder",
    "Decoder",
    "DecoderConfig",
    "DecoderLayer",
    "DecoderOutput",
    "ExpertsPart",
    "GatedPart",
    "MixturePart",
]


class DecoderConfig(Protocol):
    """Attributes of the configs of verified families; the last four not in all of them."""

    model_type: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    rms_norm_eps: float
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    max_position_embeddings: int
    eos_token_id: int | list[int] | None
    rope_parameters: Mapping[str, object] | None
    layer_types: Sequence[str]
    sliding_window: int | None
    attn_logit_softcapping: float | None
    hidden_act: str


class AttentionPart(Protocol):
    """A layer's attention; ``q_norm`` and ``k_norm`` only with ``Family.has_head_norm``."""

    config: DecoderConfig
    layer_idx: int
    scaling: float
    q_proj: nn.Linear
    k_proj: nn.Linear
    v_proj: nn.Linear
    o_proj: nn.Linear
    q_norm: nn.Module
    k_norm: nn.Module


class GatedPart(Protocol):
    """A dense feed-forward layer."""

    gate_proj: nn.Linear
    up_proj: nn.Linear
    down_proj: nn.Linear

    def act_fn(self, x: torch.Tensor, /) -> torch.Tensor: ...


class ExpertsPart(Protocol):
    """The stacked experts of one layer: [E, 2I, C] and [E, C, I]."""

    gate_up_proj: torch.Tensor
    down_proj: torch.Tensor

    def act_fn(self, x: torch.Tensor, /) -> torch.Tensor: ...


class MixturePart(Protocol):
    """A feed-forward layer with routing."""

    experts: nn.Module


class DecoderLayer(Protocol):
    """One layer; its norms go by other names in other families."""

    self_attn: nn.Module
    mlp: nn.Module

    def named_children(self) -> Iterable[tuple[str, nn.Module]]: ...


class DecoderOutput(Protocol):
    """What a decoder returns."""

    last_hidden_state: torch.Tensor


class Decoder(Protocol):
    """The model below its head."""

    embed_tokens: nn.Embedding
    layers: Iterable[DecoderLayer]
    norm: nn.Module
    rotary_emb: nn.Module

    def __call__(
        self,
        *,
        input_ids: torch.Tensor,
        position_ids: torch.Tensor,
        use_cache: bool,
        paged_attention: Attends,
    ) -> DecoderOutput: ...


class CausalDecoder(Protocol):
    """The whole model. Attributes may be replaced by modules of the same meaning."""

    model: Decoder
    lm_head: nn.Module
