"""The architectures whose logits are verified against transformers' own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, cast

from weft.errors import ModelLoadError
from weft.runtime.engine.model.foreign import DecoderConfig

__all__ = ["FAMILIES", "ExpertNames", "Family", "family_of"]

VERIFIED_ROPE = frozenset({"default", "linear", "dynamic", "llama3", "yarn"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertNames:
    """How a checkpoint names the tensors of a mixture of experts."""

    block: str
    """Module of the mixture within its layer; transformers calls it ``mlp``."""
    gate: str
    up: str
    down: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What the engine must know of one architecture beyond its config."""

    model_type: str
    class_name: str
    has_head_norm: bool = False
    """Query and key are normalised per head before the rotation."""
    has_offset_norm: bool = False
    """Norm weights are stored less 1, and the product is rounded late."""
    has_softcap: bool = False
    """Attention scores are bent by the config's attn_logit_softcapping."""
    windows: Literal["none", "all", "by_type"] = "none"
    """Which layers slide: none, all when the config has a window, or those of that layer type."""
    experts: ExpertNames | None = None

    @property
    def is_llama_kind(self) -> bool:
        """Layers of plain norms, rotary attention and one gated feed-forward part, no more."""
        return not (self.has_offset_norm or self.has_softcap or self.experts)

    def window(self, config: DecoderConfig, layer: int) -> int | None:
        """How many last tokens layer ``layer`` sees, own included; None: all."""
        if self.windows == "none":
            return None
        if self.windows == "by_type" and config.layer_types[layer] != "sliding_attention":
            return None
        return config.sliding_window

    def softcap(self, config: DecoderConfig) -> float | None:
        return config.attn_logit_softcapping if self.has_softcap else None

    def check(self, config: DecoderConfig) -> None:
        """Raises: ModelLoadError when the config asks for what was never verified."""
        unverified = {rope for rope in _rope_types(config) if rope not in VERIFIED_ROPE}
        if unverified:
            raise ModelLoadError(
                f"{self.model_type} checkpoint wants rotary scaling {sorted(unverified)!r}.",
                remedy=f"Verified are {', '.join(sorted(VERIFIED_ROPE))}.",
            )
        if getattr(config, "use_bidirectional_attention", None):
            raise ModelLoadError(
                f"{self.model_type} checkpoint has use_bidirectional_attention set.",
                remedy="Choose a causal decoder.",
            )
        if getattr(config, "quantization_config", None) is not None:
            raise ModelLoadError(
                f"{self.model_type} checkpoint is quantized.",
                remedy="Choose its float32, float16 or bfloat16 version.",
            )


def _rope_types(config: DecoderConfig) -> set[str]:
    rope = config.rope_parameters or {}
    by_layer_type = [
        cast(Mapping[str, object], value) for value in rope.values() if isinstance(value, Mapping)
    ]
    nested = by_layer_type or [rope]
    return {str(parameters.get("rope_type", "default")) for parameters in nested}


_QWEN_EXPERTS = ExpertNames(block="mlp", gate="gate_proj", up="up_proj", down="down_proj")
_MIXTRAL_EXPERTS = ExpertNames(block="block_sparse_moe", gate="w1", up="w3", down="w2")

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        family.model_type: family
        for family in (
            Family(model_type="gemma", class_name="GemmaForCausalLM", has_offset_norm=True),
            Family(
                model_type="gemma2",
                windows="by_type",
                class_name="Gemma2ForCausalLM",
                has_offset_norm=True,
                has_softcap=True,
            ),
            Family(
                model_type="gemma3_text",
                windows="by_type",
                class_name="Gemma3ForCausalLM",
                has_offset_norm=True,
                has_head_norm=True,
            ),
            Family(model_type="llama", class_name="LlamaForCausalLM"),
            Family(model_type="mistral", class_name="MistralForCausalLM", windows="all"),
            Family(
                model_type="mixtral",
                class_name="MixtralForCausalLM",
                windows="all",
                experts=_MIXTRAL_EXPERTS,
            ),
            Family(model_type="qwen2", class_name="Qwen2ForCausalLM", windows="by_type"),
            Family(
                model_type="qwen3",
                class_name="Qwen3ForCausalLM",
                windows="by_type",
                has_head_norm=True,
            ),
            Family(
                model_type="qwen3_moe",
                class_name="Qwen3MoeForCausalLM",
                windows="all",
                has_head_norm=True,
                experts=_QWEN_EXPERTS,
            ),
        )
    }
)


def family_of(model_type: object) -> Family:
    """Raises: ModelLoadError for an architecture that is not verified."""
    family = FAMILIES.get(model_type) if isinstance(model_type, str) else None
    if family is None:
        raise ModelLoadError(
            f"Model type {model_type!r} is not supported.",
            remedy=f"Supported are {', '.join(FAMILIES)}.",
        )
    return family
