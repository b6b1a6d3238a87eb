"""What the machine allows: a model's bytes read and its products done, and nothing else.

A decode step takes at least as long as reading every weight once, a prompt at least as long as its
products (the roofline of Williams et al., 2009). Attention, which grows with the context, is left
out.
"""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["open_driver"]

DTYPES = ("float32", "bfloat16")
TRIAL_ROWS = 512


class _Bound:
    """The products of one model; ``load`` it before anything else."""

    def __init__(self) -> None:
        # Imported by name, because torch's functions are not fully typed.
        self._torch = importlib.import_module("torch")
        self._shapes: list[tuple[int, int]] = []
        self._weights: list[Any] = []
        self._stored: Any = None

    def load(self, *, model: str, dtype: str, max_context: int, max_batch: int, seed: int) -> str:
        """Make weights of the model's shapes, in the dtype whose products are fastest here."""
        config = json.loads((Path(model) / "config.json").read_text(encoding="utf-8"))
        self._shapes = _shapes(config)
        size = self._torch.tensor([], dtype=getattr(self._torch, _dtype_of(config))).element_size()
        num_bytes = sum(outputs * inputs for outputs, inputs in self._shapes) * size
        self._stored = self._torch.ones(num_bytes // 8, dtype=self._torch.int64)
        trials = {name: self._trial(name) for name in DTYPES}
        self._weights = self._make(min(trials, key=trials.__getitem__))
        return ""

    def generate(self, *, prompts: list[list[int]], num_tokens: int) -> float:
        """Seconds that continuations of ``num_tokens`` each take at the least."""
        prefill_s = self._multiply(sum(map(len, prompts)), len(prompts))
        return prefill_s + sum(self._read() for _ in range(num_tokens - 1))

    def _read(self) -> float:
        started = time.perf_counter()
        self._stored.sum().item()
        return time.perf_counter() - started

    def _multiply(self, rows: int, head_rows: int) -> float:
        """Seconds of all products: the layers' with ``rows``, the head's with the last tokens'."""
        num_rows = [*[rows] * (len(self._weights) - 1), head_rows]
        pairs = [
            (self._torch.ones(count, weight.shape[1], dtype=weight.dtype), weight)
            for count, weight in zip(num_rows, self._weights, strict=True)
        ]
        started = time.perf_counter()
        for x, weight in pairs:
            self._torch.nn.functional.linear(x, weight)
        return time.perf_counter() - started

    def _trial(self, name: str) -> float:
        self._weights = self._make(name)[:4]
        self._multiply(TRIAL_ROWS, 1)
        return self._multiply(TRIAL_ROWS, 1)

    def _make(self, name: str) -> list[Any]:
        dtype = getattr(self._torch, name)
        return [self._torch.ones(*shape, dtype=dtype) for shape in self._shapes]


def _shapes(config: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Outputs and inputs of every product of a decoder with a gated feed-forward."""
    width, mlp_width = config["hidden_size"], config["intermediate_size"]
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    head_dim = config.get("head_dim") or width // heads
    layer = [
        ((heads + 2 * kv_heads) * head_dim, width),
        (width, heads * head_dim),
        (2 * mlp_width, width),
        (width, mlp_width),
    ]
    return [*layer * config["num_hidden_layers"], (config["vocab_size"], width)]


def _dtype_of(config: Mapping[str, Any]) -> str:
    return str(config.get("dtype") or config.get("torch_dtype") or "float32")


def open_driver() -> Mapping[str, Callable[..., object]]:
    bound = _Bound()
    return {"load": bound.load, "generate": bound.generate}
