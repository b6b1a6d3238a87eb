"""What LangGraph's functional API costs for the same work as weft_overhead_driver.py."""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["open_driver"]


class _LangGraph:
    """The same programs, written with ``@entrypoint`` and ``@task``; no checkpointer, as weft's
    have no store."""

    def __init__(self) -> None:
        # Imported by name: it lives in another environment, which type checkers cannot see.
        self._api: Any = importlib.import_module("langgraph.func")
        work = self._api.task(_work)

        async def sequence(given: dict[str, int]) -> int:
            for index in range(given["num_steps"]):
                await work(index)
            return given["num_steps"]

        async def fan_out(given: dict[str, int]) -> int:
            width = given["width"]
            for _ in range(given["num_steps"] // width):
                await asyncio.gather(*[work(index) for index in range(width)])
            return given["num_steps"]

        self.sequence = self._timed(self._api.entrypoint()(sequence))
        self.fan_out = self._timed(self._api.entrypoint()(fan_out))

    def version(self) -> str:
        return metadata.version("langgraph")

    def park(self, *, num_programs: int) -> float:
        """Bytes of resident memory per program that waits inside a task; once per process."""
        return asyncio.run(self._park(num_programs))

    async def _park(self, num_programs: int) -> float:
        gate, parked = asyncio.Event(), asyncio.Semaphore(0)

        async def wait(index: int) -> None:
            parked.release()
            await gate.wait()

        waiting = self._api.task(wait)

        async def program(index: int) -> int:
            await waiting(index)
            return 0

        entry = self._api.entrypoint()(program)
        before = _resident_bytes()
        runs = [asyncio.ensure_future(entry.ainvoke(index)) for index in range(num_programs)]
        for _ in range(num_programs):
            await parked.acquire()
        size = (_resident_bytes() - before) / num_programs
        gate.set()
        await asyncio.gather(*runs)
        return size

    def _timed(self, entry: Any) -> Callable[..., object]:
        """Seconds for ``num_programs`` runs, one after another, of ``num_steps`` tasks each."""

        async def run_all(num_programs: int, arguments: dict[str, int]) -> float:
            started = time.perf_counter()
            for _ in range(num_programs):
                await entry.ainvoke(arguments)
            return time.perf_counter() - started

        def timed(*, num_programs: int, **arguments: int) -> float:
            return asyncio.run(run_all(num_programs, arguments))

        return timed


async def _work(value: int) -> int:
    return value


def _resident_bytes() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def open_driver() -> Mapping[str, Callable[..., object]]:
    peer = _LangGraph()
    return {
        "version": peer.version,
        "sequence": peer.sequence,
        "fan_out": peer.fan_out,
        "park": peer.park,
    }
