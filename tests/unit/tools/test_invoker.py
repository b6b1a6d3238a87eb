"""Cancellation at every phase of a call, and the slots that bound them."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable

import pytest

from weft.errors import ToolFailed, ToolTimeout, ToolUnavailable
from weft.tools.invoker import Invoker
from weft.tools.slots import NoSlotLeft, Slots


def make(fn: Callable[..., object], *, timeout_s: float | None = None, limit: int = 1) -> Invoker:
    is_async = inspect.iscoroutinefunction(fn)
    return Invoker(
        "t", fn, is_async=is_async, timeout_s=timeout_s, max_concurrency=limit, grace_s=0.005
    )


async def settle() -> None:
    """Let every task that can run do so until it blocks."""
    for _ in range(10):
        await asyncio.sleep(0)


async def cancelled(task: asyncio.Task[object]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelled_before_it_starts() -> None:
    invoker = make(threading.Event().set)
    await cancelled(asyncio.create_task(invoker.run({})))
    assert invoker.slots.num_held == 0


async def test_cancelled_while_it_waits_for_a_slot() -> None:
    gate = asyncio.Event()

    async def wait() -> int:
        await gate.wait()
        return 1

    invoker = make(wait)
    first, second, third = (asyncio.create_task(invoker.run({})) for _ in range(3))
    await settle()
    assert (invoker.slots.num_held, invoker.slots.num_waiting) == (1, 2)
    await cancelled(second)
    assert (invoker.slots.num_held, invoker.slots.num_waiting) == (1, 1)
    gate.set()
    assert (await first, await third) == (1, 1)
    assert (invoker.slots.num_held, invoker.slots.num_waiting) == (0, 0)


async def test_cancelled_just_as_it_is_given_a_slot() -> None:
    slots = Slots(1)
    held = await slots.acquire()
    waiting = asyncio.create_task(slots.acquire())
    behind = asyncio.create_task(slots.acquire())
    await settle()
    held.release()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    (await behind).release()
    assert slots.num_held == 0


async def test_cancelled_while_an_async_tool_runs() -> None:
    cleaned: list[int] = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(1)

    invoker = make(wait)
    task = asyncio.create_task(invoker.run({}))
    await settle()
    await cancelled(task)
    assert cleaned == [1]
    assert invoker.slots.num_held == 0


async def test_cancelled_again_while_it_cleans_up() -> None:
    release = asyncio.Event()

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await release.wait()

    invoker = Invoker("t", stubborn, is_async=True, timeout_s=None, max_concurrency=1, grace_s=60)
    task = asyncio.create_task(invoker.run({}))
    await settle()
    task.cancel()
    await settle()
    assert not task.done()
    await cancelled(task)
    assert (invoker.slots.num_held, invoker.slots.num_abandoned) == (1, 1)
    release.set()
    await settle()
    assert (invoker.slots.num_held, invoker.slots.num_abandoned) == (0, 0)


async def test_cancelled_while_a_thread_runs() -> None:
    started, release = threading.Event(), threading.Event()

    def wait() -> int:
        started.set()
        release.wait()
        return 1

    invoker = make(wait)
    task = asyncio.create_task(invoker.run({}))
    await asyncio.to_thread(started.wait)
    await cancelled(task)
    assert (invoker.slots.num_held, invoker.slots.num_abandoned) == (1, 1)
    with pytest.raises(ToolUnavailable):
        await invoker.run({})
    release.set()
    while invoker.slots.num_held:
        await asyncio.sleep(0.001)
    assert await invoker.run({}) == 1


async def test_cancelled_after_it_finished_but_before_the_caller_resumed() -> None:
    gate = asyncio.Event()

    async def wait() -> int:
        await gate.wait()
        return 1

    invoker = make(wait)
    task = asyncio.create_task(invoker.run({}))
    await settle()
    gate.set()
    await asyncio.sleep(0)
    await cancelled(task)
    await settle()
    assert invoker.slots.num_held == 0


async def test_an_async_tool_that_ignores_its_cancellation_is_abandoned() -> None:
    release = asyncio.Event()

    async def deaf() -> int:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return 1

    invoker = make(deaf, timeout_s=0.005, limit=1)
    with pytest.raises(ToolTimeout):
        await invoker.run({})
    assert invoker.slots.num_abandoned == 1
    with pytest.raises(ToolUnavailable, match="1 earlier calls"):
        await invoker.run({})
    release.set()
    await settle()
    assert await invoker.run({}) == 1


@pytest.mark.parametrize("limit", [1, 3])
async def test_no_more_calls_run_at_once_than_the_limit(limit: int) -> None:
    num_running, peak = 0, 0

    async def count() -> None:
        nonlocal num_running, peak
        num_running += 1
        peak = max(peak, num_running)
        await asyncio.sleep(0)
        num_running -= 1

    invoker = make(count, limit=limit)
    await asyncio.gather(*(invoker.run({}) for _ in range(20)))
    assert peak == limit


async def test_slots_are_served_in_order_and_released_once() -> None:
    slots = Slots(1)
    order: list[int] = []

    async def take(number: int) -> None:
        slot = await slots.acquire()
        order.append(number)
        await asyncio.sleep(0)
        slot.release()
        slot.release()

    await asyncio.gather(*(take(number) for number in range(10)))
    assert order == list(range(10))
    assert slots.num_held == 0


async def test_waiters_are_turned_away_when_the_last_slot_is_abandoned() -> None:
    slots = Slots(2)
    first, second = await slots.acquire(), await slots.acquire()
    waiting = asyncio.create_task(slots.acquire())
    await settle()
    first.abandon()
    await settle()
    assert not waiting.done()
    second.abandon()
    with pytest.raises(NoSlotLeft):
        await waiting
    first.release()
    (await slots.acquire()).release()
    second.release()
    assert (slots.num_held, slots.num_abandoned) == (0, 0)


def test_slots_hold_across_loops_in_different_threads() -> None:
    slots = Slots(2)
    lock = threading.Lock()
    num_running, peak = 0, 0

    async def work() -> None:
        nonlocal num_running, peak
        for _ in range(20):
            slot = await slots.acquire()
            with lock:
                num_running += 1
                peak = max(peak, num_running)
            await asyncio.sleep(0)
            with lock:
                num_running -= 1
            slot.release()

    async def many() -> None:
        await asyncio.gather(*(work() for _ in range(3)))

    threads = [threading.Thread(target=lambda: asyncio.run(many())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert peak == 2
    assert (slots.num_held, slots.num_waiting) == (0, 0)


def test_a_slot_passes_over_a_waiter_whose_loop_is_gone() -> None:
    slots = Slots(1)
    loop = asyncio.new_event_loop()
    held = loop.run_until_complete(slots.acquire())
    lost = loop.create_task(slots.acquire())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    held.release()
    assert slots.num_held == 0
    del lost


async def test_a_thread_that_cannot_start_is_a_failure_and_frees_its_slot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    invoker = make(threading.Event().set)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(ToolFailed, match="can't start new thread"):
        await invoker.run({})
    assert invoker.slots.num_held == 0
