"""How long Ticks take, by how many guesses they carry."""

from __future__ import annotations

__all__ = ["TickTimes"]

_MEMORY = 0.98
_CLIP = 3.0
"""A Tick this much longer than foreseen was disturbed by something else, and counts as this."""
_RIDGE = 4.0
"""Guesses squared: so much spread is wanted before a slope is believed more than the first idea
of it."""
_FIRST_IDEA = 0.1
"""A guess shares the Tick with a sequence that is there anyway: at first it is taken to cost this
part of what a sequence does."""


class TickTimes:
    """A straight line through the Ticks measured lately: seconds by number of guesses."""

    __slots__ = ("_first_slope_s", "_guesses", "_products", "_seconds", "_squares", "_weight")

    def __init__(self, first_slope_s: float | None = None) -> None:
        """``first_slope_s``: what a guess costs elsewhere; ``None`` when nobody knows yet."""
        self._first_slope_s = first_slope_s
        self._weight = self._guesses = self._squares = self._seconds = self._products = 0.0

    @property
    def is_known(self) -> bool:
        return self._weight > 0

    def note(self, num_draws: int, num_guesses: int, seconds: float) -> None:
        """Learn from a Tick in which so many sequences drew."""
        if self._first_slope_s is None:
            self._first_slope_s = _FIRST_IDEA * seconds / num_draws
        if self.is_known:
            seconds = min(seconds, _CLIP * self.of(num_guesses))
        self._weight = self._weight * _MEMORY + 1
        self._guesses = self._guesses * _MEMORY + num_guesses
        self._squares = self._squares * _MEMORY + num_guesses * num_guesses
        self._seconds = self._seconds * _MEMORY + seconds
        self._products = self._products * _MEMORY + seconds * num_guesses

    @property
    def slope_s(self) -> float:
        """Seconds that one more guess costs; never negative."""
        assert self._first_slope_s is not None and self.is_known, "nothing was measured"
        spread = self._squares - self._guesses * self._guesses / self._weight
        shared = self._products - self._guesses * self._seconds / self._weight
        return max(0.0, (shared + _RIDGE * self._first_slope_s) / (spread + _RIDGE))

    def of(self, num_guesses: int) -> float:
        """Seconds that a Tick with so many guesses takes."""
        distance = num_guesses - self._guesses / self._weight
        return max(0.0, self._seconds / self._weight + self.slope_s * distance)
