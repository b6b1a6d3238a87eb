"""The decoder's forward pass with fewer, larger operations than transformers': for training only.

Shape suffixes: B documents, T tokens, D hidden size, H heads, E head size.
"""

import torch
from torch import Tensor
from torch.nn import functional
from transformers import Qwen3Config, Qwen3ForCausalLM
from transformers.models.qwen3.modeling_qwen3 import Qwen3DecoderLayer

Rotation = tuple[Tensor, Tensor]
"""Cosines, and sines whose first half is negated; both (1, T, 1, E)."""


class Trunk:
    """Computes the last hidden states of a model from its own weights; equal to its slow path."""

    def __init__(self, model: Qwen3ForCausalLM, *, is_compiled: bool = False) -> None:
        """With `is_compiled`, fuse what stands between the products: the first steps take a minute
        or two, all others are about a fifth shorter. Needs a C++ compiler."""
        self._model = model.model
        config: Qwen3Config = model.config
        self._eps = config.rms_norm_eps
        self._layer = torch.compile(decoder_layer, dynamic=True) if is_compiled else decoder_layer
        self._weights = [layer_weights(layer) for layer in self._model.layers]

    def __call__(self, ids_BT: Tensor) -> Tensor:
        """Return hidden states, (B, T, D); padding must stand on the right."""
        x_BTD = self._model.embed_tokens(ids_BT)
        rotation = self._rotation(x_BTD)
        for weights in self._weights:
            x_BTD = self._layer(x_BTD, weights, rotation, self._eps)
        return rms_norm(x_BTD, self._model.norm.weight, self._eps)

    def _rotation(self, x_BTD: Tensor) -> Rotation:
        positions_1T = torch.arange(x_BTD.shape[1], device=x_BTD.device)[None]
        cos_1TE, sin_1TE = self._model.rotary_emb(x_BTD, positions_1T)
        half = cos_1TE.shape[-1] // 2
        signed_sin_1TE = torch.cat((-sin_1TE[..., :half], sin_1TE[..., half:]), dim=-1)
        return cos_1TE[:, :, None], signed_sin_1TE[:, :, None]


def layer_weights(layer: torch.nn.Module) -> dict[str, Tensor]:
    assert isinstance(layer, Qwen3DecoderLayer)
    return {name.removesuffix(".weight"): value for name, value in layer.named_parameters()}


def decoder_layer(
    x_BTD: Tensor, weights: dict[str, Tensor], rotation: Rotation, eps: float
) -> Tensor:
    """Attend, then apply the gated MLP, each with its residual."""
    y_BTD = rms_norm(x_BTD, weights["input_layernorm"], eps)
    x_BTD = x_BTD + attend(y_BTD, weights, rotation, eps)
    y_BTD = rms_norm(x_BTD, weights["post_attention_layernorm"], eps)
    gate_BTF = functional.silu(functional.linear(y_BTD, weights["mlp.gate_proj"]))
    up_BTF = functional.linear(y_BTD, weights["mlp.up_proj"])
    return x_BTD + functional.linear(gate_BTF * up_BTF, weights["mlp.down_proj"])


def attend(y_BTD: Tensor, weights: dict[str, Tensor], rotation: Rotation, eps: float) -> Tensor:
    """Causal attention with normalised, rotated queries and keys."""
    q_weight, k_weight = weights["self_attn.q_norm"], weights["self_attn.k_norm"]
    size = len(q_weight)

    def heads(name: str) -> Tensor:
        flat_BTX = functional.linear(y_BTD, weights[f"self_attn.{name}_proj"])
        return flat_BTX.view(*flat_BTX.shape[:2], -1, size)

    q_BTHE, k_BTHE, v_BTHE = heads("q"), heads("k"), heads("v")
    out_BHTE = functional.scaled_dot_product_attention(
        rotate(rms_norm(q_BTHE, q_weight, eps), rotation).transpose(1, 2),
        rotate(rms_norm(k_BTHE, k_weight, eps), rotation).transpose(1, 2),
        v_BTHE.transpose(1, 2),
        is_causal=True,
        enable_gqa=True,
    )
    return functional.linear(out_BHTE.transpose(1, 2).flatten(2), weights["self_attn.o_proj"])


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Divide by the root mean square over the last dimension, then scale."""
    return functional.rms_norm(x, weight.shape, weight, eps)


def rotate(x_BTHE: Tensor, rotation: Rotation) -> Tensor:
    """Rotate query or key heads by their positions."""
    cos, signed_sin = rotation
    swapped = x_BTHE.roll(x_BTHE.shape[-1] // 2, dims=-1)
    return torch.addcmul(x_BTHE * cos, swapped, signed_sin)
