"""The decoder's forward pass with fewer, larger operations than transformers': for training only.

Shape suffixes: B documents, T tokens, D hidden size, H heads, E head size.
"""

import torch
from torch import Tensor
from torch.nn import functional
from transformers import Qwen3Config, Qwen3ForCausalLM
from transformers.models.qwen3.modeling_qwen3 import Qwen3DecoderLayer


class Trunk:
    """Computes the last hidden states of a model from its own weights; equal to its slow path."""

    def __init__(self, model: Qwen3ForCausalLM) -> None:
        self._model = model.model
        self._config: Qwen3Config = model.config

    def __call__(self, ids_BT: Tensor) -> Tensor:
        """Return hidden states, (B, T, D); padding must stand on the right."""
        x_BTD = self._model.embed_tokens(ids_BT)
        positions_1T = torch.arange(ids_BT.shape[1], device=ids_BT.device)[None]
        cos_1TE, sin_1TE = self._model.rotary_emb(x_BTD, positions_1T)
        half = cos_1TE.shape[-1] // 2
        signed_sin_1TE = torch.cat((-sin_1TE[..., :half], sin_1TE[..., half:]), dim=-1)
        rotation = (cos_1TE[:, :, None], signed_sin_1TE[:, :, None])
        for layer in self._model.layers:
            assert isinstance(layer, Qwen3DecoderLayer)
            x_BTD = x_BTD + self._attend(layer, self._norm(x_BTD, layer.input_layernorm), rotation)
            y_BTD = self._norm(x_BTD, layer.post_attention_layernorm)
            x_BTD = x_BTD + layer.mlp(y_BTD)
        return self._norm(x_BTD, self._model.norm)

    def _norm(self, x: Tensor, norm: torch.nn.Module) -> Tensor:
        weight = norm.get_parameter("weight")
        return functional.rms_norm(x, weight.shape, weight, self._config.rms_norm_eps)

    def _attend(
        self, layer: Qwen3DecoderLayer, x_BTD: Tensor, rotation: tuple[Tensor, Tensor]
    ) -> Tensor:
        attention, size = layer.self_attn, layer.self_attn.head_dim
        q_BTHE = attention.q_proj(x_BTD).unflatten(-1, (-1, size))
        k_BTHE = attention.k_proj(x_BTD).unflatten(-1, (-1, size))
        v_BTHE = attention.v_proj(x_BTD).unflatten(-1, (-1, size))
        q_BTHE = rotate(self._norm(q_BTHE, attention.q_norm), rotation)
        k_BTHE = rotate(self._norm(k_BTHE, attention.k_norm), rotation)
        out_BHTE = functional.scaled_dot_product_attention(
            q_BTHE.transpose(1, 2),
            k_BTHE.transpose(1, 2),
            v_BTHE.transpose(1, 2),
            is_causal=True,
            enable_gqa=True,
        )
        out_BTD: Tensor = attention.o_proj(out_BHTE.transpose(1, 2).flatten(2))
        return out_BTD


def rotate(x_BTHE: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate query or key heads by their positions."""
    cos, signed_sin = rotation
    swapped = x_BTHE.roll(x_BTHE.shape[-1] // 2, dims=-1)
    return torch.addcmul(x_BTHE * cos, swapped, signed_sin)
