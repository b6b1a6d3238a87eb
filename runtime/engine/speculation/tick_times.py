"""How long Ticks take, by how many guesses they carry."""

from __future__ import annotations

__all__ = ["TickTimes"]

_MEMORY = 0.98
_CLIP = 3.0
"""A Tick this much longer than foreseen was disturbed by something else, and counts as this."""
_RIDGE = 4.0
"""Guesses squared: so much spread is wanted before a slope is believed."""


class TickTimes:
    """A straight line through the Ticks measured lately: seconds by number of guesses.

    A slope nobody has seen yet is 0: guesses are tried before they are known to cost anything.
    """

    __slots__ = ("_guesses", "_products", "_seconds", "_squares", "_weight")

    def __init__(self) -> None:
        self._weight = self._guesses = self._squares = self._seconds = self._products = 0.0

    @property
    def is_known(self) -> bool:
        return self._weight > 0

    def note(self, num_guesses: int, seconds: float) -> None:
        """Learn from a Tick."""
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
        assert self.is_known, "nothing was measured"
        spread = self._squares - self._guesses * self._guesses / self._weight
        shared = self._products - self._guesses * self._seconds / self._weight
        return max(0.0, shared / (spread + _RIDGE))

    def of(self, num_guesses: int) -> float:
        """Seconds that a Tick with so many guesses takes."""
        distance = num_guesses - self._guesses / self._weight
        return max(0.0, self._seconds / self._weight + self.slope_s * distance)
