"""A simulated replica: prompts one after the other, decodes together."""

from __future__ import annotations

import heapq
from collections import deque
from typing import NamedTuple

from weft.runtime.scheduler.costs import Costs

__all__ = ["Ended", "SimulatedReplica"]

EPSILON_S = 1e-9


class Ended(NamedTuple):
    prompts: list[str]
    """Calls that decode from now on."""
    calls: list[str]


class SimulatedReplica:
    """Serves calls in time that passes only by ``advance``.

    A prompt takes the replica alone, as if it were one Tick; all calls that decode get their tokens
    each Tick, whose number and length the costs say. Between two events the number of Ticks is
    taken as a real number, so that nothing is done per Tick.
    """

    def __init__(self, costs: Costs) -> None:
        self._costs = costs
        self._at_s = 0.0
        self._ticks = 0.0
        self._prompts: deque[tuple[str, float, int, int]] = deque()
        self._prompt_left_s = 0.0
        self._ends: list[tuple[float, str, int]] = []
        self._context_tokens = 0
        self.busy_s = 0.0

    def start(self, call: str, *, prompt_s: float, context_tokens: int, output_tokens: int) -> None:
        """A call begins whose prompt takes so long."""
        self._queue(call, prompt_s, context_tokens, output_tokens)

    def work(self, seconds: float) -> None:
        """Do something else, as if it were a prompt: move KV, or compute it ahead of its call."""
        if seconds > 0:
            self._queue("", seconds, 0, 0)

    def _queue(self, call: str, prompt_s: float, context_tokens: int, output_tokens: int) -> None:
        if not self._prompts:
            self._prompt_left_s = prompt_s
        self._prompts.append((call, prompt_s, context_tokens, output_tokens))

    def next_s(self) -> float:
        """When something ends here if nothing is started before."""
        if self._prompts:
            return self._at_s + self._prompt_left_s
        if self._ends:
            left = max(0.0, self._ends[0][0] - self._ticks)
            return self._at_s + left * self._tick_s()
        return float("inf")

    def advance(self, now_s: float) -> Ended:
        """Let time pass up to ``next_s`` at most."""
        span_s, self._at_s = now_s - self._at_s, now_s
        if self._prompts:
            self.busy_s += span_s
            self._prompt_left_s -= span_s
            return Ended(self._end_prompt(), [])
        if not self._ends:
            return Ended([], [])
        self.busy_s += span_s
        self._ticks += span_s / self._tick_s() if self._tick_s() else float("inf")
        return Ended([], self._end_decodes())

    def _tick_s(self) -> float:
        costs, num = self._costs, len(self._ends)
        return costs.tick_s + num * costs.decode_s + costs.read_s * self._context_tokens

    def _end_prompt(self) -> list[str]:
        if self._prompt_left_s > EPSILON_S:
            return []
        call, _, context_tokens, output_tokens = self._prompts.popleft()
        if self._prompts:
            self._prompt_left_s = self._prompts[0][1]
        if not call:
            return []
        num_ticks = self._costs.start_ticks + output_tokens / self._costs.tokens_per_tick
        heapq.heappush(self._ends, (self._ticks + num_ticks, call, context_tokens))
        self._context_tokens += context_tokens
        return [call]

    def _end_decodes(self) -> list[str]:
        ended: list[str] = []
        while self._ends and self._ends[0][0] <= self._ticks + 1e-6:
            _, call, context_tokens = heapq.heappop(self._ends)
            self._context_tokens -= context_tokens
            ended.append(call)
        return ended
