"""Lanes that share a list: what each takes, and what each sees of the others while they write.

All lanes write one token per step and see the others' tokens of the same step. A lane stands
behind the prompt and the other lanes, in order of index, as long as they are at that step.
"""

import heapq
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

import numpy as np

from examples.mini.documents import Document
from examples.mini.segments import Ints, Segment, continued

MAX_START = 80
"""Latest step at which a lane of a team begins to write."""
BLIND_SHARE, LATE_SHARE = 0.08, 0.35
CHOICE_WEIGHT = 3.0
"""Weight of what a free lane writes: which item it takes, or that none is left."""


def head(index: int, count: int) -> str:
    """What a lane's text begins with; given, not written. The first lane is 1."""
    return f"Lane {index} of {count}\n"


class Lane(NamedTuple):
    """One lane of a team."""

    ids: list[int]
    """Its head and what it writes, without the end of turn."""
    num_given: int
    """Tokens of its head, which are there at once."""
    start: int
    """The step of its head."""
    choices: frozenset[int] = frozenset()
    """Places behind an item or the head; the next token says what the lane takes."""

    def length_at(self, steps_T: Ints) -> Ints:
        """How many of its tokens are there at each of some steps."""
        written_T = np.minimum(steps_T - self.start + self.num_given, len(self.ids))
        return np.where(steps_T < self.start, 0, written_T)


def shares(num_tokens: Sequence[int], starts: Sequence[int]) -> list[list[int]]:
    """Say which items each lane takes: whoever is free, lower lanes first, takes the next one.

    `num_tokens` are the lengths of the items in order, `starts` the steps at which lanes begin.
    """
    taken: list[list[int]] = [[] for _ in starts]
    free = [(start, lane) for lane, start in enumerate(starts)]
    heapq.heapify(free)
    for item, length in enumerate(num_tokens):
        step, lane = free[0]
        taken[lane].append(item)
        heapq.heapreplace(free, (step + length, lane))
    return taken


def team(prompt: list[int], lanes: Sequence[Lane], end_id: int) -> list[Segment]:
    """Build the document of a prompt and the lanes that see it and each other."""
    num_segments = 1 + len(lanes)
    zeros = np.zeros((len(prompt), num_segments), np.int64)
    segments = [Segment(Document(ids=prompt, targets=[]), zeros, zeros)]
    for index, lane in enumerate(lanes):
        places_T = np.arange(len(lane.ids))
        steps_T = lane.start + np.maximum(places_T - lane.num_given + 1, 0)
        lengths_TW = np.stack([each.length_at(steps_T) for each in lanes], axis=-1)
        seen_TS, turns_TS = look(len(prompt), index, lengths_TW, places_T)
        document = _weighed(continued(lane.ids, lane.num_given, end_id), lane.choices)
        segments.append(Segment(document, seen_TS, turns_TS))
    return segments


def _weighed(document: Document, choices: frozenset[int]) -> Document:
    """Weigh what is written behind places of choice more."""
    targets = [
        (place, token, share * CHOICE_WEIGHT if place in choices else share)
        for place, token, share in document.targets
    ]
    return Document(ids=document.ids, targets=targets)


def look(prompt: int, index: int, lengths_TW: Ints, places_T: Ints) -> tuple[Ints, Ints]:
    """Say how much tokens of one lane see of the prompt and of every lane, and how each is turned.

    `prompt` is the prompt's length, `lengths_TW` those of the lanes when each token is written, at
    `places_T` of lane `index`. A lane of no length is not seen.
    """
    num_lanes = lengths_TW.shape[1]
    order = [*(lane for lane in range(num_lanes) if lane != index), index]
    offsets_TW = np.zeros_like(lengths_TW)
    offsets_TW[:, order] = prompt + np.cumsum(lengths_TW[:, order], axis=1) - lengths_TW[:, order]
    positions_T = offsets_TW[:, index] + places_T
    seen_TW = lengths_TW.copy()
    seen_TW[:, index] = places_T + 1
    seen_TS = np.concatenate((np.full((len(places_T), 1), prompt), seen_TW), axis=1)
    turns_TW = positions_T[:, None] - offsets_TW
    return seen_TS, np.concatenate((positions_T[:, None], turns_TW), axis=1)


def draw_team(
    rng: Random, prompt: list[int], heads: Sequence[list[int]], items: Sequence[list[int]], end: int
) -> list[Segment]:
    """Draw when the lanes of a team begin, and let them share the items.

    Sometimes there is one lane alone that cannot see its team: it takes all items.
    """
    if len(heads) > 1 and rng.random() < BLIND_SHARE:
        heads = [rng.choice(heads)]
    starts = [0] * len(heads)
    if rng.random() < LATE_SHARE:
        starts = [rng.randrange(MAX_START) if rng.random() < 0.6 else 0 for _ in heads]
    takings = shares([len(item) for item in items], starts)
    lanes = [
        _lane(given, [items[item] for item in taken], start)
        for given, taken, start in zip(heads, takings, starts, strict=True)
    ]
    return team(prompt, lanes, end)


def _lane(given: list[int], items: Sequence[list[int]], start: int) -> Lane:
    ids, choices = list(given), {len(given) - 1}
    for item in items:
        ids += item
        choices.add(len(ids) - 1)
    return Lane(ids, len(given), start, frozenset(choices))
