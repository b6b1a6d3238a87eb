"""Models with 8-bit weights: what they compute, that batches do not show, who is refused."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

from tests.support.tiny import build_checkpoint, build_tokenizer
from tests.unit.runtime.engine.model.cases import (
    NATIVE_CASES,
    Packer,
    config_of,
    distance,
    random_model,
    random_sequences,
    random_ticks,
    reference_logits,
    with_and_without_prefix,
)
from weft.errors import ModelLoadError, UnsupportedFeature
from weft.runtime.engine import EngineConfig, open_engine
from weft.runtime.engine.model import ModelRunner
from weft.runtime.engine.model import runner as runner_module
from weft.runtime.engine.model.quantise import INT8, round_weight
from weft.runtime.engine.native import KernelsMissing

LENS = [27, 5, 14]


def int8_runner(model: PreTrainedModel) -> ModelRunner:
    return ModelRunner.load(copy.deepcopy(model), device="cpu", weights="int8")


def rounded(model: PreTrainedModel) -> PreTrainedModel:
    """transformers' own model with every matrix, and every row it multiplies, put on 255 steps
    a block."""
    model = copy.deepcopy(model)
    for linear in model.modules():
        if isinstance(linear, nn.Linear):
            # A tied head is rounded, its embedding is not.
            linear.weight = nn.Parameter(round_weight(linear.weight.detach(), INT8).restore())
            linear.register_forward_pre_hook(_round_input)
    return model


def _round_input(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
    [x] = inputs
    return round_weight(x.flatten(0, -2), INT8).restore().view(x.shape)


@pytest.mark.parametrize("name", NATIVE_CASES)
def test_logits_are_those_of_rounded_matrices_and_rows(name: str) -> None:
    rng = np.random.default_rng(0)
    model = random_model(config_of(name), 0)
    runner = int8_runner(model)
    assert runner.path == "native" and runner.is_deterministic
    [tokens] = random_sequences(rng, [40])
    [got] = Packer(runner, [tokens], rng).run([{0: (0, 40)}])
    to_rounded = distance(got, reference_logits(rounded(model), tokens))
    to_exact = distance(got, reference_logits(model, tokens))
    # Not nearer: a value between two steps may go to either, by the rounding of one sum.
    assert to_rounded < 0.6 * to_exact
    assert to_exact < 0.1


@pytest.mark.parametrize("name", NATIVE_CASES)
def test_bits_do_not_depend_on_the_schedule(name: str) -> None:
    rng = np.random.default_rng(1)
    runner = int8_runner(random_model(config_of(name), 1))
    sequences = random_sequences(rng, LENS)
    alone = [Packer(runner, [tokens], rng).run([{0: (0, len(tokens))}])[0] for tokens in sequences]
    mixed = Packer(runner, sequences, rng).run(random_ticks(rng, LENS))
    assert all(torch.equal(*pair) for pair in zip(mixed, alone, strict=True))


def test_a_found_prefix_gives_the_bits_of_a_computed_one() -> None:
    rng = np.random.default_rng(2)
    runner = int8_runner(random_model(config_of("qwen3-wide"), 2))
    assert torch.equal(*with_and_without_prefix(runner, rng))


def test_a_poisoned_sequence_leaves_its_neighbours_bits() -> None:
    rng = np.random.default_rng(3)
    model = random_model(config_of("qwen2", tie_word_embeddings=False), 3)
    poisoned = copy.deepcopy(model)
    embedding = cast(nn.Embedding, poisoned.get_input_embeddings())
    embedding.weight.data[96] = torch.nan
    sequences = [tokens % 96 for tokens in random_sequences(rng, LENS)]
    ticks = random_ticks(rng, LENS)
    healthy = Packer(int8_runner(model), sequences, rng).run(ticks)
    sequences[1][3] = 96
    got = Packer(int8_runner(poisoned), sequences, rng).run(ticks)
    assert torch.equal(got[0], healthy[0]) and torch.equal(got[2], healthy[2])
    assert got[1][3:].isnan().all()


def test_loaded_from_a_checkpoint_in_bfloat16(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    model = random_model(config_of("qwen3-wide"), 4)
    for parameter in model.parameters():
        parameter.data = parameter.data.to(torch.bfloat16)
    model.save_pretrained(tmp_path)
    build_tokenizer().save_pretrained(tmp_path)
    [tokens] = random_sequences(rng, [12])
    loaded = ModelRunner.load(tmp_path, device="cpu", dtype="float32", weights="int8")
    wide = copy.deepcopy(model).float()
    [got] = Packer(loaded, [tokens], rng).run([{0: (0, 12)}])
    [wanted] = Packer(int8_runner(wide), [tokens], rng).run([{0: (0, 12)}])
    assert torch.equal(got, wanted)


@pytest.mark.parametrize("name", ["gemma", "llama-dynamic", "qwen3"])
def test_a_model_that_the_kernels_do_not_serve_is_refused(name: str) -> None:
    with pytest.raises(UnsupportedFeature, match="int8"):
        int8_runner(random_model(config_of(name), 0))


def test_another_path_is_refused() -> None:
    model = random_model(config_of("llama"), 0)
    with pytest.raises(UnsupportedFeature, match="'fused'"):
        ModelRunner.load(model, device="cpu", path="fused", weights="int8")


def test_without_kernels_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise KernelsMissing("there is no C++ compiler (g++)")

    monkeypatch.setattr(runner_module, "load_kernels", missing)
    with pytest.raises(UnsupportedFeature, match="no C"):
        int8_runner(random_model(config_of("llama"), 0))


def test_unknown_weights_are_refused() -> None:
    model = random_model(config_of("llama"), 0)
    with pytest.raises(ModelLoadError, match="'int4'"):
        ModelRunner.load(model, weights="int4")  # type: ignore[arg-type] # pyright: ignore


async def test_the_engine_asks_for_what_its_config_says(tmp_path: Path) -> None:
    folder = build_checkpoint(tmp_path)
    with pytest.raises(UnsupportedFeature, match="heads have 8 values"):
        await open_engine(str(folder), config=EngineConfig(weights="int8", device="cpu"))
