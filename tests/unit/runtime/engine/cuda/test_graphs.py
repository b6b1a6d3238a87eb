"""Decodes that are recorded and replayed, with a recorder that runs on any device."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.support.device_kernels import DEVICE, OneLayer, path_for
from tests.support.recorder import FakeCapture
from tests.unit.runtime.engine.model.cases import VOCAB, Packer
from tests.unit.runtime.engine.model.test_trees import Tree, with_trees
from weft.runtime.engine.batch import PackedBatch
from weft.runtime.engine.cuda import (
    CudaCapture,
    DecodeGraphs,
    HeadShape,
    KernelAttention,
    Recording,
    bucket_of,
    graphs,
)
from weft.runtime.engine.model.tiles import cut_tiles

HEADS = HeadShape(num_heads=2, num_kv_heads=1, head_dim=16)
LENS = [20, 3, 45, 9, 33]


def body(
    tokens_T: torch.Tensor, positions_T: torch.Tensor, attention: KernelAttention
) -> torch.Tensor:
    """One layer whose rows are drawn from token and position: no product mixes them."""
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(VOCAB, 4, 16, generator=generator).to(DEVICE)
    x_T4D = table[tokens_T] + torch.sin(positions_T)[:, None, None]
    return attention.attend(0, x_T4D[:, :2], x_T4D[:, 2:3], x_T4D[:, 3:], scale=0.3).flatten(1)


def scene() -> tuple[OneLayer, Packer]:
    one = OneLayer(path=path_for(HEADS))
    return one, one.packer(LENS, np.random.default_rng(0))


def decodes(packer: Packer, *sequences: int, back: int = 1) -> PackedBatch:
    return packer.pack({s: (LENS[s] - back, LENS[s] - back + 1) for s in sequences})


def padded(batch: PackedBatch) -> PackedBatch:
    num_rows = bucket_of(batch)
    assert num_rows is not None
    [tile] = cut_tiles(batch, num_rows)
    return tile.batch


def eager(one: OneLayer, batch: PackedBatch, packer: Packer) -> torch.Tensor:
    tokens_T, positions_T = (
        torch.as_tensor(ids).to(DEVICE) for ids in (batch.token_ids_T, batch.positions_T)
    )
    return body(tokens_T, positions_T, one.path.attention(batch, packer.kv))


@pytest.mark.parametrize(
    ("num_sequences", "bucket"), [(1, 1), (3, 4), (8, 8), (9, 16), (17, 24), (256, 256)]
)
def test_decodes_are_padded_little(num_sequences: int, bucket: int) -> None:
    assert bucket_of(of_size(num_sequences)) == bucket


def of_size(num_sequences: int) -> PackedBatch:
    zeros = np.zeros(num_sequences, np.int64)
    ones = np.ones(num_sequences, np.int32)
    tables = np.zeros((num_sequences, 1), np.int32)
    return PackedBatch(
        token_ids_T=zeros,
        positions_T=zeros,
        slots_T=zeros,
        query_lens_S=ones,
        context_lens_S=ones,
        block_tables_SB=tables,
        logit_rows_R=np.arange(num_sequences),
    )


def test_prompts_trees_and_crowds_are_no_decodes() -> None:
    _, packer = scene()
    assert bucket_of(packer.pack({0: (18, 20), 1: (2, 3)})) is None
    forked = with_trees(packer.pack({0: (17, 20)}), {0: Tree(base=17, parents=[-1, 0, 0])})
    assert bucket_of(forked) is None
    assert bucket_of(of_size(257)) is None


@pytest.mark.slow
def test_a_replay_gives_the_bits_of_a_launch() -> None:
    one, packer = scene()
    capture = FakeCapture()
    recorded = DecodeGraphs(body, one.path, capture)
    for sequences, back in (((0, 2, 3), 2), ((1, 4, 2), 1), ((2, 0, 1, 3), 1), ((3,), 1)):
        batch = decodes(packer, *sequences, back=back)
        hidden = recorded.run(padded(batch), packer.kv)
        assert hidden is not None
        assert torch.equal(hidden[: len(sequences)], eager(one, batch, packer))
    assert capture.num_recorded == 2
    assert capture.num_replayed == 4


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_real_graph_gives_the_bits_of_a_launch() -> None:
    one, packer = scene()
    recorded = DecodeGraphs(body, one.path, CudaCapture())
    for sequences in ((0, 2, 3), (1, 4, 2), (2, 0, 1, 3), (3,)):
        batch = decodes(packer, *sequences)
        hidden = recorded.run(padded(batch), packer.kv)
        assert hidden is not None
        assert torch.equal(hidden[: len(sequences)], eager(one, batch, packer))


@pytest.mark.slow
def test_padding_touches_nothing_but_the_padding_block() -> None:
    one, packer = scene()
    batch = decodes(packer, 0, 2, 3)
    eager(one, batch, packer)
    before = packer.kv.layer(0).keys_NHD.clone()
    DecodeGraphs(body, one.path, FakeCapture()).run(padded(batch), packer.kv)
    block = packer.block_size
    assert torch.equal(packer.kv.layer(0).keys_NHD[block:], before[block:])


@pytest.mark.slow
def test_another_memory_is_recorded_anew() -> None:
    one, packer = scene()
    capture = FakeCapture()
    recorded = DecodeGraphs(body, one.path, capture)
    other = one.packer(LENS, np.random.default_rng(1))
    for each in (packer, other):
        batch = decodes(each, 0, 1)
        hidden = recorded.run(padded(batch), each.kv)
        assert hidden is not None
        assert torch.equal(hidden, eager(one, batch, each))
    assert capture.num_recorded == 2


def test_plans_too_long_are_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    one, packer = scene()
    monkeypatch.setattr(graphs, "MAX_PLAN", 20)
    recorded = DecodeGraphs(body, one.path, FakeCapture())
    assert recorded.run(padded(decodes(packer, 0, 1)), packer.kv) is None


class _Failing:
    def __init__(self) -> None:
        self.num_tried = 0

    def record(self, compute: Callable[[], torch.Tensor]) -> Recording:
        self.num_tried += 1
        raise RuntimeError("operation not permitted when stream is capturing")


def test_what_cannot_be_recorded_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    one, packer = scene()
    capture = _Failing()
    recorded = DecodeGraphs(body, one.path, capture)
    batch = padded(decodes(packer, 0, 1))
    with caplog.at_level(logging.WARNING):
        assert recorded.run(batch, packer.kv) is None
        assert recorded.run(replace(batch), packer.kv) is None
    assert capture.num_tried == 1
    [record] = caplog.records
    assert "not permitted when stream is capturing" in record.getMessage()
