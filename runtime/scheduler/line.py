"""The waiting calls in the order of their places."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from weft.runtime.scheduler.accounts import CallAccount
from weft.runtime.scheduler.ranking import Rank, Ranking

__all__ = ["Line", "Place"]


class Place(NamedTuple):
    """Where a call stands: smaller keys go first, earlier calls among equals."""

    key: tuple[float, ...]
    until_s: float = float("inf")
    """When the key is to be computed anew without any fact."""


class Line:
    """Waiting calls, sorted, in sections: one for each replica whose calls these are (they go
    elsewhere only if it runs nothing), and ``ANYWHERE`` for those that may go to any."""

    ANYWHERE = ""

    __slots__ = ("_due", "_places", "_sections")

    def __init__(self) -> None:
        self._sections: dict[str, Ranking] = {}
        self._places: dict[str, tuple[str, Rank]] = {}
        self._due: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def rank(self, name: str) -> Rank:
        return self._places[name][1]

    def put(self, call: CallAccount, place: Place, section: str) -> Rank:
        """Set or change a call's place."""
        rank = Rank(place.key, call.ordinal, call.call)
        if place.until_s < float("inf"):
            heapq.heappush(self._due, (place.until_s, call.call))
        if self._places.get(call.call) == (section, rank):
            return rank
        self.take(call.call)
        if section not in self._sections:
            self._sections[section] = Ranking()
        self._sections[section].put(rank)
        self._places[call.call] = section, rank
        return rank

    def take(self, name: str) -> None:
        """Remove a call, if it is there."""
        place = self._places.pop(name, None)
        if place is not None:
            self._sections[place[0]].take(name)

    def walk(self, sections: Iterable[str] | None) -> Iterator[Rank]:
        """Ranks of these sections, or of all, first first; the line may change meanwhile."""
        names = list(self._sections) if sections is None else sections
        found = [self._sections[name] for name in names if name in self._sections]
        return heapq.merge(*(ranking for ranking in found if len(ranking)))

    def due(self, now_s: float) -> list[str]:
        """Calls whose place was good until now at most, each of them once."""
        names: dict[str, None] = {}
        while self._due and self._due[0][0] <= now_s:
            name = heapq.heappop(self._due)[1]
            if name in self._places:
                names[name] = None
        return list(names)

    def next_due_s(self) -> float:
        while self._due and self._due[0][1] not in self._places:
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else float("inf")
