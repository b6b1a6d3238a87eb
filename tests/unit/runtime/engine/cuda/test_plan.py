"""Plans: who reads with whom, and where it pays to keep splits apart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tests.support.plans import covered, views_over
from weft.runtime.engine.cuda import Plan, Room, Views, plan_views

BLOCK = 4
ROOM = Room(tile_views=4, split=16, full_items=100, max_parts=1000)


def tables(*rows: range, width: int = 16) -> npt.NDArray[np.int32]:
    out = np.zeros((len(rows), width), np.int32)
    for row, blocks in zip(out, rows, strict=True):
        row[: len(blocks)] = blocks
    return out


def readers(plan: Plan) -> dict[int, list[list[int]]]:
    """By split: the views that read it together."""
    out: dict[int, list[list[int]]] = {}
    for begin, end, first, stop, _ in plan.items_I5.tolist():
        for split in range(first, stop):
            out.setdefault(split, []).append(sorted(plan.order_N[begin:end].tolist()))
    return {split: sorted(groups) for split, groups in out.items()}


def three_levels() -> Views:
    """Views 0 and 2 share 32 keys, view 3 the first 16 of them, view 1 nothing."""
    rows = tables(
        range(1, 12),
        range(20, 30),
        [*range(1, 9), 40, 41],  # type: ignore[arg-type]
        [*range(1, 5), 50],  # type: ignore[arg-type]
    )
    return views_over(rows, [0, 1, 2, 3], [40, 33, 37, 17])


def test_every_level_of_sharing_is_read_together() -> None:
    plan = plan_views(three_levels(), ROOM, BLOCK)
    assert readers(plan) == {0: [[0, 2, 3], [1]], 1: [[0, 2], [1], [3]], 2: [[0], [1], [2]]}
    assert plan.parts_N.tolist() == [0, 3, 6, 9]
    assert plan.query_parts.tolist() == [0, 3, 6, 9, 11]


def test_tables_can_be_kept_apart() -> None:
    plan = plan_views(three_levels(), ROOM, BLOCK, shares=False)
    assert all(len(group) == 1 for groups in readers(plan).values() for group in groups)


def test_a_tile_holds_no_more_than_it_can() -> None:
    views = views_over(tables(range(1, 9)), [0] * 10, list(range(17, 27)))
    plan = plan_views(views, ROOM, BLOCK)
    assert [len(group) for group in readers(plan)[0]] == [4, 4, 2]


def test_prompts_that_fill_the_device_are_not_split() -> None:
    views = views_over(tables(range(1, 9), range(9, 17)), [0] * 10 + [1], [*range(21, 31), 30])
    plan = plan_views(views, Room(tile_views=4, split=16, full_items=4, max_parts=1000), BLOCK)
    assert plan.num_parts == 10 + 2
    lasts = [item[3] for item in plan.items_I5.tolist() if item[1] - item[0] > 1]
    assert lasts == [2, 2, 2]
    assert covered(plan) == {(view, split) for view in range(11) for split in (0, 1)}


def test_splits_are_kept_apart_only_where_there_is_room() -> None:
    views = views_over(tables(range(1, 17), range(17, 25)), [0, 1], [64, 32])
    for max_parts, parts in ((6, [4, 2]), (5, [1, 2]), (2, [1, 1]), (0, [1, 1])):
        room = Room(tile_views=4, split=16, full_items=100, max_parts=max_parts)
        plan = plan_views(views, room, BLOCK)
        assert np.diff(plan.query_parts).tolist() == parts
        assert len(covered(plan)) == 6


def test_whole_walks_never_mix_sequences() -> None:
    """A ends with a split that B shares, and B goes on."""
    views = views_over(tables(range(1, 9), range(1, 9)), [0, 1], [16, 32])
    plan = plan_views(views, Room(tile_views=4, split=16, full_items=9, max_parts=0), BLOCK)
    assert [item[:4] for item in plan.items_I5.tolist()] == [[1, 2, 0, 2], [0, 1, 0, 1]]


def test_no_views_make_an_empty_plan() -> None:
    views = views_over(tables(range(1, 3)), [], [])
    plan = plan_views(views, ROOM, BLOCK)
    assert plan.items_I5.shape == (0, 5)
    assert plan.num_parts == 0
