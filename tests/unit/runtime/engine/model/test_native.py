"""The native path: which models take it, and that narrow weights are read as they are."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch

from tests.support.tiny import build_tokenizer
from tests.unit.runtime.engine.model.cases import (
    CASES,
    NATIVE_CASES,
    Packer,
    config_of,
    distance,
    random_model,
    random_sequences,
    reference_logits,
)
from weft.runtime.engine.model import ModelRunner
from weft.runtime.engine.model.families import family_of
from weft.runtime.engine.model.foreign import DecoderConfig
from weft.runtime.engine.model.native import why_not_native

CPU = torch.device("cpu")
REASONS = {
    "llama-dynamic": "depend on the length",
    "qwen3": "24 values",
    "mistral": "24 values",
    "mixtral": "layers of its own",
    "gemma": "layers of its own",
    "gemma2": "layers of its own",
    "gemma3": "layers of its own",
    "qwen3_moe": "layers of its own",
}


@pytest.mark.parametrize("name", CASES)
def test_every_case_is_native_or_has_its_reason(name: str) -> None:
    config = cast(DecoderConfig, config_of(name))
    reason = why_not_native(config, family_of(config.model_type), CPU)
    assert (name in NATIVE_CASES) == (reason == "")
    assert REASONS.get(name, "") in reason


@pytest.mark.parametrize(
    ("change", "reason"), [({"hidden_act": "gelu"}, "gelu"), ({"intermediate_size": 100}, "100")]
)
def test_odd_layers_are_left_to_torch(change: dict[str, object], reason: str) -> None:
    config = cast(DecoderConfig, config_of("llama", **change))
    assert reason in why_not_native(config, family_of("llama"), CPU)


def test_a_device_is_left_to_torch() -> None:
    config = cast(DecoderConfig, config_of("llama"))
    assert "cuda" in why_not_native(config, family_of("llama"), torch.device("cuda"))


def test_stored_bfloat16_is_read_as_its_float32_values(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    model = random_model(config_of("qwen3-wide"), 1)
    for parameter in model.parameters():
        parameter.data = parameter.data.to(torch.bfloat16)
    model.save_pretrained(tmp_path)
    build_tokenizer().save_pretrained(tmp_path)
    sequences = random_sequences(rng, [30, 3])
    runner = ModelRunner.load(tmp_path, device="cpu", dtype="float32")
    assert (runner.path, runner.dtype) == ("native", torch.float32)
    got = Packer(runner, sequences, rng).run([{0: (0, 29), 1: (0, 2)}, {0: (29, 30), 1: (2, 3)}])
    wide = copy.deepcopy(model).float()
    for logits, tokens in zip(got, sequences, strict=True):
        assert (logits - reference_logits(wide, tokens)).abs().max() < 1e-4


def test_a_narrow_cache_stays_near() -> None:
    rng = np.random.default_rng(2)
    model = random_model(config_of("qwen3-wide"), 2)
    [tokens] = random_sequences(rng, [40])
    wanted = reference_logits(model, tokens)
    runner = ModelRunner.load(copy.deepcopy(model), dtype="bfloat16", device="cpu", path="native")
    assert runner.dtype == torch.bfloat16
    [got] = Packer(runner, [tokens], rng).run([{0: (0, 25)}, {0: (25, 40)}])
    assert 1e-4 < distance(got, wanted) < 0.05
