"""The waiting calls in the order of their places."""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import NamedTuple

from weft.runtime.scheduler.accounts import CallAccount

__all__ = ["Line", "Place"]


class Place(NamedTuple):
    """Where a call stands: smaller keys go first, earlier calls among equals."""

    key: tuple[float, ...]
    until_s: float = float("inf")
    """When the key is to be computed anew without any fact."""


class Line:
    """Waiting calls, sorted. Putting and taking one of n costs log n and one move of memory."""

    __slots__ = ("_due", "_entries", "_order")

    def __init__(self) -> None:
        self._order: list[tuple[tuple[float, ...], int, str]] = []
        self._entries: dict[str, tuple[tuple[float, ...], int, str]] = {}
        self._due: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[str]:
        """Ids of calls, first first; the line may change meanwhile."""
        return (name for _, _, name in self._order.copy())

    def put(self, call: CallAccount, place: Place) -> None:
        """Set or change a call's place."""
        self.take(call.call)
        entry = (place.key, call.ordinal, call.call)
        insort(self._order, entry)
        self._entries[call.call] = entry
        if place.until_s < float("inf"):
            heapq.heappush(self._due, (place.until_s, call.call))

    def take(self, name: str) -> None:
        """Remove a call, if it is there."""
        entry = self._entries.pop(name, None)
        if entry is not None:
            del self._order[bisect_left(self._order, entry)]

    def due(self, now_s: float) -> list[str]:
        """Calls whose place was good until now at most, each of them once."""
        names: dict[str, None] = {}
        while self._due and self._due[0][0] <= now_s:
            name = heapq.heappop(self._due)[1]
            if name in self._entries:
                names[name] = None
        return list(names)

    def next_due_s(self) -> float:
        while self._due and self._due[0][1] not in self._entries:
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else float("inf")
