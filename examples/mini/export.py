"""Write a trained model as a folder that transformers loads."""

import copy
from pathlib import Path

import torch
from torch import nn
from transformers import Qwen3ForCausalLM

from examples.mini.chat_tokenizer import ChatTokenizer


def export(folder: Path, model: Qwen3ForCausalLM, tokenizer: ChatTokenizer) -> None:
    """Write weights in bfloat16, configuration and tokenizer; the model is left as it was."""
    folder.mkdir(parents=True, exist_ok=True)
    stored = copy.deepcopy(model)
    nn.Module.to(stored, device="cpu", dtype=torch.bfloat16)
    stored.save_pretrained(folder)  # pyright: ignore[reportUnknownMemberType]
    tokenizer.save_pretrained(folder, save_jinja_files=False)
