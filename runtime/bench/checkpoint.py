"""Random checkpoints: models of a given shape, with a tokenizer, made on the spot."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

__all__ = ["M197", "MINI_LIKE", "QWEN3_1B7", "Shape", "write_checkpoint"]

SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A Qwen3 with tied embeddings and random weights."""

    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    intermediate_size: int
    vocab_size: int = 4096
    max_context: int = 4096
    dtype: Literal["float32", "bfloat16"] = "bfloat16"


MINI_LIKE = Shape(
    hidden_size=256,
    num_layers=4,
    num_heads=4,
    num_kv_heads=2,
    head_dim=64,
    intermediate_size=768,
)
"""4.2M parameters, the shape of the bundled model."""

M197 = Shape(
    hidden_size=1024,
    num_layers=16,
    num_heads=16,
    num_kv_heads=4,
    head_dim=64,
    intermediate_size=3072,
)
"""197M parameters."""

QWEN3_1B7 = Shape(
    hidden_size=2048,
    num_layers=28,
    num_heads=16,
    num_kv_heads=8,
    head_dim=128,
    intermediate_size=6144,
    vocab_size=151_936,
)
"""1.7B parameters, the shape of Qwen3 1.7B."""


def write_checkpoint(folder: Path, shape: Shape, *, seed: int) -> Path:
    """Write ``shape`` with weights drawn from ``seed`` into ``folder`` and return it.

    Draws from torch's global generator, restored afterwards.
    """
    # By name: an extra that takes seconds to import, and whose signatures are half typed.
    torch: Any = importlib.import_module("torch")
    transformers: Any = importlib.import_module("transformers")
    config = transformers.Qwen3Config(
        vocab_size=shape.vocab_size,
        hidden_size=shape.hidden_size,
        num_hidden_layers=shape.num_layers,
        num_attention_heads=shape.num_heads,
        num_key_value_heads=shape.num_kv_heads,
        head_dim=shape.head_dim,
        intermediate_size=shape.intermediate_size,
        max_position_embeddings=shape.max_context,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=2,
        pad_token_id=0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = transformers.Qwen3ForCausalLM(config)
    model.to(getattr(torch, shape.dtype)).save_pretrained(folder)
    _write_tokenizer(folder)
    return folder


def _write_tokenizer(folder: Path) -> None:
    """One token per byte and the ChatML control tokens: enough to encode and render any text."""
    library: Any = importlib.import_module("tokenizers")
    transformers: Any = importlib.import_module("transformers")
    byte_level = library.pre_tokenizers.ByteLevel
    symbols = [*SPECIAL_TOKENS, *sorted(byte_level.alphabet())]
    vocab = {symbol: index for index, symbol in enumerate(symbols)}
    tokenizer = library.Tokenizer(library.models.BPE(vocab, []))
    tokenizer.pre_tokenizer = byte_level(add_prefix_space=False)
    tokenizer.decoder = library.decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=SPECIAL_TOKENS[2],
        pad_token=SPECIAL_TOKENS[0],
        chat_template=CHAT_TEMPLATE,
    ).save_pretrained(folder)
