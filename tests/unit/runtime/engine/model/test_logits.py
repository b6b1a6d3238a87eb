"""Logits against transformers' own full forward, eager attention, float32."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from tests.unit.runtime.engine.model.cases import (
    CASES,
    VOCAB,
    WAYS,
    Packer,
    config_of,
    random_model,
    random_sequences,
    random_ticks,
    reference_logits,
    runner_of,
)
from weft.runtime.engine.model import ComputePath, ModelRunner

TOLERANCE = 1e-4


def largest_difference(got: list[torch.Tensor], wanted: list[torch.Tensor]) -> float:
    return max(float((one - other).abs().max()) for one, other in zip(got, wanted, strict=True))


@pytest.mark.parametrize(("name", "path"), WAYS)
@pytest.mark.parametrize("seed", [0, 1])
def test_any_schedule_gives_the_full_forwards_logits(
    name: str, path: ComputePath, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    model = random_model(config_of(name), seed)
    lens = [40, 1, 23, 9]
    sequences = random_sequences(rng, lens)
    wanted = [reference_logits(model, tokens) for tokens in sequences]
    runner = runner_of(model, path=path)
    packer = Packer(runner, sequences, rng, block_size=[4, 16][seed])
    whole = packer.run([{s: (0, length) for s, length in enumerate(lens)}])
    assert largest_difference(whole, wanted) < TOLERANCE
    mixed = packer.run(random_ticks(rng, lens))
    assert largest_difference(mixed, wanted) < TOLERANCE


@pytest.mark.parametrize(("name", "path"), WAYS)
def test_token_by_token_equals_the_full_forward(name: str, path: ComputePath) -> None:
    rng = np.random.default_rng(2)
    model = random_model(config_of(name), 2)
    sequences = random_sequences(rng, [24])
    packer = Packer(runner_of(model, path=path), sequences, rng, block_size=1)
    got = packer.run([{0: (place, place + 1)} for place in range(24)])
    assert largest_difference(got, [reference_logits(model, sequences[0])]) < TOLERANCE


@pytest.mark.parametrize("name", CASES)
def test_transformers_own_modules_with_our_attention_give_the_same(name: str) -> None:
    rng = np.random.default_rng(3)
    model = random_model(config_of(name), 3)
    lens = [21, 14]
    sequences = random_sequences(rng, lens)
    fused = runner_of(model, path="fused")
    plain = ModelRunner(copy.deepcopy(model), fused.info, path="plain")
    ticks = random_ticks(rng, lens)
    slow = Packer(plain, sequences, rng).run(ticks)
    fast = Packer(fused, sequences, rng).run(ticks)
    assert largest_difference(fast, slow) < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("path", ["native", "fused"])
@pytest.mark.parametrize("name", ["llama", "mistral-sliding"])
def test_long_contexts_leave_no_trace_of_their_tiles(name: str, path: ComputePath) -> None:
    rng = np.random.default_rng(4)
    model = random_model(config_of(name, max_position_embeddings=1024), 4)
    lens = [700, 300, 20]
    sequences = random_sequences(rng, lens)
    wanted = [reference_logits(model, tokens) for tokens in sequences]
    packer = Packer(runner_of(model, path=path), sequences, rng, block_size=16)
    got = packer.run(
        [
            {0: (0, 90), 2: (0, 12)},
            {0: (90, 698), 1: (0, 298), 2: (12, 18)},
            {0: (698, 699), 1: (298, 299), 2: (18, 19)},
            {2: (19, 20), 1: (299, 300), 0: (699, 700)},
        ]
    )
    assert largest_difference(got, wanted) < TOLERANCE


@pytest.mark.parametrize("path", ["native", "fused"])
def test_layers_big_enough_for_packed_products_give_the_same(path: ComputePath) -> None:
    rng = np.random.default_rng(5)
    config = config_of("llama", hidden_size=512, intermediate_size=1024, num_hidden_layers=1)
    model = random_model(config, 5)
    sequences = random_sequences(rng, [12, 5])
    wanted = [reference_logits(model, tokens) for tokens in sequences]
    got = Packer(runner_of(model, path=path), sequences, rng).run(random_ticks(rng, [12, 5]))
    assert largest_difference(got, wanted) < TOLERANCE


def test_only_wanted_rows_go_through_the_head() -> None:
    rng = np.random.default_rng(6)
    runner = runner_of(random_model(config_of("qwen3"), 6))
    packer = Packer(runner, random_sequences(rng, [9, 6]), rng)
    batch = packer.pack({0: (0, 9), 1: (0, 6)})
    every = runner.forward(batch, packer.kv)
    rows = np.array([3, 8, 14])
    some = copy.copy(batch)
    object.__setattr__(some, "logit_rows_R", rows)
    got = runner.forward(some, packer.kv)
    assert got.shape == (3, VOCAB)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, every[rows], atol=1e-5, rtol=0)


def test_bfloat16_stays_near_float32() -> None:
    rng = np.random.default_rng(7)
    model = random_model(config_of("gemma3"), 7)
    sequences = random_sequences(rng, [20])
    wanted = reference_logits(model, sequences[0])
    runner = ModelRunner.load(copy.deepcopy(model), dtype="bfloat16", device="cpu")
    assert runner.dtype == torch.bfloat16
    [got] = Packer(runner, sequences, rng).run([{0: (0, 15)}, {0: (15, 20)}])
    distance = float((got - wanted).square().sum() / wanted.square().sum()) ** 0.5
    assert 1e-4 < distance < 0.05


def test_another_sequences_memory_never_matters() -> None:
    rng = np.random.default_rng(8)
    runner = runner_of(random_model(config_of("llama"), 8))
    packer = Packer(runner, random_sequences(rng, [13, 30]), rng)
    packer.run([{0: (0, 12), 1: (0, 29)}])
    clean = runner.forward(packer.pack({0: (12, 13), 1: (29, 30)}), packer.kv)[0]
    for layer in range(packer.kv.num_layers):
        for block in packer.tables[1]:
            slots = slice(int(block) * 4, int(block) * 4 + 4)
            packer.kv.layer(layer).keys_NHD[slots] = torch.nan
            packer.kv.layer(layer).values_NHD[slots] = torch.nan
    spoilt = runner.forward(packer.pack({0: (12, 13), 1: (29, 30)}), packer.kv)
    assert torch.equal(spoilt[0], clean)
    assert spoilt[1].isnan().all()


def test_a_runner_describes_its_model() -> None:
    runner = runner_of(random_model(config_of("gemma2"), 9))
    assert runner.vocab_size == VOCAB
    assert runner.max_context == 64
    assert [(shape.num_kv_heads, shape.head_dim) for shape in runner.layers] == [(2, 24)] * 3
    assert runner.info.windows == (7, None, 7)
    assert runner.info.eos_ids == (2,)
    assert not runner.is_deterministic


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", CASES)
def test_any_schedule_on_cuda_gives_the_full_forwards_logits(name: str) -> None:
    rng = np.random.default_rng(0)
    model = random_model(config_of(name), 0)
    lens = [40, 1, 23, 9]
    sequences = random_sequences(rng, lens)
    wanted = [reference_logits(model, tokens) for tokens in sequences]
    runner = ModelRunner.load(copy.deepcopy(model), device="cuda")
    got = Packer(runner, sequences, rng).run(random_ticks(rng, lens))
    assert largest_difference(got, wanted) < TOLERANCE
