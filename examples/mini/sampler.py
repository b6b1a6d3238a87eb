"""Sample many prompts in batches with transformers' own generation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from examples.mini.chat_tokenizer import ChatTokenizer, Messages
from examples.mini.tokenizer import END_OF_TEXT

BATCH_SIZE = 256


class Generates(Protocol):
    """The part of transformers' generation that is used here, with its true types."""

    def generate(
        self,
        *,
        input_ids: Tensor,
        attention_mask: Tensor,
        max_new_tokens: int,
        do_sample: bool,
        temperature: float | None,
        top_k: int | None,
        top_p: float | None,
    ) -> Tensor:
        """Return prompts and answers, (B, T) int64."""
        ...


class Sampler:
    """A loaded checkpoint that answers batches of chats."""

    def __init__(self, folder: Path, device: str) -> None:
        self._tokenizer = cast(
            ChatTokenizer,
            AutoTokenizer.from_pretrained(folder),  # pyright: ignore[reportUnknownMemberType]
        )
        model: nn.Module = AutoModelForCausalLM.from_pretrained(  # pyright: ignore[reportUnknownMemberType]
            folder, dtype=torch.float32
        )
        nn.Module.to(model, device).eval()
        self._model = cast(Generates, model)
        self._device = device
        self._pad_id = self._tokenizer.convert_tokens_to_ids(END_OF_TEXT)

    def prompt(self, messages: Messages, tools: Messages | None = None) -> str:
        """Render a chat up to the assistant's next turn."""
        return self._tokenizer.apply_chat_template(
            messages, tools=tools, tokenize=False, add_generation_prompt=True
        )

    def sample(self, prompts: Sequence[str], *, max_tokens: int, temperature: float) -> list[str]:
        """Answer every prompt once; temperature 0 is greedy. The order is kept."""
        ids = [self._tokenizer.encode(prompt) for prompt in prompts]
        order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
        answers = [""] * len(ids)
        for start in range(0, len(order), BATCH_SIZE):
            chunk = order[start : start + BATCH_SIZE]
            texts = self._generate([ids[index] for index in chunk], max_tokens, temperature)
            for index, text in zip(chunk, texts, strict=True):
                answers[index] = text
        return answers

    @torch.inference_mode()
    def _generate(self, rows: list[list[int]], max_tokens: int, temperature: float) -> list[str]:
        width = max(map(len, rows))
        pads = [width - len(row) for row in rows]
        ids = [[self._pad_id] * pad + row for pad, row in zip(pads, rows, strict=True)]
        mask = [[0] * pad + [1] * (width - pad) for pad in pads]
        is_greedy = temperature == 0
        ids_BT = self._model.generate(
            input_ids=torch.tensor(ids, device=self._device),
            attention_mask=torch.tensor(mask, device=self._device),
            max_new_tokens=max_tokens,
            do_sample=not is_greedy,
            temperature=None if is_greedy else temperature,
            top_k=None if is_greedy else 0,
            top_p=None if is_greedy else 1.0,
        )
        answers = cast(list[list[int]], ids_BT[:, width:].tolist())  # pyright: ignore[reportUnknownMemberType]
        return [self._tokenizer.decode(answer, skip_special_tokens=True) for answer in answers]
