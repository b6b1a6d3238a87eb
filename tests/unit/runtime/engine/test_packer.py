"""Packing single tokens at once gives what packing part by part gives."""

from __future__ import annotations

import random
from dataclasses import fields

import numpy as np

from weft.cache import BlockPool, BlockTable, Namespace
from weft.programs.request import Request
from weft.programs.sampling import Sampling
from weft.runtime.engine.batch import PackedBatch
from weft.runtime.engine.packer import pack, pack_decodes
from weft.runtime.engine.planner import Part
from weft.runtime.engine.sampling import SamplingRow
from weft.runtime.engine.sequence import Job, Sequence
from weft.runtime.engine.stream import DeltaStream
from weft.runtime.engine.text_stream import TextStream

BLOCK_SIZE = 4


def decoding(pool: BlockPool, rng: random.Random) -> Sequence:
    """A sequence with one pending token, its blocks anywhere."""
    prompt = tuple(rng.choices(range(90), k=rng.randint(1, 30)))
    job = Job(
        request=Request(request_id="r", prompt=prompt, sampling=Sampling()),
        stream=DeltaStream.__new__(DeltaStream),
        namespace=Namespace(),
        max_tokens=50,
        stop_ids=frozenset(),
    )
    text = TextStream.__new__(TextStream)
    one = Sequence(job=job, index=0, row=SamplingRow(Sampling(), seed=1), text=text, matcher=None)
    one.tokens += rng.choices(range(90), k=rng.randint(1, 20))
    one.num_computed = len(one.tokens) - 1
    one.table = BlockTable(BLOCK_SIZE)
    assert one.table.try_grow(pool, len(one.tokens))
    return one


def test_both_ways_to_pack_give_the_same() -> None:
    rng = random.Random(3)
    for num_parts in (1, 2, 7, 40):
        pool = BlockPool(1000, BLOCK_SIZE)
        spare = [BlockTable(BLOCK_SIZE) for _ in range(num_parts)]
        parts: list[Part] = []
        for table in spare:
            assert table.try_grow(pool, rng.randint(1, 20))
            parts.append(Part(decoding(pool, rng), 1))
        for table in rng.sample(spare, k=num_parts // 2):
            table.free(pool)
        assert_same(pack_decodes(parts, BLOCK_SIZE), pack(parts, BLOCK_SIZE))


def assert_same(one: PackedBatch, other: PackedBatch) -> None:
    for field in fields(PackedBatch):
        mine: object = getattr(one, field.name)
        wanted: object = getattr(other, field.name)
        if wanted is None or wanted is True:
            assert mine is wanted, field.name
        else:
            assert np.asarray(mine).dtype == np.asarray(wanted).dtype, field.name
            np.testing.assert_array_equal(np.asarray(mine), np.asarray(wanted), field.name)
