"""Earlier places where a run of tokens stood as it stands at the end now.

The idea of prompt lookup (Saxena, 2023): what followed there is a guess at what follows here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["MAX_ECHO", "SEPARATOR", "Echo", "EchoIndex"]

MAX_ECHO = 8
"""Agreeing tokens that are told apart; more say no more."""
SEPARATOR = -1
"""Stands between runs in one list; no token has this id."""
_MAX_PLACES = 2
"""More than the latest places made guesses no better, only slower."""


class Echo(NamedTuple):
    """A guess: the token at ``position`` of ``tokens`` comes next."""

    tokens: Sequence[int]
    position: int
    length: int
    """How many tokens before it agree with those at the end, ``MAX_ECHO`` at most; 0 where what
    is guessed does not rest on any."""

    @property
    def token_id(self) -> int:
        """The token guessed; ``SEPARATOR`` where its run ends."""
        return self.tokens[self.position] if self.position < len(self.tokens) else SEPARATOR

    def further(self) -> Echo:
        """The guess after this one, should it come true."""
        length = self.length
        return Echo(self.tokens, self.position + 1, length + (0 < length < MAX_ECHO))


class EchoIndex:
    """The places of every token, and of every pair of them, in a list that grows at its end.

    What was appended is read at the next ``find``, so that a list nobody asks about costs nothing.
    """

    __slots__ = ("_num_read", "_places", "tokens")

    def __init__(self, tokens: list[int]) -> None:
        """``tokens`` stays the caller's, who may append to it."""
        self.tokens = tokens
        self._num_read = 2
        self._places: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)

    def find(self, ending: Sequence[int]) -> list[Echo]:
        """Where the last tokens of ``ending`` (at least two) stood before, the latest places
        first. Places where only one token agrees are given when there are no others."""
        self._read()
        before, last = ending[-2], ending[-1]
        places = self._places.get((before, last))
        if places is None:
            alone = self._places.get((last,), ())
            return [Echo(self.tokens, place, 1) for place in reversed(alone[-_MAX_PLACES:])]
        return [
            Echo(self.tokens, place, self._agreement(place, ending))
            for place in reversed(places[-_MAX_PLACES:])
        ]

    def _read(self) -> None:
        tokens, places = self.tokens, self._places
        for place in range(self._num_read, len(tokens)):
            last = tokens[place - 1]
            places[tokens[place - 2], last].append(place)
            places[last,].append(place)
        self._num_read = max(self._num_read, len(tokens))

    def _agreement(self, place: int, ending: Sequence[int]) -> int:
        tokens = self.tokens
        limit = min(MAX_ECHO, place, len(ending))
        length = 2
        while length < limit and tokens[place - 1 - length] == ending[-1 - length]:
            length += 1
        return length
