"""From a Past to the sequences that hold its keys and values.

Segments that have one parent each go on in its block table, so that a branch is an ordinary
sequence which shares what comes before the fork with its siblings. A segment with several parents
begins a table of its own and sees theirs through **pieces**.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple

from weft.programs.past import Frame, Past

__all__ = ["Chain", "Piece", "chains_of"]


class Piece(NamedTuple):
    """Part of a chain's table as another chain sees it."""

    chain: int
    """The number of the chain that holds it."""
    first: int
    end: int
    """Places ``first`` … ``end - 1`` of its table are seen."""
    shift: int
    """A query at position p is turned to p + shift to meet these keys."""


class Chain(NamedTuple):
    """One sequence to be computed."""

    tokens: tuple[int, ...]
    origin: int
    """The position of its first token."""
    pieces: tuple[Piece, ...]
    """What all of its tokens see before the table's own."""
    digest: str
    """Of all that the pieces hold: equal tokens behind an equal digest have equal keys and values.
    Empty where there are no pieces."""


def chains_of(past: Past, prompt: tuple[int, ...]) -> list[Chain]:
    """The chains to compute, each after those it sees; the last one is that of the stream, which
    ends with ``prompt``. O(segments²)."""
    return _Layout(past).chains(prompt)


class _Layout:
    def __init__(self, past: Past) -> None:
        self._past = past
        self._paths: list[tuple[int, ...]] = []
        """Of every segment, the segments of its table up to itself; the last is the stream's."""
        stream = len(past.segments)
        for number, parents in enumerate(self._all_parents()):
            before = self._paths[parents[0]] if len(parents) == 1 else ()
            self._paths.append((*before, number))
        self._stream_root = self._paths[stream][0]

    def _all_parents(self) -> Iterable[tuple[int, ...]]:
        return (*(segment.parents for segment in self._past.segments), self._past.parents)

    def chains(self, prompt: tuple[int, ...]) -> list[Chain]:
        holders = self._holders(self._past.ancestors[self._stream_root])
        chains = [self._chain(path, holders) for path in holders]
        own = self._chain(self._paths[-1][:-1], holders, root=self._stream_root)
        return [*chains, own._replace(tokens=(*own.tokens, *prompt))]

    def _holders(self, seen: frozenset[int]) -> list[tuple[int, ...]]:
        """The fewest tables that hold all segments of ``seen``, in an order to compute them in:
        what a table sees was complete before its first segment."""
        paths = [self._paths[number] for number in seen]
        inner = {path[:-1] for path in paths}
        return sorted(path for path in paths if path not in inner)

    def _chain(
        self, path: tuple[int, ...], holders: list[tuple[int, ...]], root: int | None = None
    ) -> Chain:
        root = path[0] if root is None else root
        frame = self._past.frames[root]
        segments = self._past.segments
        return Chain(
            tokens=tuple(token for number in path for token in segments[number].tokens),
            origin=frame.end,
            pieces=self._pieces(frame, holders),
            digest=self._digest(root),
        )

    def _pieces(self, frame: Frame, holders: list[tuple[int, ...]]) -> tuple[Piece, ...]:
        """One piece for every stretch of a table that is seen without a gap or a turn in it."""
        found: list[Piece] = []
        pieces = (self._piece(number, start, holders) for number, start in frame.starts.items())
        for piece in sorted(pieces):
            if found and _goes_on(found[-1], piece):
                piece = piece._replace(first=found.pop().first)
            found.append(piece)
        return tuple(found)

    def _piece(self, number: int, start: int, holders: list[tuple[int, ...]]) -> Piece:
        segments, frames = self._past.segments, self._past.frames
        chain = next(at for at, path in enumerate(holders) if number in path)
        path = holders[chain]
        first = sum(len(segments[before].tokens) for before in path[: path.index(number)])
        origin = frames[path[0]].end
        return Piece(chain, first, first + len(segments[number].tokens), origin + first - start)

    def _digest(self, root: int) -> str:
        """Names what a table's first segment sees, by content."""
        seen = sorted(self._past.ancestors[root])
        if not seen:
            return ""
        ranks = {number: rank for rank, number in enumerate(seen)}
        content: list[object] = []
        for number in seen:
            segment = self._past.segments[number]
            parents = tuple(ranks[parent] for parent in segment.parents)
            content.append((segment.tokens, parents, segment.placing))
        starts = tuple(self._past.frames[root].starts.values())
        return sha256(repr((content, starts)).encode()).hexdigest()


def _goes_on(piece: Piece, following: Piece) -> bool:
    """``following`` is seen as more of the same stretch."""
    return (piece.chain, piece.end, piece.shift) == (
        following.chain,
        following.first,
        following.shift,
    )
