"""How many calls of one tool may be in flight, counted across event loops and threads."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict

__all__ = ["NoSlotLeft", "Slot", "Slots"]


class NoSlotLeft(Exception):
    """Every slot is held by an abandoned call: waiting could last for ever."""


class Slot:
    """The right to run one call. It is released when the call has really ended."""

    __slots__ = ("_slots", "is_abandoned", "is_released")

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self.is_abandoned = False
        self.is_released = False

    def abandon(self) -> None:
        """Say that nobody waits for the call any more; the slot stays held until released."""
        self._slots.abandon(self)

    def release(self) -> None:
        """Hand the slot on. Idempotent; may be called from any thread."""
        self._slots.release(self)


class _Waiter:
    __slots__ = ("future", "loop", "slot")

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self.loop.create_future()
        self.slot: Slot | None = None

    def wake(self) -> bool:
        """Resume the waiting task soon; false when its loop is closed."""
        try:
            self.loop.call_soon_threadsafe(self._resolve)
        except RuntimeError:
            return False
        return True

    def _resolve(self) -> None:
        if not self.future.done():
            self.future.set_result(None)


class Slots:
    """A first-come first-served counter of ``limit`` slots.

    Unlike ``asyncio.Semaphore`` it belongs to no loop, is safe across threads, and knows which
    of its slots are held by calls that nobody waits for.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._num_held = 0
        self._num_abandoned = 0
        self._waiters: OrderedDict[_Waiter, None] = OrderedDict()

    @property
    def num_held(self) -> int:
        """Gauge: calls that run, abandoned ones included."""
        return self._num_held

    @property
    def num_abandoned(self) -> int:
        """Gauge: calls that run although nobody waits for them."""
        return self._num_abandoned

    @property
    def num_waiting(self) -> int:
        """Gauge: calls that wait for a slot."""
        return len(self._waiters)

    async def acquire(self) -> Slot:
        """Wait for a slot. Raises NoSlotLeft at once when only abandoned calls hold them."""
        with self._lock:
            if self._num_abandoned == self.limit:
                raise NoSlotLeft
            if self._num_held < self.limit:
                self._num_held += 1
                return Slot(self)
            waiter = _Waiter()
            self._waiters[waiter] = None
        try:
            await waiter.future
        except asyncio.CancelledError:
            self._withdraw(waiter)
            raise
        if waiter.slot is None:
            raise NoSlotLeft
        return waiter.slot

    def abandon(self, slot: Slot) -> None:
        with self._lock:
            if slot.is_released or slot.is_abandoned:
                return
            slot.is_abandoned = True
            self._num_abandoned += 1
            if self._num_abandoned == self.limit:
                self._turn_away()

    def release(self, slot: Slot) -> None:
        with self._lock:
            if slot.is_released:
                return
            slot.is_released = True
            self._num_abandoned -= slot.is_abandoned
            self._hand_on()

    def _hand_on(self) -> None:
        """Give the freed slot to the first waiter still there, else count it free."""
        while self._waiters:
            waiter, _ = self._waiters.popitem(last=False)
            waiter.slot = Slot(self)
            if waiter.wake():
                return
        self._num_held -= 1

    def _turn_away(self) -> None:
        while self._waiters:
            waiter, _ = self._waiters.popitem(last=False)
            waiter.wake()

    def _withdraw(self, waiter: _Waiter) -> None:
        """A waiting task was cancelled: leave the queue, or pass on a slot that just came."""
        with self._lock:
            self._waiters.pop(waiter, None)
        if waiter.slot is not None:
            waiter.slot.release()
