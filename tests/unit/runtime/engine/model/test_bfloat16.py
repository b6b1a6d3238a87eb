"""Models in bfloat16 on the native path: how near they stay, and that batches do not show."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from tests.support.tiny import build_tokenizer
from tests.unit.runtime.engine.model.cases import (
    NATIVE_CASES,
    Packer,
    config_of,
    random_model,
    random_sequences,
    random_ticks,
    reference_logits,
    with_and_without_prefix,
)
from weft.runtime.engine.model import ModelRunner, placement
from weft.runtime.engine.model import runner as runner_module
from weft.runtime.engine.model.native import has_fast_bfloat16
from weft.runtime.machine import cpu_features

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")

LENS = [27, 5, 14]


def narrow_model(name: str, seed: int) -> PreTrainedModel:
    model = random_model(config_of(name), seed)
    for parameter in model.parameters():
        parameter.data = parameter.data.to(torch.bfloat16)
    return model


def never(_: torch.device) -> bool:
    return False


def always(_: torch.device) -> bool:
    return True


def native_runner(model: PreTrainedModel) -> ModelRunner:
    return ModelRunner.load(copy.deepcopy(model), device="cpu", path="native")


@pytest.mark.parametrize("name", NATIVE_CASES)
def test_nearer_to_float32_than_transformers_in_bfloat16(name: str) -> None:
    rng = np.random.default_rng(0)
    model = narrow_model(name, 0)
    [tokens] = random_sequences(rng, [40])
    exact = reference_logits(copy.deepcopy(model).float(), tokens)
    theirs = reference_logits(model, tokens).float()
    [ours] = Packer(native_runner(model), [tokens], rng).run([{0: (0, 40)}])
    assert (ours - exact).norm() < (theirs - exact).norm()


@pytest.mark.parametrize("name", NATIVE_CASES)
def test_bits_do_not_depend_on_the_schedule(name: str) -> None:
    rng = np.random.default_rng(1)
    runner = native_runner(narrow_model(name, 1))
    sequences = random_sequences(rng, LENS)
    alone = [Packer(runner, [tokens], rng).run([{0: (0, len(tokens))}])[0] for tokens in sequences]
    mixed = Packer(runner, sequences, rng).run(random_ticks(rng, LENS))
    assert all(torch.equal(*pair) for pair in zip(mixed, alone, strict=True))
    assert torch.equal(*with_and_without_prefix(runner, rng))


@pytest.mark.parametrize("is_fast", [False, True])
def test_the_engine_computes_in_it_where_that_is_faster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_fast: bool
) -> None:
    narrow_model("qwen3-wide", 2).save_pretrained(tmp_path)
    build_tokenizer().save_pretrained(tmp_path)
    monkeypatch.setattr(placement, "has_bfloat16", never)
    monkeypatch.setattr(runner_module, "has_fast_bfloat16", lambda: is_fast)
    runner = ModelRunner.load(tmp_path, device="cpu")
    assert runner.path == "native"
    assert runner.dtype == (torch.bfloat16 if is_fast else torch.float32)


@pytest.mark.parametrize("has_units", [never, always])
def test_weights_in_it_take_the_kernels_whatever_units_the_processor_has(
    monkeypatch: pytest.MonkeyPatch, has_units: Callable[[torch.device], bool]
) -> None:
    monkeypatch.setattr(placement, "has_bfloat16", has_units)
    runner = ModelRunner.load(narrow_model("llama", 0), device="cpu")
    assert runner.path == "native" and runner.sees_branches


def test_the_kernels_know_the_processor() -> None:
    assert has_fast_bfloat16() == ("avx512_vnni" in cpu_features())
