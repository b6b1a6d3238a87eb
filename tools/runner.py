"""Running calls of tools: admitted by what they will need, measured while they run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from weft.errors import ToolTimeout
from weft.tools.capacity import ToolCapacity
from weft.tools.meter import METER, Meter
from weft.tools.statistics import Ending, ToolStatistics
from weft.tools.tool import Tool

__all__ = ["ToolRunner"]

T = TypeVar("T")

ENOUGH_SAMPLES = 8
"""Measured calls after which what was learnt is believed."""
PEAK_SHARE = 0.99


class ToolRunner:
    """Runs the calls of many programs. With a capacity, a call starts when its predicted peak of
    memory fits beside those that run, and waits in line before that. Its own timeout begins
    afterwards; a cancelled caller leaves the line.
    """

    def __init__(
        self,
        *,
        capacity: ToolCapacity | None = None,
        statistics: ToolStatistics | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.capacity = capacity
        self.statistics = statistics or ToolStatistics()
        self._clock = clock

    async def call(
        self, tool: Tool[..., T], arguments: Mapping[str, object], *, key: str | None = None
    ) -> T:
        """``tool.invoke``, admitted and measured; raises what that raises."""
        if self.capacity is None:
            return await self._measure(tool, arguments, key)
        async with self.capacity.reserve(self.predicted_peak_bytes(tool)):
            return await self._measure(tool, arguments, key)

    def predicted_peak_bytes(self, tool: Tool[..., Any]) -> int:
        """What a call is taken to need: what is declared, else a high quantile of what earlier
        calls needed, else what confines it, and 0 where nothing is known."""
        declared = tool.resources
        if declared.memory_bytes is not None:
            return declared.memory_bytes
        record = self.statistics.of(tool.name)
        if record.num_measured < ENOUGH_SAMPLES:
            return declared.max_memory_bytes or 0
        learnt = record.peak_memory_bytes(PEAK_SHARE)
        return min(learnt, declared.max_memory_bytes or learnt)

    async def _measure(
        self, tool: Tool[..., T], arguments: Mapping[str, object], key: str | None
    ) -> T:
        meter, began_s = Meter(), self._clock()
        token = METER.set(meter)
        ending: Ending = "failed"
        try:
            result = await tool.invoke(arguments, key=key)
            ending = "timeout" if meter.is_timed_out else "done"
            return result
        except ToolTimeout:
            ending = "timeout"
            raise
        except asyncio.CancelledError:
            ending = "cancelled"
            raise
        finally:
            METER.reset(token)
            elapsed_s = self._clock() - began_s
            self.statistics.add(tool.name, ending, elapsed_s, meter.peak_memory_bytes)
