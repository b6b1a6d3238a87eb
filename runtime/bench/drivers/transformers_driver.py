"""transformers' own ``generate``: a batch of equal prompts, greedy, with its default cache."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["open_driver"]


class _Transformers:
    """One model; ``load`` it before anything else."""

    def __init__(self) -> None:
        # Imported by name, because the call signatures of ``generate`` are not typed.
        self._torch = importlib.import_module("torch")
        self._api = importlib.import_module("transformers")
        self._model: Any = None
        self._device = "cuda" if self._torch.cuda.is_available() else "cpu"

    def load(self, *, model: str, dtype: str, max_context: int, max_batch: int, seed: int) -> str:
        loaded = self._api.AutoModelForCausalLM.from_pretrained(
            model, dtype=getattr(self._torch, dtype)
        )
        self._model = loaded.to(self._device).eval()
        return str(self._api.__version__)

    def generate(self, *, prompts: list[list[int]], num_tokens: int) -> float:
        """Seconds for greedy continuations of ``num_tokens`` each."""
        inputs = self._torch.tensor(prompts, device=self._device)
        self._finish()
        started = time.perf_counter()
        with self._torch.inference_mode():
            output = self._model.generate(
                inputs,
                attention_mask=self._torch.ones_like(inputs),
                do_sample=False,
                min_new_tokens=num_tokens,
                max_new_tokens=num_tokens,
                pad_token_id=0,
            )
        self._finish()
        seconds = time.perf_counter() - started
        num_new = output.shape[1] - inputs.shape[1]
        if num_new != num_tokens:
            raise RuntimeError(f"wanted {num_tokens} tokens, got {num_new}")
        return seconds

    def _finish(self) -> None:
        """Wait for what a GPU was given to do."""
        if self._device == "cuda":
            self._torch.cuda.synchronize()


def open_driver() -> Mapping[str, Callable[..., object]]:
    peer = _Transformers()
    return {"load": peer.load, "generate": peer.generate}
