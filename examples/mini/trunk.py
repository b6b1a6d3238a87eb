"""The decoder's forward pass with fewer, larger operations than transformers': for training only.

Shape suffixes: B documents, T tokens, D hidden size, F MLP size, H heads, E head size.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional
from transformers import Qwen3Config, Qwen3ForCausalLM
from transformers.models.qwen3.modeling_qwen3 import Qwen3DecoderLayer

from examples.mini.attention import Angles, Causal, Segmented
from examples.mini.documents import Views

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From normalised queries, keys and values, each (B, T, heads, E), to (B, T, H, E)."""


class Trunk:
    """Computes the last hidden states of a model from its own weights; equal to its slow path."""

    def __init__(self, model: Qwen3ForCausalLM, *, is_compiled: bool = False) -> None:
        """With `is_compiled`, fuse what stands between the products: the first steps take a minute
        or two, all others are about a fifth shorter. Needs a C++ compiler. Documents of several
        segments are not compiled."""
        self._model = model.model
        config: Qwen3Config = model.config
        self._eps = config.rms_norm_eps
        self._layer = torch.compile(decoder_layer, dynamic=True) if is_compiled else decoder_layer
        self._weights = [layer_weights(layer) for layer in self._model.layers]

    def __call__(self, ids_BT: Tensor, views: Views | None = None) -> Tensor:
        """Return hidden states, (B, T, D); padding must stand on the right, of every segment where
        `views` say that there are several."""
        x_BTD = self._model.embed_tokens(ids_BT)

        def angles(positions_XT: Tensor) -> tuple[Tensor, Tensor]:
            cos, sin = self._model.rotary_emb(x_BTD, positions_XT)
            return cos, sin

        layer = self._layer if views is None else decoder_layer
        attention = attention_of(angles, x_BTD, views)
        for weights in self._weights:
            x_BTD = layer(x_BTD, weights, attention, self._eps)
        return rms_norm(x_BTD, self._model.norm.weight, self._eps)


def attention_of(angles: Angles, x_BTD: Tensor, views: Views | None) -> Attention:
    """Choose how tokens see each other."""
    if views is None:
        return Causal(angles, x_BTD.shape[1], x_BTD.device)
    return Segmented(angles, views)


def layer_weights(layer: torch.nn.Module) -> dict[str, Tensor]:
    assert isinstance(layer, Qwen3DecoderLayer)
    return {name.removesuffix(".weight"): value for name, value in layer.named_parameters()}


def decoder_layer(
    x_BTD: Tensor, weights: dict[str, Tensor], attention: Attention, eps: float
) -> Tensor:
    """Attend, then apply the gated MLP, each with its residual."""
    y_BTD = rms_norm(x_BTD, weights["input_layernorm"], eps)
    x_BTD = x_BTD + attend(y_BTD, weights, attention, eps)
    y_BTD = rms_norm(x_BTD, weights["post_attention_layernorm"], eps)
    gate_BTF = functional.silu(functional.linear(y_BTD, weights["mlp.gate_proj"]))
    up_BTF = functional.linear(y_BTD, weights["mlp.up_proj"])
    return x_BTD + functional.linear(gate_BTF * up_BTF, weights["mlp.down_proj"])


def attend(y_BTD: Tensor, weights: dict[str, Tensor], attention: Attention, eps: float) -> Tensor:
    """Project to heads, normalise queries and keys, attend and project back."""
    q_weight, k_weight = weights["self_attn.q_norm"], weights["self_attn.k_norm"]
    size = len(q_weight)

    def heads(name: str) -> Tensor:
        flat_BTX = functional.linear(y_BTD, weights[f"self_attn.{name}_proj"])
        return flat_BTX.view(*flat_BTX.shape[:2], -1, size)

    q_BTHE, k_BTHE = rms_norm(heads("q"), q_weight, eps), rms_norm(heads("k"), k_weight, eps)
    out_BTHE = attention(q_BTHE, k_BTHE, heads("v"))
    return functional.linear(out_BTHE.flatten(2), weights["self_attn.o_proj"])


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Divide by the root mean square over the last dimension, then scale."""
    return functional.rms_norm(x, weight.shape, weight, eps)
