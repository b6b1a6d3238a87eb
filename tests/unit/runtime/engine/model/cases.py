"""Tiny random models of every verified family, and packing of their tokens into batches."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from weft.cache.kv_store import KVStore
from weft.runtime.engine.batch import PackedBatch
from weft.runtime.engine.config import KVDTypeName
from weft.runtime.engine.model import ComputePath, ModelRunner

VOCAB = 97
WINDOW = 7

SIZES: Mapping[str, object] = {
    "vocab_size": VOCAB,
    "hidden_size": 64,
    "intermediate_size": 112,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
ALTERNATING = ["sliding_attention", "full_attention", "sliding_attention"]


LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
YARN_ROPE = {
    "rope_type": "yarn",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 16,
}

LINEAR_ROPE = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.5}
DYNAMIC_ROPE = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}

_CONFIGS: Mapping[str, tuple[str, dict[str, object]]] = {
    "llama": ("llama", {"attention_bias": True, "tie_word_embeddings": True}),
    "llama-linear": (
        "llama",
        {"rope_parameters": LINEAR_ROPE},
    ),
    "llama-dynamic": (
        "llama",
        {"rope_parameters": DYNAMIC_ROPE},
    ),
    "llama-yarn": ("llama", {"rope_parameters": YARN_ROPE}),
    "llama-llama3": ("llama", {"rope_parameters": LLAMA3_ROPE}),
    "qwen2": ("qwen2", {}),
    "qwen2-sliding": (
        "qwen2",
        {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    ),
    "qwen3": ("qwen3", {"head_dim": 24}),
    "qwen3-wide": ("qwen3", {"head_dim": 32}),
    "mistral": ("mistral", {"head_dim": 24, "sliding_window": None}),
    "mistral-sliding": ("mistral", {"sliding_window": WINDOW}),
    "mixtral": ("mixtral", {"num_local_experts": 4}),
    "gemma": ("gemma", {"head_dim": 24}),
    "gemma2": ("gemma2", {"head_dim": 24, "sliding_window": WINDOW, "query_pre_attn_scalar": 20}),
    "gemma3": (
        "gemma3_text",
        {"head_dim": 24, "sliding_window": WINDOW, "layer_types": ALTERNATING},
    ),
    "qwen3_moe": (
        "qwen3_moe",
        {
            "head_dim": 16,
            "num_experts": 6,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 40,
            "norm_topk_prob": True,
            "mlp_only_layers": [1],
        },
    ),
}
CASES = tuple(_CONFIGS)
NATIVE_CASES = (
    "llama",
    "llama-linear",
    "llama-yarn",
    "llama-llama3",
    "qwen2",
    "qwen2-sliding",
    "qwen3-wide",
    "mistral-sliding",
)
"""Those that the engine's own kernels compute; the others have a reason not to."""
WAYS: list[tuple[str, ComputePath]] = [
    *((case, "fused") for case in CASES),
    *((case, "native") for case in NATIVE_CASES),
]


def config_of(case: str, **changes: object) -> PreTrainedConfig:
    """The tiny configuration of a case, with some values changed."""
    model_type, values = _CONFIGS[case]
    create = AutoConfig.for_model  # pyright: ignore
    return create(model_type, **{**SIZES, **values, **changes})


def random_model(config: PreTrainedConfig, seed: int) -> PreTrainedModel:
    """Weights large enough that a wrong key, mask or scale moves the logits by far more than
    any tolerance."""
    generator = torch.Generator().manual_seed(seed)
    model = cast(
        PreTrainedModel,
        AutoModelForCausalLM.from_config(config, attn_implementation="eager"),
    )
    for parameter in model.parameters():
        scale = 0.3 if parameter.ndim == 1 else 1.5 / parameter.shape[-1] ** 0.5
        parameter.data = torch.randn(parameter.shape, generator=generator) * scale
    model.train(False)
    return model


def runner_of(
    model: PreTrainedModel,
    *,
    deterministic: bool = False,
    path: ComputePath | None = None,
    kv_dtype: KVDTypeName = "auto",
) -> ModelRunner:
    """A runner over a copy: the model itself stays transformers' own."""
    return ModelRunner.load(
        copy.deepcopy(model), deterministic=deterministic, path=path, kv_dtype=kv_dtype
    )


def distance(got: torch.Tensor, wanted: torch.Tensor) -> float:
    """Relative to what was wanted."""
    return math.sqrt(float((got - wanted).square().sum() / wanted.square().sum()))


def reference_logits(model: PreTrainedModel, tokens: Iterable[int]) -> torch.Tensor:
    """[T, V]: transformers' own forward over the whole sequence."""
    with torch.inference_mode():
        return cast(torch.Tensor, model(torch.tensor([list(tokens)])).logits[0])


@dataclass
class Packer:
    """Sequences with scattered blocks, packed piece by piece."""

    runner: ModelRunner
    sequences: list[npt.NDArray[np.int64]]
    rng: np.random.Generator
    block_size: int = 4
    kv: KVStore = field(init=False)
    tables: npt.NDArray[np.int32] = field(init=False)

    def __post_init__(self) -> None:
        width = max(-(-len(tokens) // self.block_size) for tokens in self.sequences)
        num_blocks = 1 + width * len(self.sequences)
        blocks = 1 + self.rng.permutation(num_blocks - 1)
        self.tables = blocks.reshape(len(self.sequences), width).astype(np.int32)
        runner = self.runner
        self.kv = KVStore(
            num_blocks, self.block_size, runner.layers, runner.kv_dtype, runner.device
        )

    def pack(self, pieces: Mapping[int, tuple[int, int]]) -> PackedBatch:
        """Tokens start … stop of some sequences, logits wanted of all."""
        positions = [np.arange(start, stop) for start, stop in pieces.values()]
        slots = [
            self.tables[sequence][place // self.block_size].astype(np.int64) * self.block_size
            + place % self.block_size
            for sequence, place in zip(pieces, positions, strict=True)
        ]
        tokens = [self.sequences[s][start:stop] for s, (start, stop) in pieces.items()]
        ends = [stop for _, stop in pieces.values()]
        used = max(-(-stop // self.block_size) for stop in ends)
        lens = [len(place) for place in positions]
        return PackedBatch(
            token_ids_T=np.concatenate(tokens),
            positions_T=np.concatenate(positions),
            slots_T=np.concatenate(slots),
            query_lens_S=np.array(lens, np.int32),
            context_lens_S=np.array(ends, np.int32),
            block_tables_SB=self.tables[list(pieces)][:, :used],
            logit_rows_R=np.arange(sum(lens)),
        )

    def run(self, ticks: Iterable[Mapping[int, tuple[int, int]]]) -> list[torch.Tensor]:
        """Logits [T, V] of every sequence, put together from the ticks."""
        out = [torch.full((len(t), VOCAB), torch.nan) for t in self.sequences]
        for pieces in ticks:
            logits = self.runner.forward(self.pack(pieces), self.kv).cpu()
            row = 0
            for sequence, (start, stop) in pieces.items():
                out[sequence][start:stop] = logits[row : row + stop - start]
                row += stop - start
        return out


def random_sequences(rng: np.random.Generator, lens: Iterable[int]) -> list[npt.NDArray[np.int64]]:
    return [rng.integers(0, VOCAB, length) for length in lens]


def random_ticks(rng: np.random.Generator, lens: list[int]) -> list[dict[int, tuple[int, int]]]:
    """A random schedule that feeds every sequence to its end: chunks and decodes mixed, in any
    order, sequences joining and pausing."""
    done = [0] * len(lens)
    ticks: list[dict[int, tuple[int, int]]] = []
    while any(place < length for place, length in zip(done, lens, strict=True)):
        pieces: dict[int, tuple[int, int]] = {}
        for sequence in map(int, rng.permutation(len(lens))):
            left = lens[sequence] - done[sequence]
            if left and rng.random() < 0.7:
                size = int(rng.integers(1, 12)) if rng.random() < 0.5 else 1
                stop = done[sequence] + min(size, left)
                pieces[sequence] = (done[sequence], stop)
                done[sequence] = stop
        if pieces:
            ticks.append(pieces)
    return ticks


def with_and_without_prefix(
    runner: ModelRunner, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of the same last 9 tokens: after a prefix that another sequence has computed, and
    after computing it."""
    [tokens] = random_sequences(rng, [30])
    other = np.concatenate([tokens[:16], random_sequences(rng, [9])[0]])
    computed = Packer(runner, [tokens, other], rng).run([{1: (0, 25)}])[1]
    shared = Packer(runner, [tokens, other], rng)
    shared.run([{0: (0, 30)}])
    shared.tables[1][:4] = shared.tables[0][:4]
    found = shared.run([{1: (16, 25)}])[1]
    return found[16:], computed[16:]
