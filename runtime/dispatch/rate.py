"""How fast a counter grows."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

__all__ = ["Rate"]

WINDOW_S = 1.0
SHORTEST_S = 0.1
"""Samples closer than this to the one before are not kept."""


class _Sample(NamedTuple):
    at_s: float
    total: int


class Rate:
    """Looks back one second, or as far as it was last asked, if that is longer ago."""

    def __init__(self, now_s: float, count: int) -> None:
        self._samples = deque([_Sample(now_s, count)])

    def take(self, now_s: float, count: int) -> float:
        """Per second, up to now. Keeps a sample for later."""
        samples = self._samples
        while len(samples) > 1 and samples[1].at_s <= now_s - WINDOW_S:
            samples.popleft()
        oldest = samples[0]
        if now_s - samples[-1].at_s >= SHORTEST_S:
            samples.append(_Sample(now_s, count))
        seconds = now_s - oldest.at_s
        return (count - oldest.total) / seconds if seconds > 0 else 0.0
