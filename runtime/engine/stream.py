"""Deltas on their way from the engine's thread to the coroutine that reads them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from weft.errors import WeftError
from weft.programs.request import Delta

__all__ = ["Delivery", "DeltaStream", "deliver"]


class DeltaStream:
    """The reading end of one Request. Lives on one event loop; all methods run there."""

    __slots__ = ("_deltas", "_error", "_waiter", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._deltas: deque[Delta] = deque()
        self._error: WeftError | None = None
        self._waiter: asyncio.Future[None] | None = None

    def push(self, deltas: Iterable[Delta]) -> None:
        """Add Deltas and wake the reader."""
        self._deltas.extend(deltas)
        self._wake()

    def fail(self, error: WeftError) -> None:
        """Let the reader raise ``error`` once it has read what came before."""
        self._error = error
        self._wake()

    async def next(self) -> Delta:
        """The next Delta, waiting for it. Raises what ``fail`` was given."""
        while not self._deltas:
            if self._error is not None:
                raise self._error
            self._waiter = self.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._deltas.popleft()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Delivery(NamedTuple):
    """What one Tick has for one stream."""

    stream: DeltaStream
    deltas: list[Delta]
    error: WeftError | None


def deliver(deliveries: Iterable[Delivery]) -> None:
    """Hand a Tick's Deltas over, with one wake-up per event loop. Called on any thread.

    A loop that was closed in the meantime has no reader left: its Deltas are dropped.
    """
    by_loop: dict[asyncio.AbstractEventLoop, list[Delivery]] = {}
    for delivery in deliveries:
        by_loop.setdefault(delivery.stream.loop, []).append(delivery)
    for loop, group in by_loop.items():
        try:
            loop.call_soon_threadsafe(_push_all, group)
        except RuntimeError:
            continue


def _push_all(group: list[Delivery]) -> None:
    for stream, deltas, error in group:
        if deltas:
            stream.push(deltas)
        if error is not None:
            stream.fail(error)
