"""Random checkpoints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]

from tests.support.bench import TINY
from weft.runtime.bench.checkpoint import M197, MINI_LIKE, QWEN3_1B7, Shape, write_checkpoint
from weft.runtime.engine.tokenizer import ChatTokenizer

pytestmark = pytest.mark.slow


def test_the_same_seed_writes_the_same_weights_and_draws_from_no_one(tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    weights = [
        load_file(write_checkpoint(tmp_path / str(number), TINY, seed=seed) / "model.safetensors")
        for number, seed in enumerate((3, 3, 4))
    ]
    key = "model.embed_tokens.weight"
    assert torch.equal(weights[0][key], weights[1][key])
    assert not torch.equal(weights[0][key], weights[2][key])
    assert weights[0][key].dtype == torch.bfloat16
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_tokenizer_encodes_any_text(tmp_path: Path) -> None:
    tokenizer = ChatTokenizer.load(write_checkpoint(tmp_path, TINY, seed=0))
    text = "Grüße, 世界 <|im_end|>"
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert max(ids) < TINY.vocab_size
    assert json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))["vocab_size"] == 300


def num_parameters(shape: Shape) -> int:
    """By hand: tied embeddings, attention with norms of queries and keys, gated MLP, norms."""
    heads = shape.head_dim * shape.num_heads
    kv_heads = shape.head_dim * shape.num_kv_heads
    attention = shape.hidden_size * (2 * heads + 2 * kv_heads) + 2 * shape.head_dim
    mlp = 3 * shape.hidden_size * shape.intermediate_size
    layer = attention + mlp + 2 * shape.hidden_size
    return shape.vocab_size * shape.hidden_size + shape.num_layers * layer + shape.hidden_size


def test_shapes_have_the_size_they_are_named_for(tmp_path: Path) -> None:
    weights = load_file(write_checkpoint(tmp_path, TINY, seed=0) / "model.safetensors")
    assert sum(tensor.numel() for tensor in weights.values()) == num_parameters(TINY)
    assert round(num_parameters(M197) / 1e6) == 197
    assert round(num_parameters(QWEN3_1B7) / 1e9, 1) == 1.7
    assert round(num_parameters(MINI_LIKE) / 1e6, 1) == 4.2
