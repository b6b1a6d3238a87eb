"""Prefixes that are read together: the bits are those of reading them alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.unit.runtime.engine.model.cases import Packer, config_of, random_model, runner_of
from weft.runtime.engine.batch import PackedBatch
from weft.runtime.engine.config import KVDTypeName
from weft.runtime.engine.model import ModelRunner

BLOCK = 16
KV_DTYPES: list[KVDTypeName] = ["auto", "int8"]


def family_of_sequences(runner: ModelRunner, rng: np.random.Generator) -> Packer:
    """Six sequences: one alone, two over 300 shared tokens, three over 560 that begin with
    these 300; every cache holds random keys, equal where blocks are."""
    lens = [310, 290, 302, 563, 600, 580]
    packer = Packer(runner, [rng.integers(0, 97, size) for size in lens], rng, block_size=BLOCK)
    for sequence in (3, 4, 5):
        packer.tables[sequence, : 300 // BLOCK] = packer.tables[2, : 300 // BLOCK]
    for sequence in (4, 5):
        packer.tables[sequence, : 560 // BLOCK] = packer.tables[3, : 560 // BLOCK]
    generator = torch.Generator().manual_seed(0)
    for layer in range(packer.kv.num_layers):
        size = packer.kv.layer(layer).keys_NHD.shape
        k, v = (torch.randn(size, generator=generator) for _ in range(2))
        packer.kv.write(layer, torch.arange(size[0]), k, v)
    return packer


def poison(packer: Packer, layer: int, slot: int) -> None:
    """No numbers as one token's key and value."""
    _, *size = packer.kv.layer(layer).keys_NHD.shape
    lost = torch.full((1, *size), torch.nan)
    packer.kv.write(layer, torch.tensor([slot]), lost, lost)


def split(batch: PackedBatch, rows: torch.Tensor) -> list[torch.Tensor]:
    ends = np.cumsum(batch.query_lens_S).tolist()
    return [rows[end - size : end] for end, size in zip(ends, batch.query_lens_S, strict=True)]


@pytest.mark.parametrize("kv_dtype", KV_DTYPES)
@pytest.mark.parametrize("name", ["llama", "mistral-sliding", "qwen2-sliding"])
def test_sharing_never_changes_bits(name: str, kv_dtype: KVDTypeName) -> None:
    rng = np.random.default_rng(0)
    config = config_of(name, max_position_embeddings=1024, num_hidden_layers=2)
    if name != "llama":
        config.sliding_window = 270
    runner = runner_of(random_model(config, 0), path="native", kv_dtype=kv_dtype)
    packer = family_of_sequences(runner, rng)
    pieces = {4: (599, 600), 0: (300, 310), 3: (562, 563), 1: (289, 290), 5: (570, 580)}
    batch = packer.pack({**pieces, 2: (301, 302)})
    together = split(batch, runner.forward(batch, packer.kv))
    apart = split(batch, runner.forward(replace(batch, shares_prefixes=False), packer.kv))
    for one, other in zip(together, apart, strict=True):
        assert torch.equal(one, other)
    for at, (sequence, piece) in enumerate({**pieces, 2: (301, 302)}.items()):
        alone = runner.forward(packer.pack({sequence: piece}), packer.kv)
        assert torch.equal(alone, together[at])


@pytest.mark.parametrize("kv_dtype", KV_DTYPES)
def test_a_neighbours_broken_memory_stays_its_own(kv_dtype: KVDTypeName) -> None:
    rng = np.random.default_rng(1)
    config = config_of("llama", max_position_embeddings=1024, num_hidden_layers=2)
    runner = runner_of(random_model(config, 1), path="native", kv_dtype=kv_dtype)
    packer = family_of_sequences(runner, rng)
    batch = packer.pack({3: (562, 563), 4: (599, 600)})
    clean = runner.forward(batch, packer.kv)
    own = int(packer.tables[4, 560 // BLOCK]) * BLOCK
    poison(packer, 1, own)
    spoilt = runner.forward(batch, packer.kv)
    assert torch.equal(spoilt[0], clean[0])
    assert spoilt[1].isnan().all()


@pytest.mark.parametrize("kv_dtype", KV_DTYPES)
def test_what_lies_before_a_window_has_no_say(kv_dtype: KVDTypeName) -> None:
    """Both read the first chunk of a memory together, but only one of them sees token 100."""
    rng = np.random.default_rng(2)
    config = config_of(
        "mistral-sliding", max_position_embeddings=1024, num_hidden_layers=2, sliding_window=270
    )
    runner = runner_of(random_model(config, 2), path="native", kv_dtype=kv_dtype)
    packer = family_of_sequences(runner, rng)
    batch = packer.pack({2: (301, 302), 3: (400, 401)})
    clean = runner.forward(batch, packer.kv)
    poison(packer, 1, int(packer.tables[2, 100 // BLOCK]) * BLOCK + 100 % BLOCK)
    spoilt = runner.forward(batch, packer.kv)
    assert spoilt[0].isnan().all()
    assert torch.equal(spoilt[1], clean[1])
