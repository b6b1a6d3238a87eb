"""Calls that wait for room, are measured, and leave the line when nobody wants them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from weft.errors import InvalidRequest, ToolDefinitionError, ToolFailed, ToolTimeout
from weft.runtime.testing import ManualClock, settle
from weft.tools import (
    Tool,
    ToolCapacity,
    ToolResources,
    ToolRunner,
    ToolStatistics,
    as_tool,
    note_usage,
)

MIB = 1 << 20


class Gate:
    """Calls that run until they are let go."""

    def __init__(self) -> None:
        self.running: list[str] = []
        self.open = asyncio.Event()

    def tool(self, memory_bytes: int) -> Tool[[str], str]:
        async def work(name: str) -> str:
            """Work."""
            self.running.append(name)
            await self.open.wait()
            self.running.remove(name)
            return name

        return as_tool(work, resources=ToolResources(memory_bytes=memory_bytes))


async def test_calls_start_while_they_fit_in_the_order_they_came() -> None:
    gate, capacity = Gate(), ToolCapacity(100 * MIB)
    runner = ToolRunner(capacity=capacity)
    large, small = gate.tool(60 * MIB), gate.tool(30 * MIB)
    calls = [
        asyncio.ensure_future(runner.call(tool, {"name": name}))
        for tool, name in [(large, "a"), (small, "b"), (large, "c"), (small, "d")]
    ]
    await settle()
    assert gate.running == ["a", "b"]  # d would fit as well once b is through, but c was first
    assert (capacity.reserved_bytes, capacity.num_waiting) == (90 * MIB, 2)
    gate.open.set()
    assert await asyncio.gather(*calls) == ["a", "b", "c", "d"]
    assert (capacity.reserved_bytes, capacity.num_waiting) == (0, 0)


async def test_a_cancelled_waiter_leaves_the_line_and_lets_others_in() -> None:
    gate, capacity = Gate(), ToolCapacity(100 * MIB)
    runner = ToolRunner(capacity=capacity)
    first = asyncio.ensure_future(runner.call(gate.tool(60 * MIB), {"name": "a"}))
    blocked = asyncio.ensure_future(runner.call(gate.tool(60 * MIB), {"name": "b"}))
    behind = asyncio.ensure_future(runner.call(gate.tool(40 * MIB), {"name": "c"}))
    await settle()
    assert gate.running == ["a"]
    blocked.cancel()
    await settle()
    assert blocked.cancelled() and gate.running == ["a", "c"]
    gate.open.set()
    await asyncio.gather(first, behind)
    assert capacity.reserved_bytes == 0
    assert runner.statistics.of("work").counts["done"] == 2


async def test_a_waiter_cancelled_in_the_moment_of_its_turn_gives_the_room_back() -> None:
    capacity = ToolCapacity(10)
    holder = capacity.reserve(10)
    await holder.__aenter__()

    async def enter() -> None:
        async with capacity.reserve(10):
            pytest.fail("it was cancelled")

    waiting = asyncio.ensure_future(enter())
    await settle()
    await holder.__aexit__(None, None, None)
    assert capacity.reserved_bytes == 10  # it is the waiter's turn, which has not run yet
    waiting.cancel()
    await settle()
    assert waiting.cancelled() and capacity.reserved_bytes == 0


async def test_more_than_there_is_runs_alone_and_nothing_never_waits() -> None:
    gate, capacity = Gate(), ToolCapacity(10)
    runner = ToolRunner(capacity=capacity)
    giant = asyncio.ensure_future(runner.call(gate.tool(1000), {"name": "giant"}))
    other = asyncio.ensure_future(runner.call(gate.tool(1), {"name": "other"}))
    await settle()
    assert gate.running == ["giant"] and capacity.reserved_bytes == 10

    @as_tool
    def free() -> int:
        """Count."""
        return 3

    assert await runner.call(free, {}) == 3
    gate.open.set()
    await asyncio.gather(giant, other)


def measured(peak_bytes: int, resources: ToolResources) -> Tool[[], int]:
    async def measure() -> int:
        """Measure."""
        note_usage(peak_memory_bytes=peak_bytes)
        return peak_bytes

    return as_tool(measure, resources=resources)


async def test_the_prediction_is_declared_or_learnt_or_what_confines() -> None:
    runner = ToolRunner()
    confined = measured(10 * MIB, ToolResources(max_memory_bytes=512 * MIB))
    assert runner.predicted_peak_bytes(confined) == 512 * MIB
    for _ in range(8):
        await runner.call(confined, {})
    assert 10 * MIB <= runner.predicted_peak_bytes(confined) <= 12 * MIB
    tight = measured(10 * MIB, ToolResources(max_memory_bytes=10 * MIB))
    assert runner.predicted_peak_bytes(tight) == 10 * MIB
    declared = measured(10 * MIB, ToolResources(memory_bytes=64 * MIB))
    assert runner.predicted_peak_bytes(declared) == 64 * MIB
    assert ToolRunner().predicted_peak_bytes(measured(1, ToolResources())) == 0


async def test_a_thread_of_a_call_is_measured_too() -> None:
    @as_tool
    def work() -> int:
        """Work."""
        note_usage(peak_memory_bytes=30 * MIB)
        note_usage(peak_memory_bytes=20 * MIB, is_timed_out=True)
        return 1

    runner = ToolRunner()
    await runner.call(work, {})
    record = runner.statistics.of("work")
    assert record.peak_memory_bytes() >= 30 * MIB
    assert record.counts["timeout"] == 1
    note_usage(peak_memory_bytes=1)  # outside of a call nobody listens


@pytest.mark.parametrize(
    ("raised", "wanted", "ending"),
    [(KeyError("x"), ToolFailed, "failed"), (None, ToolTimeout, "timeout")],
)
async def test_failures_are_told_apart(
    raised: Exception | None, wanted: type[Exception], ending: str
) -> None:
    async def work() -> int:
        """Work."""
        if raised is not None:
            raise raised
        return await asyncio.Event().wait() and 1

    statistics = ToolStatistics()
    with pytest.raises(wanted):
        await ToolRunner(statistics=statistics).call(as_tool(work, timeout_s=0.01), {})
    counts = statistics.of("work").counts
    assert {name for name, count in counts.items() if count} == {ending}


async def test_latency_is_that_of_the_clock_without_the_wait_for_room() -> None:
    clock, gate = ManualClock(), asyncio.Event()
    runner = ToolRunner(capacity=ToolCapacity(1), clock=clock.now)

    async def work() -> int:
        """Work."""
        await gate.wait()
        return 1

    tool = as_tool(work, resources=ToolResources(memory_bytes=1))
    calls = [asyncio.ensure_future(runner.call(tool, {})) for _ in range(2)]
    await settle()
    clock.advance(8.0)
    gate.set()
    await asyncio.gather(*calls)
    record = runner.statistics.of("work")
    assert 8.0 <= record.latency_s(1.0) <= 8.0 * 2**0.25
    assert record.latency_s(0.5) <= 1e-3


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: ToolCapacity(0), InvalidRequest),
        (lambda: ToolResources(memory_bytes=0), ToolDefinitionError),
        (lambda: ToolResources(max_memory_bytes=-1), ToolDefinitionError),
    ],
)
def test_nonsense_is_refused(make: Callable[[], object], error: type[Exception]) -> None:
    with pytest.raises(error, match="positive"):
        make()


async def test_a_cancelled_call_is_counted_as_such() -> None:
    gate, runner = Gate(), ToolRunner()
    waiting: Awaitable[str] = runner.call(gate.tool(1), {"name": "a"})
    call = asyncio.ensure_future(waiting)
    await settle()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert runner.statistics.of("work").counts["cancelled"] == 1
