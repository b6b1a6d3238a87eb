"""A checkpoint made larger without a change of what it computes.

Everything a network has is repeated and whatever reads the repetitions divides by their number,
as in Net2Net (Chen et al., 2016). Repeated values leave the mean of their squares alone, so norms
need no change, and with powers of two every weight stays exact in bfloat16. Layers beyond the
network's own compute on random weights and add zero. Computed in float32, a widened model writes
what the narrow one does, token by token.

Shapes: C model width, H query heads, K key-value heads, G queries of one of these, D head
dimension, I feed-forward width, V vocabulary.
"""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from weft.errors import InvalidRequest
from weft.runtime.bench.checkpoint import Shape

__all__ = ["widen"]

WEIGHTS, CONFIG, HELDOUT = "model.safetensors", "config.json", "heldout"
NOISE = 0.02
"""Standard deviation of the weights whose results are thrown away."""
MODEL_TYPE = "qwen3"


class _Times(NamedTuple):
    """How often each part is repeated."""

    width: int
    kv_heads: int
    queries: int
    """Queries of one key-value head."""
    mlp: int


def widen(source: Path, folder: Path, shape: Shape, *, seed: int) -> Path:
    """Write the checkpoint in ``source`` into ``folder`` in ``shape`` and return the folder: the
    same function of tokens, from as many weights as the shape has. Vocabulary, context, dtype,
    tokenizer and held-out problems stay the source's; ``seed`` decides the weights whose results
    are thrown away.

    Raises InvalidRequest unless the source is a Qwen3 with tied embeddings in one file, with
    heads of the same dimension, whose every part fits a power of two times into the shape.
    """
    config: dict[str, Any] = json.loads((source / CONFIG).read_text(encoding="utf-8"))
    times = _times(config, shape)
    num_layers = int(config["num_hidden_layers"])
    library: Any = importlib.import_module("safetensors.torch")
    torch: Any = importlib.import_module("torch")
    weights: dict[str, Any] = library.load_file(source / WEIGHTS)
    wide = {name: _widened(name, weight, config, times) for name, weight in weights.items()}
    draw = torch.Generator().manual_seed(seed)
    for number in range(num_layers, shape.num_layers):
        wide.update(dict(_idle_layer(wide, number, draw)))
    folder.mkdir(parents=True)
    for file in source.glob("*.json"):
        shutil.copy(file, folder)
    if (source / HELDOUT).exists():
        shutil.copytree(source / HELDOUT, folder / HELDOUT)
    (folder / CONFIG).write_text(json.dumps(_config(config, shape)), encoding="utf-8")
    stored = {name: weight.contiguous() for name, weight in wide.items()}
    library.save_file(stored, folder / WEIGHTS, metadata={"format": "pt"})
    return folder


def _times(config: Mapping[str, Any], shape: Shape) -> _Times:
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    queries, wanted_queries = heads // kv_heads, shape.num_heads // shape.num_kv_heads
    times = _Times(
        width=_ratio("hidden_size", shape.hidden_size, config["hidden_size"]),
        kv_heads=_ratio("num_key_value_heads", shape.num_kv_heads, kv_heads),
        queries=_ratio("queries per key-value head", wanted_queries, queries),
        mlp=_ratio("intermediate_size", shape.intermediate_size, config["intermediate_size"]),
    )
    fits = (
        config["model_type"] == MODEL_TYPE
        and config["tie_word_embeddings"]
        and config["head_dim"] == shape.head_dim
        and config["num_hidden_layers"] <= shape.num_layers
    )
    if not fits:
        raise InvalidRequest(
            f"A {config['model_type']!r} of {config['num_hidden_layers']} layers, heads of "
            f"{config['head_dim']}, does not widen to {shape!r}.",
            remedy="Widen a Qwen3 with tied embeddings to as many layers and heads as large.",
        )
    return times


def _ratio(what: str, wide: int, narrow: int) -> int:
    ratio = wide // narrow
    if wide % narrow or ratio & (ratio - 1):
        raise InvalidRequest(
            f"{what} is {wide!r}, not a power of two times {narrow!r}.",
            remedy="Choose a shape in which every repetition is exact.",
        )
    return ratio


def _config(config: Mapping[str, Any], shape: Shape) -> dict[str, Any]:
    return {
        **config,
        "hidden_size": shape.hidden_size,
        "num_hidden_layers": shape.num_layers,
        "num_attention_heads": shape.num_heads,
        "num_key_value_heads": shape.num_kv_heads,
        "intermediate_size": shape.intermediate_size,
        "layer_types": [config["layer_types"][0]] * shape.num_layers,
    }


def _widened(name: str, weight: Any, config: Mapping[str, Any], times: _Times) -> Any:
    """One weight; which part it is, its name says."""
    part = name.split(".")[-2]
    heads = (config["num_key_value_heads"], -1, config["head_dim"])
    if part in ("q_norm", "k_norm"):
        return weight
    if part == "norm":
        # The embeddings read what it gives, and they are the head too: they cannot divide.
        return weight.repeat(times.width) / times.width
    if part in ("input_layernorm", "post_attention_layernorm"):
        return weight.repeat(times.width)
    if part == "embed_tokens":
        return weight.repeat(1, times.width)
    if part == "down_proj":
        return weight.repeat(times.width, times.mlp) / times.mlp
    if part == "o_proj":
        repeated = _repeat_heads(weight.T, heads, times).T / (times.kv_heads * times.queries)
        return repeated.repeat(times.width, 1)
    read = weight.repeat(1, times.width) / times.width
    if part in ("gate_proj", "up_proj"):
        return read.repeat(times.mlp, 1)
    return _repeat_heads(read, heads, times if part == "q_proj" else times._replace(queries=1))


def _repeat_heads(weight: Any, heads: tuple[int, int, int], times: _Times) -> Any:
    """[K * G * D, X], or without G, with heads repeated so that each query keeps its keys."""
    weight_KGDX = weight.reshape(*heads, weight.shape[1])
    return weight_KGDX.repeat(times.kv_heads, times.queries, 1, 1).flatten(0, 2)


def _idle_layer(wide: Mapping[str, Any], number: int, draw: Any) -> Iterator[tuple[str, Any]]:
    """A layer like the first, random but for what it adds, which is zero."""
    for name, weight in wide.items():
        if not name.startswith("model.layers.0."):
            continue
        part = name.split(".")[-2]
        own = weight.new_zeros(weight.shape)
        if part.endswith("norm"):
            own.fill_(1)
        elif part not in ("o_proj", "down_proj"):
            own.normal_(std=NOISE, generator=draw)
        yield name.replace(".0.", f".{number}.", 1), own
