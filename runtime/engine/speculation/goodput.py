"""How many guesses a Tick carries, so that tokens come as fast as they can.

After SmartSpec (Liu et al., 2024): not as many as would come true, but as many as pay.
"""

from __future__ import annotations

from collections.abc import Sequence

from weft.runtime.engine.speculation.tick_times import TickTimes

__all__ = ["Goodput", "Load"]

TRIAL_DRAWS = 16
"""Taken with guesses, to see whether they pay now; at least two Ticks."""
STRETCH_TICKS = 32
"""With guesses while they pay, before one Tick without them is measured again."""
FIRST_PAUSE_TICKS = 8
LAST_PAUSE_DRAWS = 64
LAST_PAUSE_TICKS = 512
"""Without guesses after a trial that failed: twice as many each time. The more sequences draw,
the more a trial costs, and the longer the pauses become."""
MIN_CHANCE = 0.1
"""Guesses less likely than this are not looked at."""
MIN_GAIN = 1.03
"""What guessing must have gained in a trial to go on."""
MAX_LOSS = 0.95
"""It goes on until it has lost clearly: times are noisy."""
_STEP = 1 / 32
_CLIP = 3.0
"""A Tick this much longer than the usual was disturbed by something else, and counts as this."""


class _Rate:
    """Tokens per second over the Ticks of one kind, lately."""

    __slots__ = ("_num_ticks", "_seconds", "_tokens")

    def __init__(self) -> None:
        self._num_ticks = 0
        self._tokens = 0.0
        self._seconds = 0.0

    @property
    def tokens_per_s(self) -> float:
        return self._tokens / self._seconds if self._seconds else 0.0

    def note(self, num_tokens: int, seconds: float) -> None:
        if self._num_ticks:
            seconds = min(seconds, _CLIP * self._seconds)
        self._num_ticks += 1
        step = max(_STEP, 1 / self._num_ticks)
        self._tokens += (num_tokens - self._tokens) * step
        self._seconds += (seconds - self._seconds) * step


class Load:
    """What is known of Ticks in which about so many sequences draw.

    Ticks with guesses and Ticks without take turns: long stretches of what is faster, short ones
    of the other. What is compared is what was measured, the time to guess included, so that a
    wrong idea of chances or costs cannot make guessing lose for long.
    """

    def __init__(self, num_draws: int, like: Load | None = None) -> None:
        """``like``: a Load that differs little; what was learnt there is where this one starts."""
        self._num_draws = num_draws
        self._times = TickTimes(None if like is None else like.slope_s)
        self._rates = {False: _Rate(), True: _Rate()}
        self.pays = False
        """Whether guesses made tokens come faster when that was last seen."""
        self._pause: int = FIRST_PAUSE_TICKS if like is None else like._pause
        self._num_left = 1 if self._pause == FIRST_PAUSE_TICKS else self._pause
        self.takes_guesses = False
        """Whether the next Tick should carry any."""

    @property
    def slope_s(self) -> float | None:
        """Seconds that one more guess costs; ``None`` while nothing was measured."""
        return self._times.slope_s if self._times.is_known else None

    @property
    def min_chance(self) -> float:
        """Guesses less likely than this cannot pay."""
        if not self._times.is_known or not (base := self._times.of(0)):
            return MIN_CHANCE
        return max(MIN_CHANCE, self._num_draws * self._times.slope_s / base)

    def choose(self, chances: Sequence[float], num_draws: int) -> int:
        """How many of the guesses with these chances, likeliest first, the Tick should carry."""
        # A trial tries some in any case: what they cost may have changed.
        least = 0 if self.pays else min(num_draws, len(chances))
        return max(least, self._choose(chances, num_draws))

    def _choose(self, chances: Sequence[float], num_draws: int) -> int:
        if not self._times.is_known:
            return len(chances)
        tokens, seconds, slope = float(num_draws), self._times.of(0), self._times.slope_s
        for number, chance in enumerate(chances):
            # One more pays while it brings tokens faster than the Tick as it is.
            if chance * seconds < slope * tokens:
                return number
            tokens += chance
            seconds += slope
        return len(chances)

    def note(self, num_guesses: int, num_tokens: int, seconds: float) -> None:
        """Learn from a Tick: the guesses it carried, the tokens it gave, the time it took."""
        self._rates[self.takes_guesses].note(num_tokens, seconds)
        if self.takes_guesses or self._num_left == 1:
            # Of a stretch without guesses one Tick is enough: more would crowd out what is known.
            self._times.note(self._num_draws, num_guesses, seconds)
        self._num_left -= 1
        if self._num_left == 0:
            self._turn()

    def _turn(self) -> None:
        """A stretch is over: compare, and begin the next."""
        if not self.takes_guesses:
            self.takes_guesses = True
            trial = max(2, TRIAL_DRAWS // self._num_draws)
            self._num_left = STRETCH_TICKS if self.pays else trial
            if not self.pays:
                self._rates[True] = _Rate()
            return
        gain = MAX_LOSS if self.pays else MIN_GAIN
        self.pays = self._rates[True].tokens_per_s >= gain * self._rates[False].tokens_per_s
        longest = min(LAST_PAUSE_DRAWS * self._num_draws, LAST_PAUSE_TICKS)
        self._pause = FIRST_PAUSE_TICKS if self.pays else min(2 * self._pause, longest)
        self.takes_guesses = False
        self._num_left = 1 if self.pays else self._pause


class Goodput:
    """A Load for every number of drawing sequences, those that differ little taken together."""

    def __init__(self) -> None:
        self._loads: dict[int, Load] = {}

    def load(self, num_draws: int) -> Load:
        shift = max(0, num_draws.bit_length() - 2)
        about = num_draws >> shift << shift
        if about not in self._loads:
            nearest = min(self._loads, key=lambda other: abs(other - about), default=None)
            like = None if nearest is None else self._loads[nearest]
            self._loads[about] = Load(about, like)
        return self._loads[about]
