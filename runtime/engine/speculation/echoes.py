"""Earlier places where a run of tokens stood as it stands at the end now.

The idea of prompt lookup (Saxena, 2023): what followed there is a guess at what follows here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["MAX_ECHO", "SEPARATOR", "Echo", "EchoIndex", "EchoScan"]

Tokens: TypeAlias = NDArray[np.int32]

MAX_ECHO = 8
"""Agreeing tokens that are told apart; more say no more."""
SEPARATOR = -1
"""Stands between runs in one list; no token has this id."""
_MAX_PLACES = 2
"""More than the latest places made guesses no better, only slower."""
_LEAST_ROOM = 64
"""Tokens that fit behind a list once it is read."""


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
    """The places of every token, and of every pair of them, in a list that grows at its end: for
    one that many ask about.

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
        pairs = self._places.get((before, last), ())
        return _echoes(self.tokens, pairs, self._places.get((last,), ()), ending)

    def _read(self) -> None:
        tokens, places = self.tokens, self._places
        for place in range(self._num_read, len(tokens)):
            last = tokens[place - 1]
            places[tokens[place - 2], last].append(place)
            places[last,].append(place)
        self._num_read = max(self._num_read, len(tokens))


class EchoScan:
    """Finds what an EchoIndex finds by looking through the whole list each time: for one that is
    long at once and asked about a few times, as a prompt with a short answer."""

    __slots__ = ("_num_read", "_read", "tokens")

    def __init__(self, tokens: list[int]) -> None:
        """``tokens`` stays the caller's, who may append to it."""
        self.tokens = tokens
        self._read = np.empty(0, np.int32)
        self._num_read = 0

    def find(self, ending: Sequence[int]) -> list[Echo]:
        """See ``EchoIndex.find``."""
        known = self._known()
        places = np.flatnonzero(known[1:-1] == ending[-1]) + 2
        pairs = places[known[places - 2] == ending[-2]]
        return _echoes(
            self.tokens, pairs[-_MAX_PLACES:].tolist(), places[-_MAX_PLACES:].tolist(), ending
        )

    def _known(self) -> Tokens:
        """The list as an array, in which only what is new is written."""
        num_read, num = self._num_read, len(self.tokens)
        if num > len(self._read):
            grown = np.empty(num + num // 8 + _LEAST_ROOM, np.int32)
            grown[:num_read] = self._read[:num_read]
            self._read = grown
        self._read[num_read:num] = self.tokens[num_read:]
        self._num_read = num
        return self._read[:num]


def _echoes(
    tokens: list[int], pairs: Sequence[int], singles: Sequence[int], ending: Sequence[int]
) -> list[Echo]:
    if not pairs:
        return [Echo(tokens, place, 1) for place in reversed(singles[-_MAX_PLACES:])]
    return [
        Echo(tokens, place, _agreement(tokens, place, ending))
        for place in reversed(pairs[-_MAX_PLACES:])
    ]


def _agreement(tokens: list[int], place: int, ending: Sequence[int]) -> int:
    limit = min(MAX_ECHO, place, len(ending))
    length = 2
    while length < limit and tokens[place - 1 - length] == ending[-1 - length]:
        length += 1
    return length
