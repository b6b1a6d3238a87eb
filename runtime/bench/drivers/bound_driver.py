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
TRIAL_ROWS, NUM_TRIALS = 512, 5


class _Bound:
    """The products of one model; ``load`` it before anything else."""

    def __init__(self) -> None:
        # Imported by name, because torch's functions are not fully typed.
        self._torch = importlib.import_module("torch")
        self._device = "cuda" if self._torch.cuda.is_available() else "cpu"
        self._weights: list[Any] = []
        self._stored: Any = None
        self._read: Callable[[], object] = self._sum

    def load(self, *, model: str, dtype: str, max_context: int, max_batch: int, seed: int) -> str:
        """Make weights of the model's shapes, in the dtype whose products are fastest here."""
        config = json.loads((Path(model) / "config.json").read_text(encoding="utf-8"))
        shapes = _shapes(config)
        size = self._torch.tensor([], dtype=getattr(self._torch, _dtype_of(config))).element_size()
        num_words = sum(outputs * inputs for outputs, inputs in shapes) * size // 8
        self._stored = self._torch.ones(num_words, dtype=self._torch.int64, device=self._device)
        if self._device == "cuda":
            self._read = min((self._sum, self._copy), key=self._best_time)
        trials = {name: self._trial(self._make(name, shapes[:4])) for name in DTYPES}
        self._weights = self._make(min(trials, key=trials.__getitem__), shapes)
        return ""

    def generate(self, *, prompts: list[list[int]], num_tokens: int) -> float:
        """Seconds that continuations of ``num_tokens`` each take at the least."""
        prefill_s = self._multiply(self._weights, sum(map(len, prompts)), len(prompts))
        return prefill_s + self._time(self._read, num_tokens - 1)

    def _sum(self) -> None:
        self._stored.sum()

    def _copy(self) -> None:
        """Moves as many bytes: half are read, half written."""
        half = len(self._stored) // 2
        self._stored[:half].copy_(self._stored[half : 2 * half])

    def _multiply(self, weights: list[Any], rows: int, head_rows: int) -> float:
        """Seconds of all products: the layers' with ``rows``, the head's with the last tokens'."""
        shapes = [*((rows, weight.shape[1]) for weight in weights[:-1])]
        shapes.append((head_rows, weights[-1].shape[1]))
        inputs = {shape: self._random(shape, weights[0].dtype) for shape in set(shapes)}
        linear = self._torch.nn.functional.linear

        def multiply() -> None:
            for shape, weight in zip(shapes, weights, strict=True):
                linear(inputs[shape], weight)

        return self._time(multiply)

    def _trial(self, weights: list[Any]) -> float:
        self._multiply(weights, TRIAL_ROWS, 1)
        return self._multiply(weights, TRIAL_ROWS, 1)

    def _make(self, name: str, shapes: list[tuple[int, int]]) -> list[Any]:
        dtype = getattr(self._torch, name)
        return [self._random(shape, dtype) for shape in shapes]

    def _random(self, shape: tuple[int, int], dtype: Any) -> Any:
        # Equal numbers would flip fewer bits than a model's, and let a GPU keep a higher clock.
        return self._torch.randn(shape, dtype=dtype, device=self._device)

    def _best_time(self, work: Callable[[], object]) -> float:
        return min(self._time(work) for _ in range(NUM_TRIALS))

    def _time(self, work: Callable[[], object], times: int = 1) -> float:
        """Seconds, all that a GPU was given to do included."""
        self._finish()
        started = time.perf_counter()
        for _ in range(times):
            work()
        self._finish()
        return time.perf_counter() - started

    def _finish(self) -> None:
        if self._device == "cuda":
            self._torch.cuda.synchronize()


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
