"""Whole models whose attention the kernels compute, prompts and replayed decodes alike."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from tests.support.device_kernels import path_for
from tests.support.recorder import FakeCapture
from tests.unit.runtime.engine.model.cases import (
    CASES,
    Packer,
    config_of,
    random_model,
    random_sequences,
    random_ticks,
    reference_logits,
    runner_of,
)
from weft.runtime.engine.cuda import HeadShape
from weft.runtime.engine.model import ModelRunner
from weft.runtime.engine.model.families import family_of
from weft.runtime.engine.model.torch_decoder import TorchDecoder

LENS = [15, 3, 11]
TICKS = [
    {0: (0, 12), 1: (0, 2)},
    {2: (0, 9), 0: (12, 13), 1: (2, 3)},
    {0: (13, 14), 2: (9, 10)},
    {2: (10, 11), 0: (14, 15)},
]
"""The last two are of decodes alone."""


def tiny_model(name: str, num_layers: int = 2) -> PreTrainedModel:
    sizes = {"num_hidden_layers": num_layers, "num_attention_heads": 2, "num_key_value_heads": 1}
    return random_model(config_of(name, **sizes), 0)


def with_kernels(
    model: PreTrainedModel,
    monkeypatch: pytest.MonkeyPatch,
    capture: FakeCapture,
    *,
    deterministic: bool = False,
) -> ModelRunner:
    """A runner on the processor that computes as one on a GPU does."""
    runner = runner_of(model, path="fused")
    shape = runner.info.kv_shape
    heads = HeadShape(num_heads=2, num_kv_heads=1, head_dim=shape.head_dim)
    decoder = TorchDecoder(
        copy.deepcopy(model),
        runner.info,
        family_of(model.config.model_type),
        is_deterministic=deterministic,
        kernels=path_for(heads),
        capture=capture,
    )
    monkeypatch.setattr(runner, "_decoder", decoder)
    return runner


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU computes the kernels itself")
@pytest.mark.parametrize("name", ["qwen3", "gemma2", "mistral-sliding"])
def test_any_schedule_gives_the_full_forwards_logits(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    model = tiny_model(name)
    capture = FakeCapture()
    sequences = random_sequences(rng, LENS)
    packer = Packer(with_kernels(model, monkeypatch, capture), sequences, rng)
    for got, tokens in zip(packer.run(TICKS), sequences, strict=True):
        torch.testing.assert_close(got, reference_logits(model, tokens), atol=1e-4, rtol=0)
    assert capture.num_replayed == 2


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU computes the kernels itself")
def test_deterministic_mode_records_nothing_and_keeps_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(1)
    capture = FakeCapture()
    model = tiny_model("llama", num_layers=1)
    runner = with_kernels(model, monkeypatch, capture, deterministic=True)
    sequences = random_sequences(rng, LENS)
    mixed = Packer(runner, sequences, rng).run([{1: (0, 3), 0: (0, 13)}, {0: (13, 15), 2: (0, 5)}])
    alone = Packer(runner, sequences[:1], rng).run([{0: (0, 15)}])[0]
    assert torch.equal(mixed[0], alone)
    assert capture.num_recorded == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", CASES)
def test_bits_on_cuda_do_not_depend_on_the_schedule(name: str, dtype: str) -> None:
    rng = np.random.default_rng(2)
    model = random_model(config_of(name), 2).to(getattr(torch, dtype))
    runner = ModelRunner.load(model, device="cuda", deterministic=True)
    lens = [40, 1, 23, 9]
    sequences = random_sequences(rng, lens)
    alone = [Packer(runner, [each], rng).run([{0: (0, len(each))}])[0] for each in sequences]
    mixed = Packer(runner, sequences, rng).run(random_ticks(rng, lens))
    assert all(torch.equal(*pair) for pair in zip(mixed, alone, strict=True))
