"""Write a trained model as a folder that transformers loads."""

import copy
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM


def export(folder: Path, model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    """Write weights in bfloat16, configuration and tokenizer; the model is left as it was."""
    folder.mkdir(parents=True, exist_ok=True)
    stored = copy.deepcopy(model).to(device="cpu", dtype=torch.bfloat16)
    stored.save_pretrained(folder)
    tokenizer.save_pretrained(folder, save_jinja_files=False)
