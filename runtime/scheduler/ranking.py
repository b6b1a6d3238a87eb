"""Names in the order of their keys."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Rank", "Ranking"]


class Rank(NamedTuple):
    key: tuple[float, ...]
    ordinal: int
    """Of what came first, which goes first among equals."""
    name: str


class Ranking:
    """A sorted set. Putting and taking one of n costs log n and one move of memory."""

    __slots__ = ("_order", "_ranks")

    def __init__(self) -> None:
        self._order: list[Rank] = []
        self._ranks: dict[str, Rank] = {}

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Rank]:
        """Least first; the set may change meanwhile, which this does not see."""
        return iter(self._order.copy())

    def put(self, rank: Rank) -> None:
        """Set or change the rank of a name."""
        if self._ranks.get(rank.name) == rank:
            return
        self.take(rank.name)
        insort(self._order, rank)
        self._ranks[rank.name] = rank

    def take(self, name: str) -> None:
        """Remove a name, if it is there."""
        rank = self._ranks.pop(name, None)
        if rank is not None:
            del self._order[bisect_left(self._order, rank)]
