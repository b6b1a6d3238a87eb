"""Deterministic mode: a token's logits are the same bits whatever shares its batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.unit.runtime.engine.model.cases import (
    WAYS,
    Packer,
    config_of,
    random_model,
    random_sequences,
    random_ticks,
    reference_logits,
    runner_of,
    with_and_without_prefix,
)
from weft.cache.kv_store import KVShape, KVStore
from weft.errors import UnsupportedFeature
from weft.runtime.engine.batch import PackedBatch
from weft.runtime.engine.model import ComputePath
from weft.runtime.engine.model.invariance import check_row_invariance

LENS = [27, 5, 14]


@pytest.mark.parametrize(("name", "path"), WAYS)
def test_bits_do_not_depend_on_the_schedule(name: str, path: ComputePath) -> None:
    rng = np.random.default_rng(0)
    model = random_model(config_of(name), 0)
    sequences = random_sequences(rng, LENS)
    runner = runner_of(model, deterministic=True, path=path)
    alone = [Packer(runner, [tokens], rng).run([{0: (0, len(tokens))}])[0] for tokens in sequences]
    for got, tokens in zip(alone, sequences, strict=True):
        assert (got - reference_logits(model, tokens)).abs().max() < 1e-4
    mixed = Packer(runner, sequences, rng).run(random_ticks(rng, LENS))
    assert all(torch.equal(*pair) for pair in zip(mixed, alone, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("path", ["native", "fused"])
def test_bits_do_not_depend_on_the_schedule_at_real_widths(
    path: ComputePath, num_threads: int
) -> None:
    """Wide enough for packed products, threaded kernels and several lengths of span."""
    rng = np.random.default_rng(1)
    config = config_of(
        "qwen3",
        hidden_size=512,
        intermediate_size=1280,
        num_attention_heads=8,
        num_hidden_layers=2,
        head_dim=64,
        max_position_embeddings=512,
    )
    runner = runner_of(random_model(config, 1), deterministic=True, path=path)
    lens = [140, 1, 70, 33]
    sequences = random_sequences(rng, lens)
    torch.set_num_threads(num_threads)
    alone = [
        Packer(runner, [tokens], rng, block_size=16).run([{0: (0, len(tokens))}])[0]
        for tokens in sequences
    ]
    mixed = Packer(runner, sequences, rng, block_size=16).run(random_ticks(rng, lens))
    assert all(torch.equal(*pair) for pair in zip(mixed, alone, strict=True))


def test_a_found_prefix_gives_the_bits_of_a_computed_one() -> None:
    rng = np.random.default_rng(2)
    runner = runner_of(random_model(config_of("qwen3"), 2), deterministic=True)
    assert torch.equal(*with_and_without_prefix(runner, rng))


def test_without_the_mode_bits_may_differ_but_only_by_rounding() -> None:
    rng = np.random.default_rng(3)
    runner = runner_of(random_model(config_of("llama"), 3), path="fused")
    assert not runner.is_deterministic
    sequences = random_sequences(rng, LENS)
    packer = Packer(runner, sequences, rng)
    once = packer.run(random_ticks(rng, LENS))
    again = packer.run(random_ticks(rng, LENS))
    for one, other in zip(once, again, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)


def test_kernels_that_treat_rows_differently_are_found_out() -> None:
    def uneven(batch: PackedBatch, _: KVStore) -> torch.Tensor:
        rows = torch.arange(len(batch.token_ids_T), dtype=torch.float32)
        return (torch.as_tensor(batch.token_ids_T) + rows * 1e-6).unsqueeze(1)

    def even(batch: PackedBatch, _: KVStore) -> torch.Tensor:
        return torch.as_tensor(batch.token_ids_T).unsqueeze(1)

    shapes = [KVShape(num_kv_heads=1, head_dim=2)]
    cpu = torch.device("cpu")
    check_row_invariance(even, shapes, torch.float32, cpu, num_rows=8, vocab_size=97)
    with pytest.raises(UnsupportedFeature, match="place in the batch"):
        check_row_invariance(uneven, shapes, torch.float32, cpu, num_rows=8, vocab_size=97)
