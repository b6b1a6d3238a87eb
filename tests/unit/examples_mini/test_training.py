"""The training step: the fast forward pass, the optimizer and the resumable state."""

from pathlib import Path
from typing import cast

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from examples.mini.checkpoint import load_state, save_state
from examples.mini.documents import Document, collate
from examples.mini.muon import Muon, orthogonalise
from examples.mini.train import FLOOR, WARMUP, rate
from examples.mini.trunk import Trunk


def tiny_model() -> Qwen3ForCausalLM:
    config = Qwen3Config(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
    )
    return Qwen3ForCausalLM(config)


def test_the_fast_forward_pass_equals_the_slow_one() -> None:
    model = tiny_model()
    ids_BT = torch.arange(20).view(2, 10)
    slow = model.model(input_ids=ids_BT, use_cache=False).last_hidden_state
    torch.testing.assert_close(Trunk(model)(ids_BT), slow)


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 6, 20), (2, 20, 6)])
def test_orthogonalise_evens_the_singular_values(shape: tuple[int, int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    matrices_LRC = torch.randn(shape, generator=generator)
    values = cast("torch.Tensor", torch.linalg.svdvals(orthogonalise(matrices_LRC)))
    assert float(values.max()) < 1.3
    assert float(values.median()) > 0.6


def test_muon_lowers_a_loss_and_refuses_missing_gradients() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(6, 4, generator=generator))
    optimizer = Muon([weight], lr=0.1, momentum=0.9, weight_decay=0.0)
    with pytest.raises(ValueError, match="no gradient"):
        optimizer.step()
    first = float(weight.square().sum().detach())
    for _ in range(10):
        optimizer.zero_grad()
        torch.autograd.backward(weight.square().sum())
        optimizer.step()
    assert float(weight.square().sum().detach()) < first


def test_the_rate_rises_then_falls_to_its_floor() -> None:
    assert rate(0.0) < rate(WARMUP / 2) < rate(WARMUP)
    assert rate(WARMUP) == pytest.approx(1.0)
    assert rate(1.0) == pytest.approx(FLOOR)


def test_a_batch_gives_every_target_its_place() -> None:
    documents = [
        Document(ids=[1, 2, 3], targets=[(1, 3, 1.0)]),
        Document(ids=[4, 5], targets=[(0, 5, 0.25), (0, 6, 0.75)]),
    ]
    batch = collate(documents, 4, 0)
    assert batch.ids_BT.tolist() == [[1, 2, 3, 0], [4, 5, 0, 0]]
    assert batch.positions_P.tolist() == [1, 4]
    assert batch.where_N.tolist() == [0, 1, 1]
    assert batch.tokens_N.tolist() == [3, 5, 6]
    assert batch.weights_N.tolist() == [1.0, 0.25, 0.75]


def test_the_state_comes_back(tmp_path: Path) -> None:
    model, other = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    optimizers = [[torch.optim.AdamW(item.parameters(), lr=0.1)] for item in (model, other)]
    torch.autograd.backward(model(torch.ones(3)).sum())
    optimizers[0][0].step()
    save_state(tmp_path, model, optimizers[0], 7, 12.5)
    assert load_state(tmp_path, other, optimizers[1]) == (7, 12.5)
    assert torch.equal(model.weight, other.weight)
    saved, loaded = (group[0].state_dict()["state"][0]["exp_avg"] for group in optimizers)
    assert torch.equal(saved, loaded)
