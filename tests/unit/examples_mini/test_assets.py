"""The bundled files: what is shipped is what the generators write, and it loads."""

from importlib import resources
from pathlib import Path

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
def test_the_checkpoint_loads_and_answers() -> None:
    tokenizer = AutoTokenizer.from_pretrained(assets())
    model = AutoModelForCausalLM.from_pretrained(assets(), dtype=torch.float32)
    assert type(model).__name__ == "Qwen3ForCausalLM"
    assert sum(parameter.numel() for parameter in model.parameters()) <= MAX_PARAMETERS
    assert (assets() / "model.safetensors").stat().st_size < MAX_WEIGHTS_BYTES
    assert tokenizer.chat_template == CHAT_TEMPLATE
    inputs = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hello"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    output = model.generate(**inputs, max_new_tokens=20, do_sample=False)
    answer = tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert answer == "Hello! How can I help you?"
