"""The events of one Run: numbered, kept, and read by any number of readers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

from weft.runtime.observe.event import Event

__all__ = ["EventLog", "Observer"]

Observer = Callable[[Event], None]
"""Called in place for every event, so it must be quick. One that raises is reported to the loop's
exception handler and not called again; the Run goes on."""


class EventLog:
    """One writer appends; sequence numbers are 1, 2, 3 … without gaps.

    Everything happens on one event loop; ``append`` and ``close`` never wait.
    """

    __slots__ = (
        "__weakref__",
        "_events",
        "_is_closed",
        "_max_events",
        "_num_dropped",
        "_observers",
        "_waiters",
    )

    def __init__(
        self, observers: Sequence[Observer] = (), *, max_events: int | None = None
    ) -> None:
        """``max_events`` bounds memory: at least that many of the newest events are kept and at
        most twice as many; ``None`` keeps all."""
        assert max_events is None or max_events > 0, f"max_events is {max_events}"
        self._events: list[Event] = []
        self._num_dropped = 0
        self._max_events = max_events
        self._observers = list(observers)
        self._waiters: list[asyncio.Future[None]] = []
        self._is_closed = False

    @property
    def next_seq(self) -> int:
        """The number that the next event must carry."""
        return self._num_dropped + len(self._events) + 1

    @property
    def events(self) -> Sequence[Event]:
        """What is kept, in order; it grows, and moves on where memory is bounded."""
        return self._events

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def show_to(self, observer: Observer) -> None:
        """Call one more observer for every event from now on."""
        self._observers.append(observer)

    def append(self, event: Event) -> None:
        """Keep the event, show it to the observers and wake the readers."""
        assert event.seq == self.next_seq, f"event {event.seq} follows {self.next_seq - 1}"
        assert not self._is_closed, "an event after the end"
        self._events.append(event)
        if self._max_events is not None and len(self._events) >= 2 * self._max_events:
            self._num_dropped += len(self._events) - self._max_events
            del self._events[: -self._max_events]
        if self._observers:
            self._show(event)
        if self._waiters:
            self._wake()

    def close(self) -> None:
        """No more events: readers come to their end. Idempotent."""
        self._is_closed = True
        self._wake()

    async def read(self, after: int = 0) -> AsyncGenerator[Event, None]:
        """Events numbered above ``after``, as they come, until the log is closed.

        A reader slower than a bounded log sees the numbers jump over what was dropped.
        """
        last = max(after, 0)
        while True:
            while last < self.next_seq - 1:
                event = self._events[max(last - self._num_dropped, 0)]
                last = event.seq
                yield event
            if self._is_closed:
                return
            await self._next_change()

    async def _next_change(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            if waiter in self._waiters:  # cancelled, not woken
                self._waiters.remove(waiter)

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
