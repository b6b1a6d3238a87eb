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

    def load(
        self,
        *,
        model: str,
        dtype: str,
        max_context: int,
        max_batch: int,
        seed: int,
        has_prefix_cache: bool = False,
    ) -> str:
        # Its compile cache knows a model by the path it was given. A bare name is the same name
        # in whatever temporary folder the checkpoint lies this time.
        folder = Path(model)
        os.chdir(folder.parent)
        self._llm = self._api.LLM(
            folder.name,
            dtype=dtype,
            skip_tokenizer_init=True,
            enable_prefix_caching=has_prefix_cache,
            max_model_len=max_context,
            max_num_seqs=max_batch,
            seed=seed,
        )
        return str(self._api.__version__)

    def generate(self, *, prompts: list[list[int]], num_tokens: int) -> float:
        """Seconds for greedy continuations of ``num_tokens`` each."""
        started = time.perf_counter()
        self._continue(prompts, num_tokens)
        return time.perf_counter() - started

    def fork(
        self,
        *,
        context: list[int],
        heads: list[list[int]],
        join_head: list[int],
        num_tokens: int,
    ) -> dict[str, object]:
        """Seconds until the last branch has ended and seconds of the join as one text,
        ``num_tokens`` greedy ones each; what the branches and then the join said."""
        started = time.perf_counter()
        said = self._continue([context + head for head in heads], num_tokens)
        branched = time.perf_counter()
        prompt = list(context)
        for head, tokens in zip(heads, said, strict=True):
            prompt += head + tokens
        joined = self._continue([prompt + join_head], num_tokens)
        join_s = time.perf_counter() - branched
        return {"branches_s": branched - started, "join_s": join_s, "tokens": said + joined}

    def _continue(self, prompts: list[list[int]], num_tokens: int) -> list[list[int]]:
        sampling = self._api.SamplingParams(
            temperature=0.0, max_tokens=num_tokens, ignore_eos=True, detokenize=False
        )
        inputs = [self._api.TokensPrompt(prompt_token_ids=prompt) for prompt in prompts]
        outputs = self._llm.generate(inputs, sampling, use_tqdm=False)
        said = [list(output.outputs[0].token_ids) for output in outputs]
        lengths = set(map(len, said))
        if lengths != {num_tokens}:
            raise RuntimeError(f"wanted {num_tokens} tokens, got {sorted(lengths)}")
        return said


def open_driver() -> Mapping[str, Callable[..., object]]:
    vllm = _Vllm()
    return {"load": vllm.load, "generate": vllm.generate, "fork": vllm.fork}
