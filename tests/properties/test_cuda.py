"""Attention on CUDA: the kernels against the definition, and plans against their rules."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.device_kernels import on_device
from tests.support.plans import covered, views_over
from tests.support.views import Scene, random_scene, slow
from weft.runtime.engine.cuda import Plan, Room, Tiling, plan_views

pytest.importorskip("triton", reason="Triton is not to be had on every platform")

BLOCK = 4


def scenes(dtype: torch.dtype) -> st.SearchStrategy[Scene]:
    return st.builds(
        random_scene,
        st.integers(0, 10**6),
        num_kv_heads=st.integers(1, 2),
        group=st.integers(1, 5),
        head_dim=st.sampled_from([16, 32, 64, 80, 128]),
        block_size=st.sampled_from([1, 3, 16]),
        max_keys=st.sampled_from([1, 20, 60, 90]),
        num_queries=st.integers(1, 4),
        dtype=st.just(dtype),
    )


def windows() -> st.SearchStrategy[int | None]:
    return st.one_of(st.none(), st.integers(1, 100))


def tilings() -> st.SearchStrategy[Tiling]:
    return st.sampled_from([Tiling(rows=16, keys=16, split=32), Tiling(rows=32, keys=32, split=64)])


@pytest.mark.slow
@settings(max_examples=12)
@given(scenes(torch.float32), windows(), tilings())
def test_kernels_equal_the_definition(scene: Scene, window: int | None, tiling: Tiling) -> None:
    for got, wanted in zip(on_device(scene, window, tiling), slow(scene, window), strict=True):
        torch.testing.assert_close(got.double(), wanted, atol=1e-4, rtol=0)


@pytest.mark.slow
@settings(max_examples=8)
@given(scenes(torch.bfloat16), windows())
def test_bfloat16_is_within_its_rounding(scene: Scene, window: int | None) -> None:
    """Queries are rounded too: a score moves by up to 2^-9 of the products it sums."""
    for got, wanted in zip(on_device(scene, window), slow(scene, window), strict=True):
        torch.testing.assert_close(got.double(), wanted, atol=0.06, rtol=0)


@pytest.mark.slow
@settings(max_examples=8)
@given(scenes(torch.float32), windows())
def test_a_querys_bits_do_not_depend_on_the_others(scene: Scene, window: int | None) -> None:
    together = on_device(scene, window)
    for query in range(len(scene.queries.views)):
        alone = on_device(scene.alone(query), window)
        assert torch.equal(alone.out_THD[0], together.out_THD[query])
        assert torch.equal(alone.lse_TH[0], together.lse_TH[query])


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Sequences as a tree of prefixes, and a few queries of each."""

    tables_SB: npt.NDArray[np.int32]
    rows: list[int]
    num_keys: list[int]
    room: Room

    def plan(self) -> Plan:
        return plan_views(views_over(self.tables_SB, self.rows, self.num_keys), self.room, BLOCK)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    num_rows = draw(st.integers(1, 6))
    tables_SB = 1 + np.arange(num_rows * 24, dtype=np.int32).reshape(num_rows, 24)
    for row in range(1, num_rows):
        parent = draw(st.integers(0, row - 1))
        shared = draw(st.integers(0, 24))
        tables_SB[row, :shared] = tables_SB[parent, :shared]
    rows: list[int] = []
    num_keys: list[int] = []
    for row in range(num_rows):
        count, end = draw(st.integers(0, 9)), draw(st.integers(10, 96))
        rows += [row] * count
        num_keys += range(end - count + 1, end + 1)
    room = Room(
        tile_views=draw(st.sampled_from([1, 2, 4, 16])),
        split=16,
        full_items=draw(st.sampled_from([1, 4, 1000])),
        max_parts=draw(st.sampled_from([0, 20, 60, 1000])),
    )
    return Case(tables_SB=tables_SB, rows=rows, num_keys=num_keys, room=room)


@given(cases())
def test_a_plan_reads_every_split_once_and_only_what_all_its_readers_hold(case: Case) -> None:
    plan = case.plan()
    wanted = {(n, s) for n, keys in enumerate(case.num_keys) for s in range(-(-keys // 16))}
    assert covered(plan) == wanted
    for begin, end, first, stop, _ in plan.items_I5.tolist():
        views: list[int] = plan.order_N[begin:end].tolist()
        assert 1 <= len(views) <= case.room.tile_views
        last = views[-1]
        end_key = min(stop * 16, case.num_keys[last])
        for view in views:
            # Whatever is read for any of them, all of them hold, or a later token of theirs.
            blocks = slice(first * 16 // BLOCK, -(-end_key // BLOCK))
            own, read = (case.tables_SB[case.rows[each]][blocks] for each in (view, last))
            assert (own == read).all()
            longest = max(
                keys
                for row, keys in zip(case.rows, case.num_keys, strict=True)
                if row == case.rows[view]
            )
            assert longest >= end_key


@given(cases())
def test_every_part_of_a_plan_is_written_once(case: Case) -> None:
    plan = case.plan()
    parts = [
        int(plan.parts_N[view]) + shift
        for begin, end, _, _, shift in plan.items_I5.tolist()
        for view in plan.order_N[begin:end].tolist()
    ]
    assert sorted(parts) == list(range(plan.num_parts))
    assert plan.num_parts <= max(case.room.max_parts, len(case.rows))
