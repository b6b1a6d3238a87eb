"""Time that is limited, and parted among measurements."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

__all__ = ["TimeShares"]


class TimeShares:
    """Parts what is left until a deadline, in order: a measurement that needs less than its share
    leaves the rest to those after it, so that all are cut short alike when time is."""

    def __init__(
        self,
        deadline: float,
        weights: Sequence[float],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``weights``: how much time each measurement needs relative to the others. ``deadline``
        is of ``clock``."""
        self._deadline = deadline
        self._weights = list(weights)
        self._clock = clock

    @property
    def late_s(self) -> float:
        """Seconds since the deadline; below zero before it."""
        return self._clock() - self._deadline

    def begin(self) -> Callable[[], bool]:
        """Begin the next measurement; the function returned says whether its share lasts. Takes
        as many calls as there are weights."""
        share = self._weights[0] / sum(self._weights)
        del self._weights[0]
        until = self._clock() + share * max(0.0, -self.late_s)
        return lambda: self._clock() < until
