"""A Python process that keeps its variables from call to call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

from weft.tools.builtin.place import SMALLEST_GROWTH, SandboxPlace, ending
from weft.tools.builtin.python_answer import (
    MAX_ANSWER_BYTES,
    PythonAnswer,
    PythonResult,
    Question,
    worker_command,
)
from weft.tools.environment import Preparation
from weft.tools.meter import note_usage
from weft.tools.sandbox import HeldCommand

__all__ = ["PythonSession"]

LIFE_S = 86_400.0
"""How long one process may live; each call has its own time."""
LIFE_BYTES = 1 << 30
"""What one process may answer in its life."""
END_S = 1.0
LOST_NOW = "The process is gone with its variables, functions and imports; files are still there."
LOST = f"{LOST_NOW} The next call starts in a new process."


class PythonSession:
    """One process at a time, started ahead of use, replaced when it has ended. Close it always.

    Calls run one after the other. A call that takes too long, or is cancelled, costs the process.
    """

    def __init__(self, place: SandboxPlace) -> None:
        self._place = place
        self._turn = asyncio.Lock()
        self._loss = ""
        self._is_closed = False
        self._state: tuple[int, int] | None = None
        self._process = self._start()

    def _start(self) -> Preparation[HeldCommand]:
        return Preparation("python process", self._hold())

    @asynccontextmanager
    async def _hold(self) -> AsyncGenerator[HeldCommand]:
        limits = replace(
            self._place.limits,
            wall_s=LIFE_S,
            output_bytes=LIFE_BYTES,
            workspace_bytes=max(SMALLEST_GROWTH, await self._place.num_left_bytes()),
        )
        sandbox = await self._place.sandbox
        self._state = (await self._place.ground).state
        async with sandbox.hold(worker_command(), limits=limits) as held:
            yield held

    async def run(self, code: str, timeout_s: float) -> PythonResult:
        """Run code in the process that knows what earlier code has left.

        Raises SandboxUnavailable where no process can be had.
        """
        async with self._turn:
            held = await self._ready()
            if (await self._place.ground).state != self._state:
                # A process sees the workspace as it was mounted when the process began.
                self._loss = f"The workspace was forked, or took a fork's commit. {LOST_NOW}"
                await self._replace()
                held = await self._ready()
            loss, self._loss = self._loss, ""
            result = await self._attempt(held, Question(code, captures=True), timeout_s)
            return replace(result, notice=" ".join(filter(None, (loss, result.notice))))

    async def _ready(self) -> HeldCommand:
        try:
            return await self._process
        except Exception:
            await self._replace()
            raise

    async def _attempt(
        self, held: HeldCommand, question: Question, timeout_s: float
    ) -> PythonResult:
        try:
            async with asyncio.timeout(timeout_s):
                await held.write(question.line)
                answer = await _read_answer(held, question)
        except TimeoutError:
            await self._replace()
            note_usage(is_timed_out=True)
            told = f"The code was ended at its time limit of {timeout_s:g} s."
            return replace(_failed(told), limit="wall")
        except asyncio.CancelledError:
            self._loss = f"The call before this one was cancelled. {LOST_NOW}"
            await self._replace()
            raise
        if answer is None:
            return await self._crashed(held)
        return self._result(answer)

    async def _crashed(self, held: HeldCommand) -> PythonResult:
        """The process has ended, or says what no worker says."""
        try:
            async with asyncio.timeout(END_S):
                result = await held.wait()
            note_usage(peak_memory_bytes=result.peak_memory_bytes)
            why = ending(result) or f"Python ended with exit code {result.exit_code}."
            limit, told = result.limit, self._place.excerpt(result.stderr)
        except TimeoutError:
            why, limit, told = "Python answered what cannot be read.", None, ""
        await self._replace()
        return replace(_failed(why), stderr=told, limit=limit)

    def _result(self, answer: PythonAnswer) -> PythonResult:
        excerpt = self._place.excerpt
        note_usage(peak_memory_bytes=min(answer.rss_bytes, self._place.limits.memory_bytes))
        return PythonResult(
            value=None if answer.value is None else excerpt(answer.value),
            stdout=excerpt(answer.stdout),
            stderr=excerpt(answer.stderr),
            error=excerpt(answer.error),
        )

    async def _replace(self) -> None:
        """End the process and begin with another."""
        ended = self._process
        if not self._is_closed:
            self._process = self._start()
        await ended.collect()

    async def close(self) -> None:
        """End the process; calls that still run or come raise SandboxUnavailable."""
        self._is_closed = True
        await self._process.collect()


async def _read_answer(held: HeldCommand, question: Question) -> PythonAnswer | None:
    """The answer to a question, or None from a process that gives none."""
    output = b""
    while data := await held.read():
        output += data
        answer = question.split(output).answer
        if answer is not None or len(output) > MAX_ANSWER_BYTES:
            return answer
    return None


def _failed(why: str) -> PythonResult:
    return PythonResult(value=None, stdout="", stderr="", notice=f"{why} {LOST}")
