"""The bundled files: what is shipped is what the generators write, and it loads."""

import json
from importlib import resources
from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from examples.mini.chat_template import CHAT_TEMPLATE
from examples.mini.heldout import write_assets
from examples.mini.shop_db import shop_script

MAX_PARAMETERS = 6_000_000
MAX_WEIGHTS_BYTES = 15_000_000


def assets() -> Path:
    return Path(str(resources.files("weft.runtime").joinpath("assets/mini")))


def test_the_bundled_shop_is_the_generated_one() -> None:
    assert (assets() / "shop.sql").read_text(encoding="utf-8") == shop_script()


@pytest.mark.slow
def test_the_bundled_heldout_problems_are_the_generated_ones(tmp_path: Path) -> None:
    write_assets(tmp_path)
    for path in (tmp_path / "heldout").iterdir():
        assert path.read_bytes() == (assets() / "heldout" / path.name).read_bytes()


@pytest.mark.slow
def test_transformers_loads_the_checkpoint_and_it_answers() -> None:
    # Any, because the call signatures of both are not typed.
    tokenizer: Any = AutoTokenizer.from_pretrained(assets())
    model: Any = AutoModelForCausalLM.from_pretrained(assets(), dtype=torch.float32)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hello"}], tokenize=False, add_generation_prompt=True
    )
    ids_1T = torch.tensor([tokenizer.encode(prompt)])
    answer = model.generate(ids_1T, max_new_tokens=20, do_sample=False)[0, ids_1T.shape[1] :]
    assert tokenizer.decode(answer, skip_special_tokens=True) == "Hello! How can I help you?"


def test_the_checkpoint_is_small_and_of_a_plain_architecture() -> None:
    config = json.loads((assets() / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["Qwen3ForCausalLM"]
    assert (assets() / "model.safetensors").stat().st_size < MAX_WEIGHTS_BYTES
    weights = (assets() / "model.safetensors").read_bytes()
    header = json.loads(weights[8 : 8 + int.from_bytes(weights[:8], "little")])
    shapes = [entry["shape"] for name, entry in header.items() if name != "__metadata__"]
    assert sum(map(prod, shapes)) <= MAX_PARAMETERS
    tokenizer_config = json.loads((assets() / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert tokenizer_config["chat_template"] == CHAT_TEMPLATE
