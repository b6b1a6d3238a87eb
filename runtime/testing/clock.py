"""Time that only a test moves."""

from __future__ import annotations

import heapq
from collections.abc import Callable

__all__ = ["ManualClock"]


class _Timer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback = callback
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class ManualClock:
    """A Clock that stands still until ``advance``: timeouts and waits without waiting."""

    def __init__(self, now_s: float = 0.0) -> None:
        self._now_s = now_s
        self._num_made = 0
        self._timers: list[tuple[float, int, _Timer]] = []

    def now(self) -> float:
        return self._now_s

    def epoch(self) -> float:
        return self._now_s

    @property
    def num_waiting(self) -> int:
        """Timers that are neither due nor cancelled."""
        return sum(not timer.is_cancelled for _, _, timer in self._timers)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> _Timer:
        timer = _Timer(callback)
        self._num_made += 1
        heapq.heappush(self._timers, (self._now_s + delay_s, self._num_made, timer))
        return timer

    def advance(self, seconds: float) -> None:
        """Move on, calling what falls due in order of time, then of making."""
        end_s = self._now_s + seconds
        while self._timers and self._timers[0][0] <= end_s:
            due_s, _, timer = heapq.heappop(self._timers)
            self._now_s = due_s
            if not timer.is_cancelled:
                timer.callback()
        self._now_s = end_s
