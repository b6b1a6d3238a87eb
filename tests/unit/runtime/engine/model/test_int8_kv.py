"""Models over keys and values of 8 bits: what they compute, that batches do not show, who is
refused."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

from tests.support.tiny import build_checkpoint
from tests.unit.runtime.engine.model.cases import (
    NATIVE_CASES,
    Packer,
    config_of,
    distance,
    random_model,
    random_sequences,
    random_ticks,
    reference_logits,
    runner_of,
    with_and_without_prefix,
)
from weft.cache.kv_store import LayerKV
from weft.cache.rounding import round_rows
from weft.errors import ModelLoadError, UnsupportedFeature
from weft.runtime.engine import EngineConfig, open_engine
from weft.runtime.engine.config import KVDTypeName
from weft.runtime.engine.model import ModelRunner
from weft.runtime.engine.model import runner as runner_module
from weft.runtime.engine.native import KernelsMissing

LENS = [27, 5, 14]
KV_DTYPES: list[KVDTypeName] = ["auto", "int8"]


def round_attention(model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have transformers' own attention of this architecture see rounded keys and values."""
    module = sys.modules[type(model).__module__]
    exact: Any = module.__dict__["eager_attention_forward"]

    def rounded(
        part: nn.Module, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *rest: Any, **named: Any
    ) -> object:
        return exact(part, q, round_rows(k).widen(), round_rows(v).widen(), *rest, **named)

    monkeypatch.setattr(module, "eager_attention_forward", rounded)


@pytest.mark.parametrize("name", NATIVE_CASES)
def test_logits_are_those_of_rounded_keys_and_values(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    model = random_model(config_of(name), 0)
    [tokens] = random_sequences(rng, [40])
    runner = runner_of(model, kv_dtype="int8")
    assert (runner.path, runner.dtype, runner.kv_dtype) == ("native", torch.float32, torch.int8)
    [got] = Packer(runner, [tokens], rng).run([{0: (0, 25)}, {0: (25, 40)}])
    to_exact = distance(got, reference_logits(model, tokens))
    round_attention(model, monkeypatch)
    # Not nearer: a value between two steps may go to either, by the rounding of one sum.
    assert distance(got, reference_logits(model, tokens)) < 0.15 * to_exact
    assert to_exact < 0.02


@pytest.mark.parametrize("factor", [1.0, 1e-36, 3e38], ids=["usual", "tiny", "infinite"])
def test_the_kernels_round_as_the_store_does(factor: float) -> None:
    model = random_model(config_of("qwen3-wide"), 1)
    # Values of the second head; those of the first layer depend on no attention.
    cast(Any, model).model.layers[0].self_attn.v_proj.weight.data[32:] *= factor
    [tokens] = random_sequences(np.random.default_rng(1), [50])
    layers: list[LayerKV] = []
    for kv_dtype in KV_DTYPES:
        packer = Packer(runner_of(model, kv_dtype=kv_dtype), [tokens], np.random.default_rng(1))
        packer.run([{0: (0, 50)}])
        layers.append(packer.kv.layer(0))
    wide, narrow = layers
    assert narrow.key_scales_NH is not None and narrow.value_scales_NH is not None
    for exact_NHD, rows_NHD, scales_NH in (
        (wide.keys_NHD, narrow.keys_NHD, narrow.key_scales_NH),
        (wide.values_NHD, narrow.values_NHD, narrow.value_scales_NH),
    ):
        rounded = round_rows(exact_NHD)
        assert torch.equal(scales_NH.isnan(), rounded.scales_TH.isnan())
        assert torch.equal(scales_NH.nan_to_num(0), rounded.scales_TH.nan_to_num(0))
        steps_NHD = (rows_NHD.int() - rounded.values_THD.int())[~scales_NH.isnan()].abs()
        # Half way between two steps a product that is rounded on its own may fall elsewhere.
        assert int(steps_NHD.max()) <= 1 and int(steps_NHD.sum()) <= 2
    assert bool(narrow.value_scales_NH[:, 1].isnan().any()) == (factor == 3e38)
    assert bool(narrow.value_scales_NH[:, 1].any()) == (factor != 1e-36)


@pytest.mark.parametrize("name", NATIVE_CASES)
def test_bits_do_not_depend_on_the_schedule(name: str) -> None:
    rng = np.random.default_rng(2)
    runner = runner_of(random_model(config_of(name), 2), kv_dtype="int8")
    sequences = random_sequences(rng, LENS)
    alone = [Packer(runner, [tokens], rng).run([{0: (0, len(tokens))}])[0] for tokens in sequences]
    mixed = Packer(runner, sequences, rng).run(random_ticks(rng, LENS))
    assert all(torch.equal(*pair) for pair in zip(mixed, alone, strict=True))


def test_bits_do_not_depend_on_the_number_of_threads() -> None:
    rng = np.random.default_rng(3)
    config = config_of("llama", hidden_size=512, num_attention_heads=8, head_dim=64)
    runner = runner_of(random_model(config, 3), kv_dtype="int8")
    sequences = random_sequences(rng, [60, 1, 33])
    ticks = random_ticks(rng, [60, 1, 33])
    one = Packer(runner, sequences, rng).run(ticks)
    torch.set_num_threads(2)
    two = Packer(runner, sequences, rng).run(ticks)
    assert all(torch.equal(*pair) for pair in zip(one, two, strict=True))


def test_a_found_prefix_gives_the_bits_of_a_computed_one() -> None:
    rng = np.random.default_rng(4)
    runner = runner_of(random_model(config_of("qwen3-wide"), 4), kv_dtype="int8")
    assert torch.equal(*with_and_without_prefix(runner, rng))


@pytest.mark.parametrize("kv_dtype", KV_DTYPES)
def test_a_token_without_numbers_spoils_what_follows_it_alone(kv_dtype: KVDTypeName) -> None:
    rng = np.random.default_rng(5)
    model = random_model(config_of("qwen2", tie_word_embeddings=False), 5)
    poisoned = copy.deepcopy(model)
    embedding = cast(nn.Embedding, poisoned.get_input_embeddings())
    embedding.weight.data[96] = torch.nan
    sequences = [tokens % 96 for tokens in random_sequences(rng, LENS)]
    ticks = [{0: (0, 9), 1: (0, 2)}, {2: (0, 14), 1: (2, 5)}, {0: (9, 27)}]
    healthy = Packer(runner_of(model, kv_dtype=kv_dtype), sequences, rng).run(ticks)
    sequences[0][14] = sequences[1][0] = 96
    got = Packer(runner_of(poisoned, kv_dtype=kv_dtype), sequences, rng).run(ticks)
    assert torch.equal(got[2], healthy[2])
    assert got[1].isnan().all()
    # Tokens before the broken one are read beside it, whatever cut the prompt.
    assert torch.equal(got[0][:14], healthy[0][:14])
    assert got[0][14:].isnan().all()


@pytest.mark.parametrize("name", ["gemma", "llama-dynamic", "qwen3"])
def test_a_model_that_the_kernels_do_not_serve_is_refused(name: str) -> None:
    with pytest.raises(UnsupportedFeature, match="with kv_dtype='int8': ") as refusal:
        runner_of(random_model(config_of(name), 0), kv_dtype="int8")
    assert "kv_dtype='auto'" in str(refusal.value)


def test_another_path_is_refused() -> None:
    model = random_model(config_of("llama"), 0)
    with pytest.raises(UnsupportedFeature, match="'fused'"):
        runner_of(model, path="fused", kv_dtype="int8")
    with pytest.raises(UnsupportedFeature, match="weights='int8' and kv_dtype='int8'"):
        ModelRunner.load(model, device="cpu", path="fused", weights="int8", kv_dtype="int8")


def test_without_kernels_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise KernelsMissing("there is no C++ compiler (g++)")

    monkeypatch.setattr(runner_module, "load_kernels", missing)
    with pytest.raises(UnsupportedFeature, match="no C"):
        runner_of(random_model(config_of("llama"), 0), kv_dtype="int8")


def test_an_unknown_dtype_is_refused() -> None:
    with pytest.raises(ModelLoadError, match="'fp8'"):
        runner_of(random_model(config_of("llama"), 0), kv_dtype="fp8")  # type: ignore[arg-type] # pyright: ignore


async def test_the_engine_asks_for_what_its_config_says(tmp_path: Path) -> None:
    folder = build_checkpoint(tmp_path)
    with pytest.raises(UnsupportedFeature, match="heads have 8 values"):
        await open_engine(str(folder), config=EngineConfig(kv_dtype="int8", device="cpu"))
