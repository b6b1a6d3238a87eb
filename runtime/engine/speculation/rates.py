"""How often guesses come true, by what they rest on."""

from __future__ import annotations

from weft.runtime.engine.speculation.echoes import MAX_ECHO

__all__ = ["FORCED", "HitRates", "Trust"]

FORCED = 0
"""The kind of a guess that a grammar forces, up to how its text is cut into tokens. The kind of
an Echo is its length."""
_STEP = 1 / 32
_WEIGHT = 4.0
_MEMORY = 0.95
_MOST = 0.99


class HitRates:
    """Moving averages by kind of guess; they start at what is usual."""

    __slots__ = ("_rates",)

    def __init__(self) -> None:
        self._rates = [0.9, *(1 - 0.7 / length for length in range(1, MAX_ECHO + 1))]

    def of(self, kind: int) -> float:
        """The share of guesses of a kind that came true lately."""
        return self._rates[kind]

    def note(self, kind: int, *, is_hit: bool) -> None:
        self._rates[kind] += (is_hit - self._rates[kind]) * _STEP


class Trust:
    """Whether one sequence's guesses come true more or less often than the rates say."""

    __slots__ = ("_num_expected", "_num_hits")

    def __init__(self) -> None:
        self._num_hits = _WEIGHT
        self._num_expected = _WEIGHT

    def chance(self, rate: float) -> float:
        """A rate, corrected for this sequence."""
        return min(_MOST, rate * self._num_hits / self._num_expected)

    def note(self, rate: float, *, is_hit: bool) -> None:
        """Learn from a guess that was expected to come true at ``rate``."""
        rest = (1 - _MEMORY) * _WEIGHT
        self._num_hits = self._num_hits * _MEMORY + rest + is_hit
        self._num_expected = self._num_expected * _MEMORY + rest + rate
