"""Time as Runs see it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

__all__ = ["Clock", "SystemClock", "Timer", "sleep"]


class Timer(Protocol):
    """A callback that has not come yet."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """Where a Run takes its time from: the system's, or a test's."""

    def now(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        ...

    def epoch(self) -> float:
        """Seconds since 1970, for records."""
        ...

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Call back on the running loop once ``delay_s`` seconds have passed."""
        ...


class SystemClock:
    """The machine's own clocks and the running loop's timers."""

    def now(self) -> float:
        return time.monotonic()

    def epoch(self) -> float:
        return time.time()

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_later(delay_s, callback)


async def sleep(clock: Clock, delay_s: float) -> None:
    """Wait on a clock."""
    if delay_s <= 0:
        return
    waiter = asyncio.get_running_loop().create_future()

    def wake() -> None:
        if not waiter.done():
            waiter.set_result(None)

    timer = clock.call_later(delay_s, wake)
    try:
        await waiter
    finally:
        timer.cancel()
