"""Queries with several views against a dense forward that knows every pair by itself.

Shapes: T tokens of all streams together, V vocabulary.
"""

from __future__ import annotations

import shutil
from typing import NamedTuple

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from tests.support.dense import dense_forward
from tests.unit.runtime.engine.model.cases import (
    config_of,
    random_model,
    reference_logits,
    runner_of,
)
from weft.cache.kv_store import KVStore
from weft.runtime.engine.batch import PackedBatch, Views
from weft.runtime.engine.model import ModelRunner

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")

CASES = ("llama", "llama-linear", "llama-yarn", "llama-llama3", "qwen2", "qwen3-wide")
BLOCK_SIZE = 4


class Entry(NamedTuple):
    """Tokens that one stream writes to the end of a segment in one step."""

    segment: int
    tokens: list[int]
    view: dict[int, int]
    """Where the stream has each segment that it sees, its own among them."""


class Streams:
    """Segments that several streams write and read, step by step, and what a dense forward over
    all tokens needs to do the same."""

    def __init__(self, runner: ModelRunner, num_segments: int, rng: np.random.Generator) -> None:
        self.runner = runner
        num_blocks = 16
        blocks = 1 + rng.permutation(num_segments * num_blocks)
        self.tables = blocks.reshape(num_segments, num_blocks).astype(np.int32)
        shape = (1 + blocks.size, BLOCK_SIZE, runner.layers, runner.kv_dtype, runner.device)
        self.kv = KVStore(*shape)
        self.segments: list[list[int]] = [[] for _ in range(num_segments)]
        self.tokens: list[int] = []
        self.sees: list[dict[int, int]] = []
        """Of every token: what it sees, and at which distance."""
        self.logits: list[torch.Tensor] = []

    def step(self, entries: list[Entry]) -> None:
        starts = [len(self.segments[entry.segment]) for entry in entries]
        for entry in entries:
            first = len(self.tokens)
            self.tokens += entry.tokens
            self.segments[entry.segment] += range(first, len(self.tokens))
        batch = self._pack(entries, starts)
        self.logits += self.runner.forward(batch, self.kv)

    def _pack(self, entries: list[Entry], starts: list[int]) -> PackedBatch:
        views: list[tuple[int, int, int, int, int, int]] = []
        places: list[int] = []
        slots: list[int] = []
        for entry, start in zip(entries, starts, strict=True):
            for place in range(start, start + len(entry.tokens)):
                position = entry.view[entry.segment] + place
                seen: dict[int, int] = {}
                for segment, offset in entry.view.items():
                    distance = position - offset
                    num_keys = min(distance + 1, len(self.segments[segment]))
                    if num_keys > 0:
                        view = (len(places), segment, 0, num_keys, distance, distance)
                        views.append(view)
                        written = self.segments[segment][:num_keys]
                        seen |= {token: distance - j for j, token in enumerate(written)}
                self.sees.append(seen)
                places.append(place)
                block = int(self.tables[entry.segment, place // BLOCK_SIZE])
                slots.append(block * BLOCK_SIZE + place % BLOCK_SIZE)
        queries, rows, first, num_keys, at, turns = np.array(views, np.int64).T.copy()
        return PackedBatch(
            token_ids_T=np.array(self.tokens[-len(places) :]),
            positions_T=np.array(places),
            slots_T=np.array(slots),
            query_lens_S=np.array([len(entry.tokens) for entry in entries], np.int32),
            context_lens_S=np.array(
                [start + len(entry.tokens) for entry, start in zip(entries, starts, strict=True)],
                np.int32,
            ),
            block_tables_SB=self.tables,
            logit_rows_R=np.arange(len(places)),
            views=Views(queries, rows.astype(np.int32), first, num_keys, at, turns),
        )

    def dense(self, model: PreTrainedModel) -> torch.Tensor:
        """[T, V]: the model's layers over all tokens at once, keys never stored."""
        num_tokens = len(self.tokens)
        distances_TT = np.zeros((num_tokens, num_tokens), np.int64)
        is_seen_TT = np.zeros((num_tokens, num_tokens), np.bool_)
        for token, seen in enumerate(self.sees):
            distances_TT[token, list(seen)] = list(seen.values())
            is_seen_TT[token, list(seen)] = True
        return dense_forward(model, self.tokens, distances_TT, torch.from_numpy(is_seen_TT))


def random_tokens(rng: np.random.Generator, count: int) -> list[int]:
    tokens: list[int] = rng.integers(3, 97, count).tolist()
    return tokens


def contiguous(streams: Streams, lane: int, lanes: list[int], new: int) -> dict[int, int]:
    """The prompt, the other lanes, this one; ``new`` tokens are about to be added to each."""
    view, end = {0: 0}, len(streams.segments[0])
    for other in [*(each for each in lanes if each != lane), lane]:
        view[other] = end
        end += len(streams.segments[other]) + new
    return view


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("num_lanes", [1, 2, 3])
def test_lanes_that_read_each_other(case: str, num_lanes: int) -> None:
    rng = np.random.default_rng([num_lanes, len(case)])
    model = random_model(config_of(case), 0)
    streams = Streams(runner_of(model, path="native"), 1 + num_lanes, rng)
    streams.step([Entry(0, random_tokens(rng, 9), {0: 0})])
    lanes = list(range(1, 1 + num_lanes))
    for length in (3, 1, 1, 2, 1):
        views = {lane: contiguous(streams, lane, lanes, length) for lane in lanes}
        entries = [Entry(lane, random_tokens(rng, length), views[lane]) for lane in lanes]
        streams.step(entries)
    wanted_TV = streams.dense(model)
    assert (torch.stack(streams.logits) - wanted_TV).abs().max() < 1e-4
    if num_lanes == 1:
        plain_TV = reference_logits(model, streams.tokens)
        assert (wanted_TV - plain_TV).abs().max() < 1e-4


@pytest.mark.parametrize("case", ["llama-yarn", "qwen3-wide"])
def test_the_order_of_storing_does_not_show(case: str) -> None:
    model = random_model(config_of(case), 1)
    runner = runner_of(model, path="native")

    def run(seed: int) -> torch.Tensor:
        rng = np.random.default_rng(2)
        streams = Streams(runner, 4, np.random.default_rng(seed))
        streams.step([Entry(0, random_tokens(rng, 6), {0: 0})])
        for _ in range(3):
            views = {lane: contiguous(streams, lane, [1, 2, 3], 1) for lane in (1, 2, 3)}
            streams.step([Entry(lane, random_tokens(rng, 1), views[lane]) for lane in (1, 2, 3)])
        return torch.stack(streams.logits)

    assert torch.equal(run(0), run(1))
