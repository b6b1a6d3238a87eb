"""vLLM's offline ``LLM`` as it is used for throughput: token ids in, token ids out."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["open_driver"]


class _Vllm:
    """One model; ``load`` it before anything else."""

    def __init__(self) -> None:
        # Imported by name: it lives in another environment, which type checkers cannot see.
        self._api = importlib.import_module("vllm")
        self._llm: Any = None

    def load(self, *, model: str, dtype: str, max_context: int, max_batch: int, seed: int) -> str:
        # Its compile cache knows a model by the path it was given. A bare name is the same name
        # in whatever temporary folder the checkpoint lies this time.
        folder = Path(model)
        os.chdir(folder.parent)
        self._llm = self._api.LLM(
            folder.name,
            dtype=dtype,
            skip_tokenizer_init=True,
            enable_prefix_caching=False,
            max_model_len=max_context,
            max_num_seqs=max_batch,
            seed=seed,
        )
        return str(self._api.__version__)

    def generate(self, *, prompts: list[list[int]], num_tokens: int) -> float:
        """Seconds for greedy continuations of ``num_tokens`` each."""
        sampling = self._api.SamplingParams(
            temperature=0.0, max_tokens=num_tokens, ignore_eos=True, detokenize=False
        )
        inputs = [self._api.TokensPrompt(prompt_token_ids=prompt) for prompt in prompts]
        started = time.perf_counter()
        outputs = self._llm.generate(inputs, sampling, use_tqdm=False)
        seconds = time.perf_counter() - started
        lengths = {len(output.outputs[0].token_ids) for output in outputs}
        if lengths != {num_tokens}:
            raise RuntimeError(f"wanted {num_tokens} tokens, got {sorted(lengths)}")
        return seconds


def open_driver() -> Mapping[str, Callable[..., object]]:
    vllm = _Vllm()
    return {"load": vllm.load, "generate": vllm.generate}
