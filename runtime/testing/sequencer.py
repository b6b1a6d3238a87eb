"""Putting concurrent code in an order of the test's choice."""

from __future__ import annotations

import asyncio

__all__ = ["Sequencer", "settle"]

TURNS = 64


class Sequencer:
    """Named gates: code waits at one until the test opens it."""

    def __init__(self) -> None:
        self._gates: dict[str, asyncio.Event] = {}
        self.reached: list[str] = []
        """Names of gates in the order in which code came to them."""

    async def wait(self, name: str) -> None:
        """Wait until ``open(name)``; passes at once when it is open already."""
        self.reached.append(name)
        await self._gate(name).wait()

    def open(self, name: str) -> None:
        """Let everyone through, now and later."""
        self._gate(name).set()

    def _gate(self, name: str) -> asyncio.Event:
        return self._gates.setdefault(name, asyncio.Event())


async def settle(num_turns: int = TURNS) -> None:
    """Let the loop turn until code that waits for nothing but other code has gone on."""
    for _ in range(num_turns):
        await asyncio.sleep(0)
