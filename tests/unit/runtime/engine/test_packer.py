"""Packing single tokens at once gives what packing part by part gives."""

from __future__ import annotations

import random
from dataclasses import fields, replace

import numpy as np

from weft.cache import BlockPool, BlockTable, Namespace
from weft.programs.request import Request
from weft.programs.sampling import Sampling
from weft.runtime.engine.batch import PackedBatch
from weft.runtime.engine.packer import pack, pack_decodes
from weft.runtime.engine.planner import Part
from weft.runtime.engine.sampling import SamplingRow
from weft.runtime.engine.sequence import Glimpse, Job, Sequence
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


def test_both_ways_to_pack_give_the_same_views() -> None:
    """Some sequences look into others, some of which have no part themselves."""
    rng = random.Random(4)
    for num_parts in (1, 2, 6):
        pool = BlockPool(1000, BLOCK_SIZE)
        parts = [Part(decoding(pool, rng), 1) for _ in range(num_parts)]
        holders = [decoding(pool, rng) for _ in range(3)] + [part.sequence for part in parts]
        for sequence in [part.sequence for part in parts[::2]]:
            sequence.origin = rng.randrange(9)
            sequence.lift, sequence.first_seen = rng.randrange(9), rng.randrange(2)
            sequence.glimpses = tuple(
                Glimpse(rng.choice(holders), 0, 1 + rng.randrange(5), rng.randrange(-4, 9))
                for _ in range(rng.randint(1, 4))
            )
        one, other = pack_decodes(parts, BLOCK_SIZE), pack(parts, BLOCK_SIZE)
        assert one.views is not None and other.views is not None
        for mine, wanted in zip(one.views, other.views, strict=True):
            assert np.asarray(mine).dtype == np.asarray(wanted).dtype
            np.testing.assert_array_equal(mine, wanted)
        assert_same(replace(one, views=None), replace(other, views=None))
        # The slow path: token by token, through the general way of many tokens.
        slow = _many(parts)
        for mine, wanted in zip(one.views, slow, strict=True):
            np.testing.assert_array_equal(mine, wanted)


def _many(parts: list[Part]) -> list[list[int]]:
    """The fields of the views, by their definition; rows by when a table is first met."""
    owners = [part.sequence for part in parts]
    found: list[list[int]] = [[] for _ in range(6)]
    for query, part in enumerate(parts):
        own = part.sequence
        place = own.num_computed
        for holder, first, end, shift in own.glimpses:
            if holder not in owners:
                owners.append(holder)
            turn = place + own.origin + own.lift + shift
            view = (query, owners.index(holder), first, end, turn - holder.origin, turn)
            for field_, value in zip(found, view, strict=True):
                field_.append(value)
        view = (query, query, own.first_seen, place + 1, place, place + own.origin)
        for field_, value in zip(found, view, strict=True):
            field_.append(value)
    return found


def assert_same(one: PackedBatch, other: PackedBatch) -> None:
    for field in fields(PackedBatch):
        mine: object = getattr(one, field.name)
        wanted: object = getattr(other, field.name)
        if wanted is None or wanted is True:
            assert mine is wanted, field.name
        else:
            assert np.asarray(mine).dtype == np.asarray(wanted).dtype, field.name
            np.testing.assert_array_equal(np.asarray(mine), np.asarray(wanted), field.name)
