"""Documents of several segments, where every token says what it sees of each of them.

A segment's keys stand at its own places 0, 1, …; a query is turned once for every segment. The
first segment is the prompt: it is plain text, and every later one sees all of it.

Shape suffixes: B documents, T tokens, S segments.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from random import Random
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from examples.mini.documents import BATCH_TOKENS, Batch, Document, Views, collate

Ints = npt.NDArray[np.int64]
POOL = 192
"""Documents among which those of like shape are put into one batch."""
MAX_TOKENS = 512
"""A longer document is dropped."""


class Segment(NamedTuple):
    """One stream's tokens, and what they see."""

    document: Document
    seen_TS: Ints
    """How many of each segment's first tokens each token sees."""
    turns_TS: Ints
    """The position at which it stands from that segment's beginning; 0 where it sees nothing."""


def continued(ids: list[int], num_given: int, end_id: int | None) -> Document:
    """Aim at every token behind those given, at least one, and at `end_id` after the last."""
    targets = [(place - 1, ids[place], 1.0) for place in range(num_given, len(ids))]
    if end_id is not None:
        targets.append((len(ids) - 1, end_id, 1.0))
    return Document(ids=ids, targets=targets)


class Seen(NamedTuple):
    """How a stream sees an earlier segment: all of its first `num_tokens`."""

    segment: int
    distance: int
    """From the segment's beginning to the stream's own."""
    num_tokens: int


def stream(document: Document, own: int, earlier: Sequence[Seen], num_segments: int) -> Segment:
    """Let a stream see itself causally, as segment `own`, and `earlier` ones as they are."""
    places_T = np.arange(len(document.ids))
    seen_TS = np.zeros((len(places_T), num_segments), np.int64)
    turns_TS = np.zeros_like(seen_TS)
    seen_TS[:, own], turns_TS[:, own] = places_T + 1, places_T
    for segment, distance, count in earlier:
        seen_TS[:, segment], turns_TS[:, segment] = count, places_T + distance
    return Segment(document, seen_TS, turns_TS)


def collate_segments(documents: Sequence[Sequence[Segment]], pad_id: int) -> Batch:
    """Pad documents of the same number of segments, each segment to its longest."""
    columns = list(zip(*documents, strict=True))
    lengths = [max(len(segment.document.ids) for segment in column) for column in columns]
    starts = [0, *np.cumsum(lengths).tolist()]
    joined = [_joined(segments, starts, pad_id) for segments in documents]
    views = Views(
        tuple(starts),
        _stacked([[segment.seen_TS for segment in item] for item in documents], lengths),
        _stacked([[segment.turns_TS for segment in item] for item in documents], lengths),
    )
    return replace(collate(joined, starts[-1], pad_id), views=views)


def _joined(segments: Sequence[Segment], starts: Sequence[int], pad_id: int) -> Document:
    ids, targets = list[int](), list[tuple[int, int, float]]()
    for segment, start, end in zip(segments, starts, starts[1:], strict=False):
        document = segment.document
        targets += [(start + place, token, share) for place, token, share in document.targets]
        ids += document.ids + [pad_id] * (end - start - len(document.ids))
    return Document(ids=ids, targets=targets)


def _stacked(rows: Sequence[Sequence[Ints]], lengths: Sequence[int]) -> Tensor:
    padded = [
        np.concatenate(
            [
                np.pad(values, ((0, length - len(values)), (0, 0)))
                for values, length in zip(row, lengths, strict=True)
            ]
        )
        for row in rows
    ]
    return torch.from_numpy(np.stack(padded))


def segment_batches(
    documents: Iterable[Sequence[Segment]], pad_id: int, rng: Random
) -> Iterator[Batch]:
    """Yield batches of documents of like shape, in any order; the same for the same documents and
    the same state of `rng`."""
    usable = (item for item in documents if num_tokens(item) <= MAX_TOKENS)
    while pool := sorted(islice(usable, POOL), key=shape):
        batches: list[list[Sequence[Segment]]] = [[]]
        for document in pool:
            if batches[-1] and not _fits([*batches[-1], document]):
                batches.append([])
            batches[-1].append(document)
        rng.shuffle(batches)
        yield from (collate_segments(batch, pad_id) for batch in batches)


def num_tokens(document: Sequence[Segment]) -> int:
    """Count the tokens of all segments."""
    return sum(len(segment.document.ids) for segment in document)


def shape(document: Sequence[Segment]) -> tuple[int, int, int]:
    """Sort key that brings documents together which cost little padding in one batch."""
    return len(document), len(document[0].document.ids) // 16, num_tokens(document)


def _fits(documents: Sequence[Sequence[Segment]]) -> bool:
    if len({len(document) for document in documents}) > 1:
        return False
    columns = zip(*documents, strict=True)
    length = sum(max(len(segment.document.ids) for segment in column) for column in columns)
    return length * len(documents) <= BATCH_TOKENS
