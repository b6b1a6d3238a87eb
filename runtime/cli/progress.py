"""How far many Runs are, on standard error."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console

from weft.runtime.dispatch import ScheduledEngine

__all__ = ["Progress"]

DRAWN_S, PRINTED_S = 0.25, 2.0
"""Between two looks, on a terminal and elsewhere."""
ERASE = "\r\x1b[2K"


class Progress:
    """While it is entered, a line that is kept up to date on a terminal, or lines elsewhere
    whenever something has changed."""

    def __init__(
        self, engine: ScheduledEngine, num_runs: int, num_ended: Callable[[], int]
    ) -> None:
        self._engine = engine
        self._num_runs = num_runs
        self._num_ended = num_ended
        self._console = Console(stderr=True)
        self._is_drawn = self._console.is_terminal and not self._console.is_dumb_terminal
        self._task: asyncio.Task[None] | None = None
        self._last = ""

    def line(self) -> str:
        """Runs that wait for the scheduler, or to be started, are told from those that go on."""
        phases = self._engine.snapshot(max_programs=0).num_by_phase
        num_ended, num_running = self._num_ended(), phases["generating"] + phases["acting"]
        num_waiting = self._num_runs - num_ended - num_running
        return f"{num_ended} ended, {num_running} running, {num_waiting} waiting"

    def clear(self) -> None:
        """Make room for something else."""
        if self._is_drawn:
            sys.stderr.write(ERASE)
            sys.stderr.flush()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        self.clear()

    async def _follow(self) -> None:
        while True:
            self._show(self.line())
            await asyncio.sleep(DRAWN_S if self._is_drawn else PRINTED_S)

    def _show(self, line: str) -> None:
        if self._is_drawn:
            sys.stderr.write(ERASE + line[: self._console.width - 1])
            sys.stderr.flush()
        elif line != self._last:
            self._last = line
            print(line, file=sys.stderr, flush=True)
