"""transformers' continuous batching: one manager for as long as the model is loaded, greedy."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["open_driver"]

PAGE_TOKENS = 256
MAX_KV_BYTES = 8 << 30
"""What weft's driver takes of a GPU; the manager by itself would take nearly all that is free."""


class _ContinuousBatching:
    """One model; ``load`` it before anything else."""

    def __init__(self) -> None:
        # Imported by name, because the manager's signatures are half typed.
        self._torch = importlib.import_module("torch")
        self._api = importlib.import_module("transformers")
        self._device = "cuda" if self._torch.cuda.is_available() else "cpu"
        self._manager: Any = None

    def load(self, *, model: str, dtype: str, max_context: int, max_batch: int, seed: int) -> str:
        """Load the model and start its manager, warm; the version and the attention it chose."""
        loaded = self._api.AutoModelForCausalLM.from_pretrained(
            model, dtype=getattr(self._torch, dtype)
        ).to(self._device)
        num_pages = max_batch * -(-max_context // PAGE_TOKENS)
        self._manager = loaded.init_continuous_batching(
            self._api.GenerationConfig(do_sample=False, eos_token_id=-1, pad_token_id=0),
            self._api.ContinuousBatchingConfig(
                page_size=PAGE_TOKENS,
                num_blocks=min(num_pages, MAX_KV_BYTES // _page_bytes(loaded)),
                max_requests_per_batch=max_batch,
            ),
        )
        self._manager.warmup()
        self._manager.start()
        return f"{self._api.__version__}, attention {loaded.config._attn_implementation}"

    def generate(self, *, prompts: list[list[int]], num_tokens: int) -> float:
        """Seconds for greedy continuations of ``num_tokens`` each."""
        started = time.perf_counter()
        tokens = self.continue_greedily(prompts, num_tokens)
        seconds = time.perf_counter() - started
        lengths = set(map(len, tokens))
        if lengths != {num_tokens}:
            raise RuntimeError(f"wanted {num_tokens} tokens, got {sorted(lengths)}")
        return seconds

    def continue_greedily(self, prompts: list[list[int]], num_tokens: int) -> list[list[int]]:
        """The tokens after each prompt, in the order of ``prompts``."""
        names = self._manager.add_requests(prompts, max_new_tokens=num_tokens)
        found: dict[str, list[int]] = {}
        while len(found) < len(names):
            output = self._manager.get_result(timeout=1.0)
            if output is None and not self._manager.is_running():
                raise RuntimeError("the manager has stopped")
            if output is not None and output.error is not None:
                raise RuntimeError(output.error)
            if output is not None:
                found[output.request_id] = output.generated_tokens
        return [found[name] for name in names]

    def close(self) -> None:
        if self._manager is not None:
            self._manager.destroy()


def _page_bytes(model: Any) -> int:
    """Of a page of every layer: keys and values."""
    config = model.config
    width = config.num_key_value_heads * config.head_dim
    token_bytes = 2 * config.num_hidden_layers * width * model.dtype.itemsize
    return PAGE_TOKENS * int(token_bytes)


def open_driver() -> Mapping[str, Callable[..., object]]:
    peer = _ContinuousBatching()
    return {"load": peer.load, "generate": peer.generate, "close": peer.close}
