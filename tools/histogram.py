"""How a positive quantity is distributed, learnt online in bounded memory."""

from __future__ import annotations

import math

__all__ = ["Histogram"]

BUCKETS_PER_DOUBLING = 4
"""Neighbouring buckets are at most 19% apart."""
MAX_WEIGHT = 1024
"""Samples that count in full; beyond, older ones count less and less."""


class Histogram:
    """Counts in buckets of equal ratio, the first of which ends at ``smallest``."""

    __slots__ = ("_counts", "_smallest", "_weight", "num_samples")

    def __init__(self, *, smallest: float, num_doublings: int) -> None:
        self._smallest = smallest
        self._counts = [0.0] * (num_doublings * BUCKETS_PER_DOUBLING + 1)
        self._weight = 0.0
        self.num_samples = 0

    def add(self, value: float) -> None:
        self._counts[self._bucket(value)] += 1.0
        self._weight += 1.0
        self.num_samples += 1
        if self._weight >= MAX_WEIGHT:
            self._counts = [count / 2 for count in self._counts]
            self._weight /= 2

    def quantile(self, share: float) -> float:
        """The upper end of the bucket in which ``share`` of the samples is reached; 0 where there
        are none."""
        reached = 0.0
        for bucket, count in enumerate(self._counts):
            reached += count
            if count and reached >= share * self._weight:
                return self._smallest * math.exp2(bucket / BUCKETS_PER_DOUBLING)
        return 0.0

    def _bucket(self, value: float) -> int:
        if value <= self._smallest:
            return 0
        doublings = math.log2(value / self._smallest)
        # What lies on an edge belongs below it, however the logarithm was rounded.
        bucket = math.ceil(doublings * BUCKETS_PER_DOUBLING - 1e-9)
        return min(bucket, len(self._counts) - 1)
