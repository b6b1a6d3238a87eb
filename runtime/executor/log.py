"""The events of one Run: kept, numbered, and read by any number of readers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

from weft.runtime.observe.event import Event

__all__ = ["EventLog", "Observer"]

Observer = Callable[[Event], None]
"""Called in place for every event: it must be quick. One that raises is reported to the loop's
exception handler and not called again; the Run goes on."""


class EventLog:
    """Appended by the Run alone; sequence numbers are 1, 2, 3 … without gaps."""

    __slots__ = ("__weakref__", "_events", "_is_closed", "_observers", "_waiters")

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._events: list[Event] = []
        self._observers = list(observers)
        self._waiters: list[asyncio.Future[None]] = []
        self._is_closed = False

    @property
    def next_seq(self) -> int:
        """The number that the next event must carry."""
        return len(self._events) + 1

    @property
    def events(self) -> Sequence[Event]:
        """Everything so far, in order."""
        return self._events

    def append(self, event: Event) -> None:
        self._events.append(event)
        if self._observers:
            self._show(event)
        if self._waiters:
            self._wake()

    def close(self) -> None:
        """No more events: readers come to their end."""
        self._is_closed = True
        self._wake()

    async def read(self, after: int = 0) -> AsyncGenerator[Event, None]:
        """Events with a number greater than ``after``, as they come, until the Run has ended."""
        position = max(after, 0)
        while True:
            while position < len(self._events):
                position += 1
                yield self._events[position - 1]
            if self._is_closed:
                return
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _show(self, event: Event) -> None:
        for observer in tuple(self._observers):
            try:
                observer(event)
            except Exception as error:
                self._observers.remove(observer)
                asyncio.get_running_loop().call_exception_handler(
                    {"message": f"observer {observer!r} raised", "exception": error}
                )
