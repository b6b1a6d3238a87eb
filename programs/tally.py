"""Counting votes, with an end as soon as it is certain."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from weft.errors import InvalidRequest

__all__ = ["Tally"]

T = TypeVar("T")


class Tally(Generic[T]):
    """Votes of a known number of voters.

    The winner has the most votes; among equals, the one whose first voter has the lowest index.
    """

    def __init__(self, num_voters: int, key: Callable[[T], Hashable] | None = None) -> None:
        self._num_open = num_voters
        self._key = key
        self._votes: dict[Hashable, dict[int, T]] = {}

    def add(self, index: int, value: T) -> None:
        """Voter ``index`` votes for ``value``."""
        self._num_open -= 1
        self._votes.setdefault(self._key_of(value), {})[index] = value

    def skip(self) -> None:
        """A voter has failed and will not vote."""
        self._num_open -= 1

    @property
    def has_votes(self) -> bool:
        return bool(self._votes)

    @property
    def is_certain(self) -> bool:
        """No vote that is still open can change the winner."""
        counts = sorted((len(votes) for votes in self._votes.values()), reverse=True)
        lead = counts[0] - (counts[1] if len(counts) > 1 else 0) if counts else 0
        return self._num_open <= 0 or lead > self._num_open

    def winner(self) -> T:
        """The value of the winner's lowest voter. There must be a vote."""
        votes = min(self._votes.values(), key=lambda votes: (-len(votes), min(votes)))
        return votes[min(votes)]

    def _key_of(self, value: T) -> Hashable:
        key = value if self._key is None else self._key(value)
        if isinstance(key, Hashable):
            return key
        raise InvalidRequest(
            f"A vote is {key!r}, which cannot be counted.",
            remedy="Give a key that returns a hashable value: vote(key=…).",
        )
