"""Sample many prompts in batches with transformers' own generation."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from examples.mini.problem import JsonValue

BATCH_SIZE = 256


class Sampler:
    """A loaded checkpoint that answers batches of chats."""

    def __init__(self, folder: Path, device: str) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self._model = model.to(device).eval()
        self._device = device

    def prompt(
        self,
        messages: Sequence[Mapping[str, JsonValue]],
        tools: Sequence[Mapping[str, JsonValue]] | None = None,
    ) -> str:
        """Render a chat up to the assistant's next turn."""
        text: str = self._tokenizer.apply_chat_template(
            list(messages), tools=tools, tokenize=False, add_generation_prompt=True
        )
        return text

    def sample(self, prompts: Sequence[str], *, max_tokens: int, temperature: float) -> list[str]:
        """Answer every prompt once; temperature 0 is greedy. The order is kept."""
        order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
        answers = [""] * len(prompts)
        for start in range(0, len(order), BATCH_SIZE):
            chunk = order[start : start + BATCH_SIZE]
            texts = self._generate([prompts[index] for index in chunk], max_tokens, temperature)
            for index, text in zip(chunk, texts, strict=True):
                answers[index] = text
        return answers

    @torch.inference_mode()
    def _generate(self, prompts: list[str], max_tokens: int, temperature: float) -> list[str]:
        inputs = self._tokenizer(prompts, return_tensors="pt", padding=True).to(self._device)
        choice = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
        ids_BT = self._model.generate(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            max_new_tokens=max_tokens,
            **(choice if temperature else {"do_sample": False}),
        )
        answers_BT = ids_BT[:, inputs["input_ids"].shape[1] :]
        texts: list[str] = self._tokenizer.batch_decode(answers_BT, skip_special_tokens=True)
        return texts
