"""Agents on LangGraph's functional API over a server: the programs of weft_agentic_driver.py.

``langgraph_agentic_driver.py PYTHON`` starts vLLM's server with that interpreter; standard library
and LangGraph only, because it runs in an environment that does not know weft.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import json
import random
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import Any

__all__ = ["open_driver"]

LETTERS = "abcdefghijklmnopqrstuvwxyz"
BLOCK_SIZE = 32
"""The smallest that it has on processors."""
START_S = 300.0
TIMEOUT_S = 600


@contextlib.contextmanager
def _settled() -> Iterator[None]:
    """Thousands of scripts that lie there are not looked through for garbage again and again."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class _Server:
    """vLLM's own server on loopback, ended with ``close``."""

    def __init__(self, python: str) -> None:
        self._python = python
        self._process: subprocess.Popen[bytes] | None = None
        self.host, self.port = "127.0.0.1", 0
        self.model = ""

    def start(self, folder: Path, *, dtype: str, num_blocks: int) -> None:
        self.close()
        with socket.socket() as probe:
            probe.bind((self.host, 0))
            self.port = probe.getsockname()[1]
        # Its compile cache knows a model by the path it was given: a bare name stays the same.
        self.model = folder.name
        arguments = {
            "--model": folder.name,
            "--host": self.host,
            "--port": self.port,
            "--dtype": dtype,
            "--max-model-len": 4096,
            "--max-num-seqs": 256,
            "--block-size": BLOCK_SIZE,
            "--num-gpu-blocks-override": num_blocks,
            "--seed": 0,
        }
        words = [str(word) for pair in arguments.items() for word in pair]
        self._process = subprocess.Popen(
            [self._python, "-m", "vllm.entrypoints.openai.api_server", *words],
            cwd=folder.parent,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
        )
        self._wait_until_ready()

    def close(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def forget(self) -> None:
        """Empty its prefix cache, as each round of the others begins with an empty one."""
        request = urllib.request.Request(f"{self.url}/reset_prefix_cache", method="POST")
        with contextlib.suppress(urllib.error.HTTPError):
            urllib.request.urlopen(request, timeout=30).close()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"the server ended with {self._process.returncode}")
            try:
                urllib.request.urlopen(f"{self.url}/health", timeout=5).close()
            except (OSError, urllib.error.URLError):
                time.sleep(0.5)
            else:
                return
        raise RuntimeError(f"the server was not ready within {START_S:.0f} s")


class _LangGraph:
    def __init__(self, python: str) -> None:
        # Imported by name: it lives in another environment, which type checkers cannot see.
        self._api: Any = importlib.import_module("langgraph.func")
        self._http: Any = importlib.import_module("httpx")
        self._server = _Server(python)
        self._ids: dict[str, int] = {}

    def load(
        self, *, model: str, dtype: str, kv_tokens: int, letters: Mapping[str, int]
    ) -> dict[str, str]:
        """Start the server with room for so many tokens; ``letters`` are the ids of letters."""
        self._ids = dict(letters)
        # One of its blocks is never used.
        num_blocks = kv_tokens // BLOCK_SIZE + 1
        self._server.start(Path(model), dtype=dtype, num_blocks=num_blocks)
        return {"langgraph": metadata.version("langgraph")}

    def run(
        self,
        *,
        scripts: Sequence[Mapping[str, Any]],
        num_open: int,
        warm_s: float,
        seconds: float,
    ) -> dict[str, Any]:
        """Serve for so many seconds behind the warm-up, then drop what is open."""
        self._server.forget()
        with _settled():
            return asyncio.run(self._run(scripts, num_open, warm_s, seconds))

    async def _run(
        self, scripts: Sequence[Mapping[str, Any]], num_open: int, warm_s: float, seconds: float
    ) -> dict[str, Any]:
        steps_s: dict[str, list[float]] = {}
        ended: list[str] = []
        first_s: list[tuple[float, float]] = []
        limits = self._http.Limits(max_connections=None, max_keepalive_connections=None)
        client = self._http.AsyncClient(
            base_url=self._server.url, limits=limits, timeout=TIMEOUT_S, trust_env=False
        )
        entry = self._entry(client, first_s)

        later: dict[str, list[Mapping[str, Any]]] = {one["tenant"]: [] for one in scripts}
        for script in scripts[num_open:]:
            later[script["tenant"]].append(script)
        following = {tenant: iter(some) for tenant, some in later.items()}

        async def work(first: Mapping[str, Any]) -> None:
            for script in chain((first,), following[first["tenant"]]):
                done = steps_s[script["name"]] = []
                await entry.ainvoke({"script": script, "done": done})
                ended.append(script["name"])
            raise RuntimeError("the programs have run out before the time")

        workers = [asyncio.create_task(work(script)) for script in scripts[:num_open]]
        try:
            await asyncio.wait(workers, timeout=warm_s, return_when=asyncio.FIRST_EXCEPTION)
            begins_s = time.perf_counter()
            await asyncio.wait(workers, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
            ends_s = time.perf_counter()
            for worker in workers:
                if worker.done():
                    worker.result()
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            await client.aclose()
        return {
            "seconds": ends_s - begins_s,
            "steps": {
                name: sum(begins_s <= at_s < ends_s for at_s in done)
                for name, done in steps_s.items()
            },
            "ended": ended,
            "first_token_s": [took for at_s, took in first_s if begins_s <= at_s < ends_s],
        }

    def _entry(self, client: Any, first_s: list[tuple[float, float]]) -> Any:
        task, entrypoint = self._api.task, self._api.entrypoint

        async def generate(given: dict[str, Any]) -> list[int]:
            return await self._generate(client, given["prompt"], given["num_output"], first_s)

        async def use_tool(given: dict[str, Any]) -> None:
            await asyncio.sleep(given["seconds"])

        said, used = task(generate), task(use_tool)

        async def agent(given: dict[str, Any]) -> int:
            script, done = given["script"], given["done"]
            tokens = self._tokens(script["prefix"])
            for read, num_output, tool, tool_s in script["steps"]:
                tokens = tokens + self._tokens(read)
                tokens = tokens + await said({"prompt": tokens, "num_output": num_output})
                if tool:
                    await used({"seconds": tool_s})
                done.append(time.perf_counter())
            return len(tokens)

        return entrypoint()(agent)

    async def _generate(
        self, client: Any, prompt: list[int], num_output: int, first_s: list[tuple[float, float]]
    ) -> list[int]:
        body = {
            "model": self._server.model,
            "prompt": prompt,
            "max_tokens": num_output,
            "temperature": 0.0,
            "ignore_eos": True,
            "stream": True,
            "return_token_ids": True,
        }
        asked_s, tokens = time.perf_counter(), list[int]()
        async with client.stream("POST", "/v1/completions", json=body) as response:
            if response.status_code != 200:
                raise RuntimeError((await response.aread()).decode()[:300])
            async for line in response.aiter_lines():
                if not line.startswith("data: ") or line == "data: [DONE]":
                    continue
                if not tokens:
                    now_s = time.perf_counter()
                    first_s.append((now_s, now_s - asked_s))
                for choice in json.loads(line[6:])["choices"]:
                    tokens += choice.get("token_ids") or []
        if len(tokens) != num_output:
            raise RuntimeError(f"wanted {num_output} tokens, got {len(tokens)}")
        return tokens

    def _tokens(self, passage: Sequence[Any]) -> list[int]:
        """The passage of this seed and length, as weft writes it."""
        seed, num_tokens = passage
        rng = random.Random(seed)
        return [self._ids[letter] for letter in rng.choices(LETTERS, k=num_tokens)]

    def close(self) -> None:
        self._server.close()


def open_driver(python: str) -> Mapping[str, Callable[..., object]]:
    peer = _LangGraph(python)
    return {"load": peer.load, "run": peer.run, "close": peer.close}
