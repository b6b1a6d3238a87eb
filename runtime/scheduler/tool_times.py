"""How long each tool takes, learnt online in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterator

__all__ = ["Latencies", "ToolTimes"]

SHORTEST_S = 1e-3
NUM_BUCKETS = 96
BUCKETS_PER_DOUBLING = 4
"""From a millisecond to some four hours, with at most 19% between neighbours."""
MAX_COUNT = 1024
MAX_TOOLS = 256
SAMPLES_PER_REFRESH = 16
"""What is derived from n samples is kept until there are n / 16 more."""


def _upper_s(bucket: int) -> float:
    return SHORTEST_S * math.exp2(bucket / BUCKETS_PER_DOUBLING)


UPPER_S = tuple(_upper_s(bucket) for bucket in range(NUM_BUCKETS))


class Latencies:
    """A histogram over buckets of equal ratio; older samples count less and less."""

    __slots__ = ("_counts", "_good_until", "_rates", "_reached", "_total", "num_samples")

    def __init__(self) -> None:
        self._counts = [0.0] * NUM_BUCKETS
        self._total = 0.0
        self.num_samples = 0
        self._good_until = 0
        self._reached: dict[tuple[int, float], float | None] = {}
        self._rates: dict[int, float] = {}

    def add(self, latency_s: float) -> None:
        self._counts[_bucket_of(latency_s)] += 1.0
        self._total += 1.0
        self.num_samples += 1
        if self.num_samples >= self._good_until:
            self._good_until = self.num_samples + max(1, int(self._total) // SAMPLES_PER_REFRESH)
            self._reached.clear()
            self._rates.clear()
        if self._total >= MAX_COUNT:
            self._counts = [count / 2 for count in self._counts]
            self._total /= 2

    def quantile_s(self, share: float) -> float:
        """The upper end of the bucket in which ``share`` of the samples is reached."""
        return self._reach(self._total * share, 0)

    def remaining_s(self, elapsed_s: float, share: float = 0.5) -> float:
        """For how long one more run goes on that has gone on so long: a quantile of those which
        took longer. One that outlasts them all is taken to last for as long again."""
        key = _bucket_of(elapsed_s), share
        if key not in self._reached:
            left = sum(self._counts[key[0] :])
            self._reached[key] = self._reach(left * share, key[0]) if left > 0 else None
        reached_s = self._reached[key]
        if reached_s is None:
            return max(elapsed_s, SHORTEST_S)
        return max(0.0, reached_s - elapsed_s)

    def return_rate(self, elapsed_s: float) -> float:
        """How likely it is to end soon: the greatest chance, over all spans, that it ends within a
        span, for each second that waiting for that takes on average (Gittins, 1979)."""
        bucket = _bucket_of(elapsed_s)
        if bucket not in self._rates:
            self._rates[bucket] = self._best_rate(bucket)
        return self._rates[bucket] or 1 / max(elapsed_s, SHORTEST_S)

    def _best_rate(self, first: int) -> float:
        """0 where every run has ended before."""
        left = sum(self._counts[first:])
        at_s = UPPER_S[first - 1] if first else 0.0
        best, waited_s, ended = 0.0, 0.0, 0.0
        for count, upper_s in zip(self._counts[first:], UPPER_S[first:], strict=True):
            if ended < left:
                waited_s += (left - ended) * (upper_s - at_s)
                at_s, ended = upper_s, ended + count
                best = max(best, ended / waited_s)
        return best

    def shares(self) -> Iterator[tuple[float, float]]:
        """(latency, share of samples up to it), ascending: the empirical distribution."""
        reached = 0.0
        for count, upper_s in zip(self._counts, UPPER_S, strict=True):
            if count:
                reached += count
                yield upper_s, reached / self._total

    def _reach(self, wanted: float, first: int) -> float:
        reached = 0.0
        for bucket in range(first, NUM_BUCKETS):
            reached += self._counts[bucket]
            if reached >= wanted and reached > 0:
                return UPPER_S[bucket]
        return UPPER_S[-1]


class ToolTimes:
    """Latencies by tool; of tools never seen to end, those of all tools together.

    ``unknown_s`` is what a tool is taken to need before any has ended. Tools beyond a fixed number
    are not told apart.
    """

    __slots__ = ("_all", "_by_tool", "_unknown_s")

    def __init__(self, *, unknown_s: float = 1.0) -> None:
        self._unknown_s = unknown_s
        self._all = Latencies()
        self._by_tool: dict[str, Latencies] = {}

    def add(self, tool: str, latency_s: float) -> None:
        self._all.add(latency_s)
        if tool not in self._by_tool and len(self._by_tool) < MAX_TOOLS:
            self._by_tool[tool] = Latencies()
        if tool in self._by_tool:
            self._by_tool[tool].add(latency_s)

    def of(self, tool: str) -> Latencies:
        """What is known of the tool, or else of all; it may hold no sample."""
        return self._by_tool.get(tool, self._all)

    def remaining_s(self, tool: str, elapsed_s: float, share: float = 0.5) -> float:
        """How much longer a run of the tool takes that was started ``elapsed_s`` ago."""
        latencies = self.of(tool)
        if not latencies.num_samples:
            return max(self._unknown_s - elapsed_s, elapsed_s, SHORTEST_S)
        return latencies.remaining_s(elapsed_s, share)

    def return_rate(self, tool: str, elapsed_s: float) -> float:
        """See ``Latencies.return_rate``."""
        latencies = self.of(tool)
        if not latencies.num_samples:
            return 1 / self.remaining_s(tool, elapsed_s)
        return latencies.return_rate(elapsed_s)


def _bucket_of(latency_s: float) -> int:
    if latency_s <= SHORTEST_S:
        return 0
    doublings = math.log2(latency_s / SHORTEST_S)
    return min(NUM_BUCKETS - 1, math.ceil(doublings * BUCKETS_PER_DOUBLING - 1e-9))
