"""What earlier Runs of a program tell about the next: how much it says, and what is left of it."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

__all__ = ["Left", "Profiles"]

MAX_PROGRAMS = 1024
NUM_RUNS = 64
"""Newest Runs of each program that are looked at."""
NEWEST = 0.1
"""Weight of the newest output in their running mean."""
UNKNOWN_TOKENS = 256
"""What a call without a limit is taken to say before any has answered."""


class Left(NamedTuple):
    steps: int
    """Calls still to come, the next one included: at least one."""
    seconds: float
    """Of service and tools, not of waiting."""


class _Profile:
    __slots__ = ("mean_output", "runs")

    def __init__(self) -> None:
        self.mean_output: float | None = None
        self.runs: deque[tuple[float, ...]] = deque(maxlen=NUM_RUNS)
        """Of each Run the seconds of work at every answer, then at its end."""


class Profiles:
    """Learnt online by program, in bounded memory."""

    def __init__(self) -> None:
        self._profiles: dict[str, _Profile] = {}

    def expected_output(self, path: str, limit: int | None) -> int:
        """Tokens that one sequence of a call will probably say: at least one, at most ``limit``."""
        profile = self._profiles.get(path)
        mean = None if profile is None else profile.mean_output
        expected = UNKNOWN_TOKENS if mean is None else max(1, round(mean))
        if mean is None and limit is not None:
            return limit
        return expected if limit is None else min(expected, limit)

    def left(self, path: str, num_answered: int) -> Left | None:
        """After so many answers, with one more call asked: the mean over earlier Runs that made as
        many calls, None without any."""
        profile = self._profiles.get(path)
        runs = (
            [] if profile is None else [run for run in profile.runs if len(run) > num_answered + 1]
        )
        if not runs:
            return None
        done = (run[num_answered - 1] if num_answered else 0.0 for run in runs)
        seconds = sum(run[-1] - at for run, at in zip(runs, done, strict=True))
        steps = sum(len(run) - 1 - num_answered for run in runs)
        return Left(round(steps / len(runs)), seconds / len(runs))

    def answered(self, path: str, num_tokens: float) -> None:
        """A call's sequences said so many tokens each."""
        profile = self._of(path)
        if profile.mean_output is None:
            profile.mean_output = num_tokens
        profile.mean_output += NEWEST * (num_tokens - profile.mean_output)

    def ended(self, path: str, work_s: tuple[float, ...]) -> None:
        """A Run came to its end: seconds of work at each answer, and in all."""
        self._of(path).runs.append(work_s)

    def _of(self, path: str) -> _Profile:
        profile = self._profiles.pop(path, None) or _Profile()
        self._profiles[path] = profile
        if len(self._profiles) > MAX_PROGRAMS:
            del self._profiles[next(iter(self._profiles))]
        return profile
