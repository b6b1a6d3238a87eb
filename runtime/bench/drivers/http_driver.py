"""A running server with the OpenAI completions route, given token ids: ``http_driver.py URL``."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

__all__ = ["open_driver"]

TIMEOUT_S = 300.0


class _Server:
    """One server; ``load`` finds the model it must already serve."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._model = ""
        self._threads = ThreadPoolExecutor()

    def load(self, *, model: str, dtype: str, max_context: int, max_batch: int, seed: int) -> str:
        wanted = model.rstrip("/").rpartition("/")[2]
        served = [str(one["id"]) for one in self._ask("/v1/models", None)["data"]]
        fitting = [name for name in served if name.rstrip("/").rpartition("/")[2] == wanted]
        if not fitting:
            raise RuntimeError(f"{self._url} serves {served}, not {wanted!r}")
        self._model = fitting[0]
        self._threads = ThreadPoolExecutor(max_batch)
        return ""

    def generate(self, *, prompts: list[list[int]], num_tokens: int) -> float:
        """Seconds for greedy continuations of ``num_tokens`` each, one request per prompt."""
        started = time.perf_counter()
        answers = list(self._threads.map(partial(self._one, num_tokens), prompts))
        seconds = time.perf_counter() - started
        lengths = {answer["usage"]["completion_tokens"] for answer in answers}
        if lengths != {num_tokens}:
            raise RuntimeError(f"wanted {num_tokens} tokens, got {sorted(lengths)}")
        return seconds

    def _one(self, num_tokens: int, prompt: list[int]) -> Any:
        body = {"model": self._model, "prompt": prompt, "max_tokens": num_tokens}
        return self._ask("/v1/completions", {**body, "temperature": 0.0, "ignore_eos": True})

    def _ask(self, route: str, body: Mapping[str, object] | None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._url + route, data=data, headers=headers)
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            return json.load(response)


def open_driver(url: str) -> Mapping[str, Callable[..., object]]:
    server = _Server(url)
    return {"load": server.load, "generate": server.generate}
