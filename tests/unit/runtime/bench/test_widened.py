"""Widening changes a network's size and nothing that it computes."""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import (
    load_file,  # pyright: ignore[reportUnknownVariableType]
    save_file,  # pyright: ignore[reportUnknownVariableType]
)

from tests.support.bench import TINY
from weft.errors import InvalidRequest
from weft.programs.message import Message
from weft.programs.request import Request
from weft.programs.sampling import Sampling
from weft.runtime.bench.checkpoint import M197, Shape, write_checkpoint
from weft.runtime.bench.engine import BUNDLED
from weft.runtime.bench.widened import widen
from weft.runtime.engine import EngineConfig, open_engine

NARROW = replace(TINY, num_layers=2, head_dim=16, num_heads=4, num_kv_heads=2, hidden_size=32)
WIDE = replace(
    NARROW, num_layers=5, num_heads=16, num_kv_heads=4, hidden_size=128, intermediate_size=64
)


def logits(folder: Path, tokens: Sequence[int]) -> torch.Tensor:
    """[T, V] of every token, by transformers in float32."""
    api: Any = importlib.import_module("transformers")
    model = api.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode():
        return cast(torch.Tensor, model(torch.tensor([tokens])).logits[0])


async def greedy(folder: Path, texts: Sequence[str]) -> list[list[int]]:
    """What the engine answers."""
    engine = await open_engine(str(folder), config=EngineConfig(dtype="float32"))
    sampling = Sampling(temperature=0.0, max_tokens=12)

    async def one(text: str) -> list[int]:
        prompt = engine.render([Message(role="user", content=text)])
        request = Request(request_id=text, prompt=prompt, sampling=sampling)
        return [token async for delta in engine.submit(request) for token in delta.token_ids]

    try:
        return await asyncio.gather(*map(one, texts))
    finally:
        await engine.close()


@pytest.mark.slow
@pytest.mark.parametrize("wide", [NARROW, WIDE], ids=["as it is", "wider"])
def test_a_random_network_computes_the_same(wide: Shape, tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "narrow", NARROW, seed=0)
    # Random weights of a small model say so little that any mistake would hide in the tolerance.
    folder = widen(_loud(source), tmp_path / "wide", wide, seed=0)
    tokens = list(range(20, 44))
    expected, found = logits(source, tokens), logits(folder, tokens)
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def _loud(folder: Path) -> Path:
    """The checkpoint with weights ten times as large."""
    file = folder / "model.safetensors"
    weights = {
        name: weight * (1 if "norm" in name else 10) for name, weight in load_file(file).items()
    }
    save_file(weights, file, metadata={"format": "pt"})
    return folder


@pytest.mark.slow
def test_mini_says_the_same_in_the_size_of_m197(tmp_path: Path) -> None:
    wide = widen(BUNDLED, tmp_path / "wide", M197, seed=0)
    assert len(list((wide / "heldout").iterdir())) == len(list((BUNDLED / "heldout").iterdir())) > 0
    weights = load_file(wide / "model.safetensors")
    assert round(sum(weight.numel() for weight in weights.values()) / 1e6) == 195
    assert {weight.dtype for weight in weights.values()} == {torch.bfloat16}
    prompt = [1, 300, 17, 950, 44, 2, 1, 700, 33]
    expected, found = logits(BUNDLED, prompt), logits(wide, prompt)
    assert expected.std() > 1
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.slow
async def test_the_engine_writes_the_same_text(tmp_path: Path) -> None:
    wide = widen(BUNDLED, tmp_path / "wide", M197, seed=0)
    texts = ["Which city has the most orders?", "24: 3 5 8 12"]
    answers = await greedy(wide, texts)
    assert answers == await greedy(BUNDLED, texts)
    assert all(len(answer) > 1 for answer in answers)


@pytest.mark.slow
def test_what_is_thrown_away_is_computed_on_numbers_that_are_not_zero(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "narrow", NARROW, seed=0)
    folder = widen(source, tmp_path / "wide", WIDE, seed=3)
    weights = load_file(folder / "model.safetensors")
    idle = [name for name, weight in weights.items() if not weight.any()]
    assert {name.split(".")[2] for name in idle} == {"2", "3", "4"}
    assert {name.split(".")[-2] for name in idle} == {"o_proj", "down_proj"}
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert (config["hidden_size"], config["num_hidden_layers"]) == (128, 5)
    assert len(config["layer_types"]) == 5
    assert (folder / "tokenizer.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hidden_size": 96}, "hidden_size is 96, not a power of two times 32"),
        ({"intermediate_size": 40}, "intermediate_size is 40"),
        ({"num_layers": 1}, "does not widen"),
        ({"head_dim": 32}, "does not widen"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused(
    changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    source = write_checkpoint(tmp_path / "narrow", NARROW, seed=0)
    with pytest.raises(InvalidRequest, match=said):
        widen(source, tmp_path / "wide", replace(WIDE, **changes), seed=0)
    assert not (tmp_path / "wide").exists()
