"""How long each tool takes, how much memory, and how often it fails: learnt online."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from weft.tools.histogram import Histogram

__all__ = ["Ending", "ToolRecord", "ToolStatistics"]

Ending = Literal["done", "failed", "timeout", "cancelled"]

MAX_TOOLS = 256
SHORTEST_S = 1e-3
DOUBLINGS_S = 24
"""From a millisecond to some four hours."""
SMALLEST_BYTES = 1 << 20
DOUBLINGS_BYTES = 20
"""From a mebibyte to a tebibyte."""


class ToolRecord:
    """What is known of one tool."""

    __slots__ = ("_latency", "_memory", "counts")

    def __init__(self) -> None:
        self._latency = Histogram(smallest=SHORTEST_S, num_doublings=DOUBLINGS_S)
        self._memory = Histogram(smallest=SMALLEST_BYTES, num_doublings=DOUBLINGS_BYTES)
        self.counts: dict[Ending, int] = dict.fromkeys(
            ("done", "failed", "timeout", "cancelled"), 0
        )

    @property
    def num_calls(self) -> int:
        return sum(self.counts.values())

    @property
    def num_measured(self) -> int:
        """Calls whose memory is known."""
        return self._memory.num_samples

    def add(self, ending: Ending, seconds: float, peak_memory_bytes: int | None) -> None:
        """A call has ended. How long a cancelled one would have taken, nobody knows."""
        self.counts[ending] += 1
        if ending != "cancelled":
            self._latency.add(seconds)
        if peak_memory_bytes is not None:
            self._memory.add(peak_memory_bytes)

    def latency_s(self, share: float = 0.5) -> float:
        """A quantile of the latencies, at most 19% too high; 0 before a call has ended."""
        return self._latency.quantile(share)

    def peak_memory_bytes(self, share: float = 0.99) -> int:
        """A quantile of the peaks, at most 19% too high; 0 before one was measured."""
        return int(self._memory.quantile(share))


class ToolStatistics:
    """Records by tool. Tools beyond a fixed number share one record."""

    def __init__(self) -> None:
        self._records: dict[str, ToolRecord] = {}
        self._others = ToolRecord()

    @property
    def records(self) -> Mapping[str, ToolRecord]:
        return MappingProxyType(self._records)

    def add(
        self, tool: str, ending: Ending, seconds: float, peak_memory_bytes: int | None = None
    ) -> None:
        """A call of ``tool`` has ended."""
        if tool not in self._records and len(self._records) < MAX_TOOLS:
            self._records[tool] = ToolRecord()
        self.of(tool).add(ending, seconds, peak_memory_bytes)

    def of(self, tool: str) -> ToolRecord:
        """What is known of a tool; empty for one that was never called."""
        if len(self._records) < MAX_TOOLS:
            return self._records.get(tool) or ToolRecord()
        return self._records.get(tool, self._others)
