"""How much memory all tool calls may hold together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import NamedTuple

from weft.errors import InvalidRequest

__all__ = ["ToolCapacity"]


class _Waiter(NamedTuple):
    memory_bytes: int
    admitted: asyncio.Future[None]


class ToolCapacity:
    """Memory that calls reserve before they start: first come, first served, none passed over.

    It belongs to the event loop of its first waiter.
    """

    def __init__(self, memory_bytes: int) -> None:
        """Raises InvalidRequest."""
        if memory_bytes < 1:
            raise InvalidRequest(
                f"The capacity is {memory_bytes!r} bytes.", remedy="It must be positive."
            )
        self.memory_bytes = memory_bytes
        self._reserved_bytes = 0
        self._waiters: deque[_Waiter] = deque()

    @property
    def reserved_bytes(self) -> int:
        """Gauge: what the calls that run have reserved."""
        return self._reserved_bytes

    @property
    def num_waiting(self) -> int:
        """Gauge: calls that wait for room."""
        return len(self._waiters)

    @asynccontextmanager
    async def reserve(self, memory_bytes: int) -> AsyncGenerator[None]:
        """Wait for room and hold it for the length of the context.

        More than the whole capacity is taken for the whole: such a call runs alone. One that needs
        nothing never waits.
        """
        wanted = min(memory_bytes, self.memory_bytes)
        if wanted:
            await self._enter(wanted)
        try:
            yield
        finally:
            self._reserved_bytes -= wanted
            self._admit()

    async def _enter(self, wanted: int) -> None:
        waiter = _Waiter(wanted, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        self._admit()
        try:
            await waiter.admitted
        except asyncio.CancelledError:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            elif not waiter.admitted.cancelled():
                self._reserved_bytes -= wanted  # it was admitted in the same moment
            self._admit()
            raise

    def _admit(self) -> None:
        """Let in the first in line, as long as each fits."""
        while self._waiters:
            wanted, admitted = self._waiters[0]
            if not admitted.cancelled():
                if self._reserved_bytes + wanted > self.memory_bytes:
                    return
                self._reserved_bytes += wanted
                admitted.set_result(None)
            self._waiters.popleft()
