"""What a generation goes on from, where that is more than one line of tokens: branches that were
forked from one text and are seen together.

A Past is a DAG of segments of tokens. A segment sees its parents, all that they see, and its own
tokens up to each; two branches that neither descends from the other never see each other. Where a
segment has several parents they are **joined**, in one of two ways:

- ``shared``: every branch keeps the positions that it was written at, so branches overlap, and what
  follows stands behind the longest of them (Multiverse, Yang et al. 2025; MedVerse).
- ``rotated``: branches are laid end to end, as if one text had been written, each met at positions
  of its own; what they computed while they could not see each other stays as it is.

Neither computes a key anew, nor changes one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from weft.errors import InvalidRequest

__all__ = [
    "MAX_SEGMENTS",
    "Frame",
    "Past",
    "Placed",
    "Placing",
    "Segment",
    "check_segments",
    "frames_of",
]

Placing = Literal["shared", "rotated"]

MAX_SEGMENTS = 1024
"""Most segments of one Past: checked before anything is allocated."""


class Placed(Protocol):
    """A segment as far as it says where things stand."""

    @property
    def tokens(self) -> tuple[int, ...]: ...
    @property
    def parents(self) -> tuple[int, ...]: ...
    @property
    def placing(self) -> Placing: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Tokens in a row, and what they follow."""

    tokens: tuple[int, ...]
    """Never empty."""
    parents: tuple[int, ...] = ()
    """Numbers of earlier segments; none for one that begins anew."""
    placing: Placing = "shared"
    """How several parents are joined."""


class Frame(NamedTuple):
    """Where things stand for a segment."""

    starts: Mapping[int, int]
    """The position of the first token of every segment that is seen, by its number, ascending."""
    end: int
    """The position of the segment's own first token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """Segments, parents first, and which of them the stream behind follows.

    Raises: InvalidRequest at construction for what is no such DAG.
    """

    segments: tuple[Segment, ...]
    parents: tuple[int, ...]
    placing: Placing = "shared"
    ancestors: tuple[frozenset[int], ...] = field(init=False, repr=False, compare=False)
    """Of every segment, what it sees beside itself; the last entry is the stream's."""
    frames: tuple[Frame, ...] = field(init=False, repr=False, compare=False)
    """Of every segment; the last entry is the stream's."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.segments) <= MAX_SEGMENTS:
            raise InvalidRequest(
                f"A past has {len(self.segments)} segments.",
                remedy=f"It must have between 1 and {MAX_SEGMENTS}.",
            )
        check_segments(self.segments, "a past")
        if not self.parents:
            raise InvalidRequest(
                "A past is given that nothing follows.", remedy="Name the segments to go on from."
            )
        _check_parents("The stream behind a past", self.parents, len(self.segments))
        _check_placing(self.placing)
        stream = Segment(tokens=(), parents=self.parents, placing=self.placing)
        object.__setattr__(self, "ancestors", self._ancestors())
        object.__setattr__(self, "frames", frames_of((*self.segments, stream)))

    def _ancestors(self) -> tuple[frozenset[int], ...]:
        found: list[frozenset[int]] = []
        for parents in (*(segment.parents for segment in self.segments), self.parents):
            found.append(frozenset(parents).union(*(found[parent] for parent in parents)))
        return tuple(found)

    @property
    def num_tokens(self) -> int:
        """Of all segments together."""
        return sum(len(segment.tokens) for segment in self.segments)


def check_segments(segments: Sequence[Placed], whole: str) -> None:
    """Raises: InvalidRequest for an empty one, or one that does not stand behind its parents."""
    for number, segment in enumerate(segments):
        if not segment.tokens:
            raise InvalidRequest(f"Segment {number} of {whole} is empty.", remedy="Leave it out.")
        _check_parents(f"Segment {number}", segment.parents, number)
        _check_placing(segment.placing)


def frames_of(segments: Sequence[Placed]) -> tuple[Frame, ...]:
    """Where things stand for each of them; parents stand before their children. O(segments²)."""
    frames: list[Frame] = []
    for segment in segments:
        views = [_behind(segments, frames, parent) for parent in segment.parents]
        if not views:
            frames.append(Frame({}, 0))
        elif segment.placing == "shared" or len(views) == 1:
            starts = {number: at for view in views for number, at in view.starts.items()}
            frames.append(Frame(dict(sorted(starts.items())), max(view.end for view in views)))
        else:
            frames.append(_lay_end_to_end(segments, views))
    return tuple(frames)


def _behind(segments: Sequence[Placed], frames: Sequence[Frame], number: int) -> Frame:
    """What is seen, and from where, after segment ``number``."""
    starts, end = frames[number]
    return Frame({**starts, number: end}, end + len(segments[number].tokens))


def _lay_end_to_end(segments: Sequence[Placed], views: Sequence[Frame]) -> Frame:
    """What all have in common stays; the rest follows, in the order of the segments."""
    common = set(views[0].starts).intersection(*(view.starts for view in views))
    starts = {number: views[0].starts[number] for number in common}
    end = max((at + len(segments[number].tokens) for number, at in starts.items()), default=0)
    for number in sorted({number for view in views for number in view.starts} - common):
        starts[number] = end
        end += len(segments[number].tokens)
    return Frame(dict(sorted(starts.items())), end)


def _check_parents(what: str, parents: tuple[int, ...], end: int) -> None:
    if len(set(parents)) != len(parents) or any(not 0 <= parent < end for parent in parents):
        raise InvalidRequest(
            f"{what} has the parents {parents!r}.",
            remedy=f"Give each once, between 0 and {end - 1}: parents stand before their children.",
        )


def _check_placing(placing: str) -> None:
    if placing not in ("shared", "rotated"):
        raise InvalidRequest(f"placing is {placing!r}.", remedy="It must be 'shared' or 'rotated'.")
